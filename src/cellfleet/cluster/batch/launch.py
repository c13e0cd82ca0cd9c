"""A job of a fleet, from its inputs to its results: write it down, start workers, wait until it has ended.

The same order is the same job: after a stop, the same command goes on with it, starts the workers that are missing, and
has tried again what failed. Knows no command line.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from cellfleet.cluster.batch import amazon, google, slurm
from cellfleet.cluster.batch.fleet import Wanted, disk_gb, fleet_store, worker_command
from cellfleet.errors import JobError, UsageError
from cellfleet.jobs.claims import LEASE_SECONDS
from cellfleet.jobs.ends import Ends, agreed_lease, beside, living
from cellfleet.jobs.manifest import Manifest, read_manifest, read_tasks
from cellfleet.jobs.split import SHARE_BLOCKS
from cellfleet.jobs.submission import send
from cellfleet.models.repository import Repository
from cellfleet.spec.choices import Format
from cellfleet.spec.fleet import BatchSystem, FleetSpec
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, Progress
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import Place, open_place
from cellfleet.stores.url import is_url, local_path
from cellfleet.tiling.blocks import BLOCK

NOTIFY = "notify"
_POLL_SECONDS = 5.0
_SILENCE_SECONDS = 900.0
"""Without a living worker, before the user is told: machines may take minutes to come."""

Tell = Callable[[str], None]


class _System(Protocol):
    """A batch system."""

    def shown(self, wanted: Wanted) -> str:
        """Return what would be asked, for people."""
        ...

    def send(self, wanted: Wanted) -> str:
        """Have the workers started; return the name of that."""
        ...


_SYSTEMS: Mapping[BatchSystem, _System] = MappingProxyType({"gcp-batch": google, "aws-batch": amazon, "slurm": slurm})


@dataclass(frozen=True)
class FleetOrder:
    """What the user wants."""

    inputs: tuple[str, ...]
    out: str
    segment: SegmentSpec
    formats: tuple[Format, ...]
    detach: bool = False


Outcome = Literal["done", "some failed", "detached", "stopped"]


def render(order: FleetOrder, fleet: FleetSpec) -> str:
    """Return what would be asked of the batch system for a job with more than enough to do. Writes nothing."""
    check(order, fleet)
    return _SYSTEMS[fleet.where].shown(_wanted(fleet, fleet_store(fleet, order.out), fleet.max_workers, 0))


def launch(order: FleetOrder, fleet: FleetSpec, tell: Tell, stop: threading.Event) -> Outcome:
    """Do an order with a fleet.

    Args:
        order: What is wanted.
        fleet: Who does it.
        tell: Is told what happens, in sentences.
        stop: Set when the user does not want to wait any longer; the job goes on.

    Raises:
        UsageError: E720–E724, it cannot be done as asked.
        ClusterError: E722, the batch system refuses.
        InputError, OutputError, ModelError, JobError: There is nothing to do, or the store does not answer.
    """
    check(order, fleet)
    store = open_place(fleet_store(fleet, order.out))
    agreed_lease(store, fleet.lease_seconds)
    started = _start(fleet, store, fleet.min_workers - _warm(store), 0, tell)
    spec = _job(order, store)
    known = _submitted(spec, fleet, store, tell)
    if not Ends(store).is_summarised(spec.id):
        wanted = min(fleet.max_workers, known.tasks) - max(_warm(store), started)
        _start(fleet, store, wanted, _largest_image(known, store), tell)
    if order.detach:
        tell(f"Job {spec.id} is on its way. Run the same command again to see how far it is.")
        return "detached"
    return _wait(spec, store, tell, stop)


def check(order: FleetOrder, fleet: FleetSpec) -> None:
    """Raise `UsageError` E724 for an order that machines elsewhere cannot read or write."""
    if fleet.where == "slurm":
        return
    here = next((given for given in (*order.inputs, order.out) if not is_url(given)), None)
    if here is not None:
        action = "Copy the images into a bucket, and give addresses (s3://…, gs://…)"
        raise UsageError("E724", f"machines of {fleet.where} cannot reach this", where=here, action=action)


def _job(order: FleetOrder, store: Place) -> JobSpec:
    model = Repository(store, cache_folder()).resolve(order.segment.model)
    segment = order.segment.model_copy(update={"model": f"{model.name}:{model.version}"})
    out = order.out if is_url(order.out) else Path(order.out).absolute().as_uri()
    inputs = tuple(given if is_url(given) else os.path.abspath(given) for given in order.inputs)
    said = repr((inputs, out, segment.digest(model.sha256), order.formats)).encode()
    return JobSpec(
        id=f"fleet-{hashlib.sha256(said).hexdigest()[:12]}",
        name=out.rstrip("/").rpartition("/")[2],
        inputs=inputs,
        model=model,
        segment=segment,
        formats=order.formats,
        results=out,
    )


def _submitted(spec: JobSpec, fleet: FleetSpec, store: Place, tell: Tell) -> Manifest:
    try:
        known = read_manifest(store, spec.id)
    except JobError as error:
        if error.code != "E810":
            raise
        address = os.environ.get(fleet.notify_env) if fleet.notify_env else None
        if address:
            store.write(beside(spec.id, NOTIFY), address.encode())
        known = send(spec, store)
        tell(f"Job {spec.id}: {known.images} images in {known.tasks} tasks.")
        return known
    again = Ends(store).retry_failed(spec.id)
    tell(f"Job {spec.id} goes on" + (f"; {again} tasks that failed are tried again." if again else "."))
    return known


def _largest_image(known: Manifest, store: Place) -> int:
    """Return about how large the labels of the largest image are, bytes; images of bundles are small."""
    shares = max((task.share.count for task in read_tasks(store, known) if task.share is not None), default=0)
    return shares * SHARE_BLOCKS * BLOCK**2 * 4


def _warm(store: Place) -> int:
    return living(store, 2 * agreed_lease(store, LEASE_SECONDS))


def _start(fleet: FleetSpec, store: Place, workers: int, largest_image: int, tell: Tell) -> int:
    if workers <= 0:
        return 0
    wanted = _wanted(fleet, store.url, workers, largest_image)
    name = _SYSTEMS[fleet.where].send(wanted)
    tell(f"Asked {fleet.where} for {workers} workers: {name}")
    return workers


def _wanted(fleet: FleetSpec, store: str, workers: int, largest_image: int) -> Wanted:
    name = f"cellfleet-{fleet.name}-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}"
    return Wanted(fleet, name, workers, worker_command(fleet, store), disk_gb(fleet, largest_image))


def _wait(spec: JobSpec, store: Place, tell: Tell, stop: threading.Event) -> Outcome:
    jobs, shown, silent_since = Ends(store), "", time.monotonic()
    while not stop.is_set():
        progress = jobs.progress(spec.id)
        if progress.state == "cancelled" or (progress.state in FINAL_JOB_STATES and jobs.is_summarised(spec.id)):
            tell(f"Results are in {local_path(spec.results) or spec.results}")
            return "done" if progress.state == "done" else "some failed"
        workers = _warm(store)
        line = _line(progress, workers)
        if line != shown:
            tell(line)
            shown = line
        if workers:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > _SILENCE_SECONDS:
            silent_since = time.monotonic()
            tell("No worker shows life. Look at the batch system; the same command, run again, starts new ones.")
        stop.wait(_POLL_SECONDS)
    tell("Not waiting any longer; the job goes on. Run the same command again to see how far it is.")
    return "stopped"


def _line(progress: Progress, workers: int) -> str:
    failed = progress.tally.failed_images
    return f"{progress.tally.images}/{progress.images} images · {workers} workers" + (
        f" · {failed} failed" if failed else ""
    )
