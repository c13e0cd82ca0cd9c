"""Every metric: its name, type, labels, unit and meaning. `docs/reference/metrics.md` shows this table.

Names and units follow the customs of Prometheus: base units, `_total` for what only grows. Knows no library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Part = Literal["service", "ledger", "worker", "sidecar"]
OPEN: Final = ()
"""Values of a label that are not known beforehand."""

_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SLOW: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
STAGES: Final = ("read", "survey", "preprocess", "predict", "postprocess", "measure", "write")


@dataclass(frozen=True)
class Metric:
    """One family of samples."""

    part: Part
    """Which processes tell it."""
    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label → its values, which are told as 0 from the start; `OPEN`: whatever occurs."""
    buckets: tuple[float, ...] = ()
    """Upper ends of a histogram's buckets, in its unit."""


_ROUTE = {"method": OPEN, "route": OPEN}

METRICS: Final = (
    Metric(
        "service",
        "cellfleet_http_requests_total",
        "counter",
        "requests",
        "Requests that were answered. `route` is the template, such as `/api/v1/jobs/{job}`; `other` where there is "
        "none. Status 499: the client went away.",
        {**_ROUTE, "status": OPEN},
    ),
    Metric(
        "service",
        "cellfleet_http_request_seconds",
        "histogram",
        "seconds",
        "From a request to the end of its answer. Streams of events last as long as somebody watches.",
        _ROUTE,
        _FAST,
    ),
    Metric(
        "service", "cellfleet_http_received_bytes_total", "counter", "bytes", "Bodies of requests.", {"route": OPEN}
    ),
    Metric("service", "cellfleet_http_sent_bytes_total", "counter", "bytes", "Bodies of answers.", {"route": OPEN}),
    Metric(
        "service",
        "cellfleet_http_errors_total",
        "counter",
        "answers",
        "Answers that told of an error, by its code (docs/reference/errors.md).",
        {"code": OPEN},
    ),
    Metric(
        "service",
        "cellfleet_uploads_total",
        "counter",
        "files",
        "Files that arrived whole: through the service, or straight to the bucket.",
        {"way": ("service", "direct")},
    ),
    Metric(
        "service", "cellfleet_uploaded_bytes_total", "counter", "bytes", "Their size.", {"way": ("service", "direct")}
    ),
    Metric("service", "cellfleet_event_watchers", "gauge", "streams", "Streams of events that are open now."),
    Metric("ledger", "cellfleet_ledger_up", "gauge", "0 or 1", "Whether the ledger answered when this was asked."),
    Metric(
        "ledger",
        "cellfleet_tasks_queued",
        "gauge",
        "tasks",
        "Tasks that wait for a worker: the lag. Those of a paused job count until a worker met them.",
        {"priority": OPEN},
    ),
    Metric("ledger", "cellfleet_tasks_leased", "gauge", "tasks", "Tasks in flight.", {"priority": OPEN}),
    Metric("ledger", "cellfleet_tasks_dead", "gauge", "tasks", "Tasks on the dead lists of the newest 200 jobs."),
    Metric("worker", "cellfleet_workers", "gauge", "processes", "Workers that run."),
    Metric("worker", "cellfleet_worker_slots", "gauge", "tasks", "How many tasks they can run at once."),
    Metric("worker", "cellfleet_task_attempts_total", "counter", "attempts", "Tasks that were begun."),
    Metric(
        "worker",
        "cellfleet_tasks_total",
        "counter",
        "tasks",
        "How attempts ended. `released`: given back unfinished, at a stop. `lost`: somebody else had the task by then.",
        {"outcome": ("done", "failed", "released", "lost")},
    ),
    Metric("worker", "cellfleet_task_seconds", "histogram", "seconds", "How long attempts took.", {}, _SLOW),
    Metric(
        "worker",
        "cellfleet_lease_renewals_total",
        "counter",
        "renewals",
        "What the ledger said to renewals. `lost`: the lease had ended. `unanswered`: it said nothing.",
        {"answer": ("held", "lost", "cancelled", "unanswered")},
    ),
    Metric(
        "worker",
        "cellfleet_images_total",
        "counter",
        "images",
        "Images that got a result, or a record of why there is none. What is tried again counts again.",
        {"status": ("done", "failed")},
    ),
    Metric(
        "worker",
        "cellfleet_pixels_total",
        "counter",
        "pixels",
        "Pixels of all planes of the images that are done; channels are not counted.",
    ),
    Metric("worker", "cellfleet_objects_total", "counter", "objects", "Objects that were found."),
    Metric("worker", "cellfleet_read_bytes_total", "counter", "bytes", "Size of the input files of ended images."),
    Metric(
        "worker",
        "cellfleet_stage_seconds_total",
        "counter",
        "seconds",
        "Wall time per stage, summed over threads.",
        {"stage": STAGES},
    ),
    Metric(
        "worker",
        "cellfleet_stage_cpu_seconds_total",
        "counter",
        "seconds",
        "Processor time per stage. Far below the wall time: the stage waits, for the store for example.",
        {"stage": STAGES},
    ),
    Metric(
        "worker",
        "cellfleet_model_loads_total",
        "counter",
        "loads",
        "Models that were loaded and warmed up, as `name:version`.",
        {"model": OPEN},
    ),
    Metric(
        "worker",
        "cellfleet_model_server_requests_total",
        "counter",
        "requests",
        "Tiles that a model server predicted (`--model-server`).",
    ),
    Metric(
        "worker",
        "cellfleet_model_server_bytes_total",
        "counter",
        "bytes",
        "Their pixels and heads, over the network or through shared memory.",
        {"direction": ("sent", "received")},
    ),
    Metric(
        "worker",
        "cellfleet_model_server_waits_total",
        "counter",
        "waits",
        "Requests that were put off and made again. `full`: its queue was. `away`, `missing`, `late`, `ill`: nobody "
        "answered, the model was not loaded, no answer came in time, or the process of the model had ended. `failed`: "
        "the graph did. `forgotten`: the server was started anew, and knew the shared memory no more.",
        {"reason": ("full", "away", "forgotten", "missing", "late", "ill", "failed")},
    ),
    Metric(
        "worker",
        "cellfleet_worker_busy_seconds_total",
        "counter",
        "seconds",
        "Time with a task at hand, summed over tasks. Its rate ÷ `cellfleet_worker_slots` is the busy share.",
    ),
    Metric("worker", "cellfleet_worker_memory_bytes", "gauge", "bytes", "Memory in use by workers (RSS); Linux."),
    Metric(
        "sidecar",
        "cellfleet_served_models",
        "gauge",
        "models",
        "Models of a Triton, one per type of pixels, by their last canary. `ill`: it answered before. `broken`: never.",
        {"state": ("ready", "ill", "broken")},
    ),
    Metric(
        "sidecar",
        "cellfleet_model_reloads_total",
        "counter",
        "loads",
        "Models that were given to it, as `name:version`, for each type of pixels.",
        {"model": OPEN},
    ),
)
"""In the order of the reference."""
