"""Counters of a process, and the page that shows them to Prometheus. Call the function that says what happened.

The library is imported when something is counted first. Processes that share a machine under one `serve` share a folder
of small files (`sharing_metrics`), so that its page shows their sum. Knows no task, image or request.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from cellfleet.errors import UsageError
from cellfleet.observe.table import METRICS, Metric, Part
from cellfleet.spec.record import ImageRecord

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

_SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library looks at it when it is imported."""
_ENDED: Final = "ended"
"""In the name of the files to which those of processes that ended were added."""
_ADDING: Final = threading.Lock()
"""Held while files are added up or read, so that nothing is seen twice or not at all."""
_MAKING: Final = threading.Lock()


Ending = Literal["done", "failed", "released", "lost"]
"""Of an attempt at a task."""


@dataclass(frozen=True)
class Levels:
    """What stands in the ledger now."""

    queued: Mapping[str, int] = field(default_factory=dict)
    """Priority → tasks."""
    leased: Mapping[str, int] = field(default_factory=dict)
    dead: int = 0


# --- what happened: the service --------------------------------------------------------------------------------------


def request_ended(method: str, route: str, status: int, *, seconds: float, received: int, sent: int) -> None:
    """Count a request that was answered; sizes of bodies in bytes."""
    _the("cellfleet_http_requests_total").labels(method, route, str(status)).inc()
    _the("cellfleet_http_request_seconds").labels(method, route).observe(seconds)
    _the("cellfleet_http_received_bytes_total").labels(route).inc(received)
    _the("cellfleet_http_sent_bytes_total").labels(route).inc(sent)


def error_told(code: str) -> None:
    """Count an answer that told of an error."""
    _the("cellfleet_http_errors_total").labels(code).inc()


def upload_ended(way: Literal["service", "direct"], size_bytes: int) -> None:
    """Count a file that arrived whole."""
    _the("cellfleet_uploads_total").labels(way).inc()
    _the("cellfleet_uploaded_bytes_total").labels(way).inc(size_bytes)


def watchers_changed(by: int) -> None:
    """Count streams of events that were opened (1) or closed (-1)."""
    _the("cellfleet_event_watchers").inc(by)


# --- what happened: the worker ---------------------------------------------------------------------------------------


def worker_began(slots: int) -> None:
    """Tell that this process is a worker which runs so many tasks at once: its metrics are there from now on."""
    prepare("worker")
    _the("cellfleet_workers").set(1)
    _the("cellfleet_worker_slots").set(slots)
    _the("cellfleet_worker_memory_bytes").set(_memory_bytes())


def task_began() -> None:
    """Count an attempt."""
    _the("cellfleet_task_attempts_total").inc()


def busy(seconds: float) -> None:
    """Count time with a task at hand, for each task. To be called every second or so, as the time passes."""
    _the("cellfleet_worker_busy_seconds_total").inc(seconds)
    _the("cellfleet_worker_memory_bytes").set(_memory_bytes())


def lease_renewed(answer: Literal["held", "lost", "cancelled", "unanswered"]) -> None:
    """Count a renewal by what the ledger said."""
    _the("cellfleet_lease_renewals_total").labels(answer).inc()


def task_ended(outcome: Ending, seconds: float) -> None:
    """Count the end of an attempt that took so long."""
    _the("cellfleet_tasks_total").labels(outcome).inc()
    _the("cellfleet_task_seconds").observe(seconds)


def image_ended(record: ImageRecord) -> None:
    """Count an image, its pixels and objects, and the time of its stages."""
    _the("cellfleet_images_total").labels(record.status).inc()
    planes = [length for axis, length in zip(record.axes, record.shape, strict=True) if axis not in "CS"]
    _the("cellfleet_pixels_total").inc(math.prod(planes) if planes else 0)
    _the("cellfleet_objects_total").inc(record.objects)
    _the("cellfleet_read_bytes_total").inc(record.input.size_bytes if record.input else 0)
    stages_ended(record.seconds, record.cpu_seconds)


def stages_ended(seconds: Mapping[str, float], cpu_seconds: Mapping[str, float]) -> None:
    """Count the time of stages: of a share of an image, say, that has no record of its own."""
    for name, times in (("cellfleet_stage_seconds_total", seconds), ("cellfleet_stage_cpu_seconds_total", cpu_seconds)):
        for stage, value in times.items():
            _the(name).labels(stage).inc(value)


def model_loaded(model: str) -> None:
    """Count a model (``name:version``) that was loaded."""
    _the("cellfleet_model_loads_total").labels(model).inc()


def model_server_answered(sent: int, received: int) -> None:
    """Count a tile that a model server predicted, and the bytes of its pixels and of its heads."""
    _the("cellfleet_model_server_requests_total").inc()
    _the("cellfleet_model_server_bytes_total").labels("sent").inc(sent)
    _the("cellfleet_model_server_bytes_total").labels("received").inc(received)


def model_server_waited(reason: str) -> None:
    """Count a request to a model server that has to be made again."""
    _the("cellfleet_model_server_waits_total").labels(reason).inc()


# --- what happened: beside a Triton ----------------------------------------------------------------------------------


def models_served(states: Mapping[str, int]) -> None:
    """Tell how many models are in which state."""
    for state, count in states.items():
        _the("cellfleet_served_models").labels(state).set(count)


def model_reloaded(model: str) -> None:
    """Count a model (``name:version``) that was given to the server."""
    _the("cellfleet_model_reloads_total").labels(model).inc()


def prepare(part: Part) -> None:
    """Have all metrics of a part told from now on, as 0: what appears only with its first event hides this event."""
    for metric in METRICS:
        if metric.part == part:
            _the(metric.name)


# --- the page --------------------------------------------------------------------------------------------------------


def page(levels: Levels | None = None, *, ledger: bool = False) -> tuple[bytes, str]:
    """Return what Prometheus reads, and its content type.

    Args:
        levels: Of the ledger; None: it did not answer.
        ledger: Whether this process tells of the ledger at all.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    shared = os.environ.get(_SHARED)
    if shared is None:
        found = generate_latest(_registry())
    else:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        with _ADDING:
            MultiProcessCollector(registry, shared)  # type: ignore[no-untyped-call]
            found = generate_latest(registry)
    if ledger:
        told = CollectorRegistry()
        told.register(_LedgerCollector(levels))
        found += generate_latest(told)
    return found, CONTENT_TYPE_LATEST


@contextlib.contextmanager
def serving_metrics(address: str) -> Iterator[str]:
    """Answer Prometheus at ``host:port`` while the block runs, from threads of their own; yield the address.

    Port 0: one that is free.

    Raises:
        UsageError: E981, the address is none, or it is not to be had.
    """
    from prometheus_client import start_http_server

    host, _, port = address.rpartition(":")
    action = "Give host and port, such as 127.0.0.1:9100"
    if not (host and port.isdigit() and int(port) < 1 << 16):
        raise UsageError("E981", "is no address for metrics", where=repr(address), action=action)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry=_registry())
    except OSError as error:
        what = f"metrics cannot be served there ({error.strerror or error})"
        raise UsageError("E981", what, where=address, action=action) from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _LedgerCollector:
    """What the ledger says at this moment."""

    def __init__(self, levels: Levels | None) -> None:
        self._levels = levels

    def collect(self) -> Iterator[Family]:
        from prometheus_client.core import GaugeMetricFamily

        up, levels = _metric("cellfleet_ledger_up"), self._levels
        yield GaugeMetricFamily(up.name, up.meaning, value=float(levels is not None))
        if levels is None:
            return
        for name, values in (("cellfleet_tasks_queued", levels.queued), ("cellfleet_tasks_leased", levels.leased)):
            family = GaugeMetricFamily(name, _metric(name).meaning, labels=["priority"])
            for priority, value in values.items():
                family.add_metric([priority], value)
            yield family
        dead = _metric("cellfleet_tasks_dead")
        yield GaugeMetricFamily(dead.name, dead.meaning, value=levels.dead)


# --- processes that share a folder -----------------------------------------------------------------------------------


@contextlib.contextmanager
def sharing_metrics() -> Iterator[None]:
    """Have this process and children that it starts in the block count in files of one folder; `page` adds them up.

    To be entered before anything is counted. The folder is in the system's place for temporary files: these are mapped
    into memory, which the disks of a network bear badly.
    """
    assert "prometheus_client" not in sys.modules, "the library has settled how it counts"
    with tempfile.TemporaryDirectory(prefix="cellfleet-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_SHARED] = folder
        try:
            yield
        finally:
            del os.environ[_SHARED]


def child_ended(pid: int) -> None:
    """Add what a child that ended has counted to one set of files for all of them, so that files do not pile up."""
    folder = os.environ.get(_SHARED)
    if folder is None:
        return
    from prometheus_client import mmap_dict

    file_of: Any = mmap_dict.MmapedDict
    with _ADDING:
        for path in glob.glob(f"{glob.escape(folder)}/*_{pid}.db"):
            kind = os.path.basename(path).rpartition("_")[0]
            if not kind.startswith("gauge"):
                sums = file_of(f"{folder}/{kind}_{_ENDED}.db")
                for key, value, _, _ in file_of.read_all_values_from_file(path):
                    sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
                sums.close()
            os.remove(path)


# --- below -----------------------------------------------------------------------------------------------------------


@functools.cache
def _registry() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

    disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many lines, which nobody reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _metric(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


def _the(name: str) -> Any:
    """Return what counts a metric; made once per process."""
    with _MAKING:
        return _made(name)


@functools.cache
def _made(name: str) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    metric, registry = _metric(name), _registry()
    if metric.type == "counter":
        made: Any = Counter(name, metric.meaning, tuple(metric.labels), registry=registry)
    elif metric.type == "gauge":
        made = Gauge(name, metric.meaning, tuple(metric.labels), registry=registry, multiprocess_mode="livesum")
    else:
        made = Histogram(name, metric.meaning, tuple(metric.labels), registry=registry, buckets=metric.buckets)
    if len(metric.labels) == 1:
        for value in next(iter(metric.labels.values())):
            made.labels(value)
    return made


def _memory_bytes() -> int:
    """Return the memory that this process holds; 0 where the system has no ``/proc`` to tell it."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0
