"""A job of a fleet, from its inputs to its results: write it down, start workers, wait until it has ended.

The same order of the same images is the same job: after a stop, the same command goes on with it, starts the workers
that are missing, and has tried again what failed. With images that came since it is a new job, for which the results
that stand need no work. Knows no command line.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
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
from cellfleet.jobs.beats import living
from cellfleet.jobs.ends import Ends, agreed_lease, beside
from cellfleet.jobs.listing import list_images
from cellfleet.jobs.manifest import DAMAGED, Manifest, read_manifest, read_tasks
from cellfleet.jobs.places import results_of
from cellfleet.jobs.split import SHARE_BLOCKS
from cellfleet.jobs.submission import send
from cellfleet.models.repository import Repository
from cellfleet.results.record import RUN
from cellfleet.spec.choices import Format
from cellfleet.spec.fleet import BatchSystem, FleetSpec
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, PinnedModel, Progress
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import Place, open_place
from cellfleet.stores.url import is_url, local_path
from cellfleet.tiling.blocks import BLOCK

NOTIFY = "notify"
_POLL_SECONDS = 5.0
_SILENCE_SECONDS = 900.0
"""Without a living worker, before new ones are started or the user is told: machines may take minutes to come."""

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
    team = _Team(fleet, store, 2 * agreed_lease(store, fleet.lease_seconds), tell)
    started = team.start(fleet.min_workers - team.living())
    spec = _job(order, store)
    known = _submitted(spec, fleet, store, tell)
    if not Ends(store).is_summarised(spec.id):
        wanted = min(fleet.max_workers, known.tasks)
        team.start(wanted - max(team.living(), started), _largest_image(known, store))
    control = f"`cellfleet jobs cancel {spec.id} --store {shlex.quote(store.url)}` ends it."
    if order.detach:
        tell(f"Job {spec.id} is on its way. Run the same command again to see how far it is; {control}")
        return "detached"
    outcome = _wait(spec, known, team, stop)
    if outcome == "stopped":
        tell(f"Not waiting any longer; the job goes on. Run the same command again to see how far it is; {control}")
    return outcome


def check(order: FleetOrder, fleet: FleetSpec) -> None:
    """Raise `UsageError` E724 for an order that machines elsewhere cannot read or write."""
    if fleet.where == "slurm":
        return
    here = next((given for given in (*order.inputs, order.out) if not is_url(given) or local_path(given)), None)
    if here is not None:
        action = "Copy the images into a bucket, and give addresses (s3://…, gs://…)"
        raise UsageError("E724", f"machines of {fleet.where} cannot reach this", where=here, action=action)


def _job(order: FleetOrder, store: Place) -> JobSpec:
    model = Repository(store, cache_folder()).resolve(order.segment.model)
    segment = order.segment.model_copy(update={"model": f"{model.name}:{model.version}"})
    folder = None if is_url(order.out) else Path(order.out).absolute()
    out = order.out if folder is None else folder.as_uri()
    inputs = tuple(given if is_url(given) else os.path.abspath(given) for given in order.inputs)
    return JobSpec(
        id=f"fleet-{_digest(inputs, out, segment, model, order.formats)}",
        name=out.rstrip("/").rpartition("/")[2] if folder is None else folder.name,
        inputs=inputs,
        model=model,
        segment=segment,
        formats=order.formats,
        results=out,
    )


def _digest(
    inputs: tuple[str, ...], out: str, segment: SegmentSpec, model: PinnedModel, formats: tuple[Format, ...]
) -> str:
    """Return what tells this order of these images from others."""
    digest = hashlib.sha256(repr((inputs, out, segment.digest(model.sha256), formats)).encode())
    for image in list_images(inputs):
        digest.update(repr((image.source.path, image.source.name, image.source.inside, image.size)).encode())
    return digest.hexdigest()[:12]


def _submitted(spec: JobSpec, fleet: FleetSpec, store: Place, tell: Tell) -> Manifest:
    jobs, known = Ends(store), _known(spec.id, store)
    done = known is not None and jobs.is_summarised(spec.id) and jobs.progress(spec.id).state == "done"
    if known is not None and done and results_of(spec, store).exists(RUN):
        return known
    address = os.environ.get(fleet.notify_env) if fleet.notify_env else None
    if address:
        store.write(beside(spec.id, NOTIFY), address.encode())
    if known is None:
        known = send(spec, store)
        tell(f"Job {spec.id}: {known.images} images in {known.tasks} tasks.")
    elif done:
        jobs.start_over(spec.id)
        tell(f"The results of job {spec.id} are gone: it is done once more.")
    else:
        again = jobs.retry_failed(spec.id)
        tell(f"Job {spec.id} goes on" + (f"; {again} tasks that failed are tried again." if again else "."))
    return known


def _known(job: str, store: Place) -> Manifest | None:
    """Return what is to do for a job, if it stands whole. One that is damaged is to be written again."""
    try:
        known = read_manifest(store, job)
        _largest_image(known, store)
    except JobError as error:
        if error.code not in {"E810", DAMAGED}:
            raise
        return None
    return known


def _largest_image(known: Manifest, store: Place) -> int:
    """Return about how large the labels of the largest image are, bytes; images of bundles are small."""
    shares = max((task.share.count for task in read_tasks(store, known) if task.share is not None), default=0)
    return shares * SHARE_BLOCKS * BLOCK**2 * 4


@dataclass(frozen=True)
class _Team:
    """The workers of a store."""

    fleet: FleetSpec
    store: Place
    silence: float
    """Of a worker, seconds, before it does not count."""
    tell: Tell

    def living(self) -> int:
        """Return about how many there are."""
        return living(self.store, self.silence)

    def start(self, workers: int, largest_image: int = 0) -> int:
        """Start further ones, if the number is more than none; return how many."""
        if workers <= 0:
            return 0
        wanted = _wanted(self.fleet, self.store.url, workers, largest_image)
        name = _SYSTEMS[self.fleet.where].send(wanted)
        self.tell(f"Asked {self.fleet.where} for {workers} workers: {name}")
        return workers


def _wanted(fleet: FleetSpec, store: str, workers: int, largest_image: int) -> Wanted:
    # Two requests may be made in one second, and a name be used once only.
    name = f"cellfleet-{fleet.name}-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    return Wanted(fleet, name, workers, worker_command(fleet, store), disk_gb(fleet, largest_image))


def _wait(spec: JobSpec, known: Manifest, team: _Team, stop: threading.Event) -> Outcome:
    jobs, shown, ended_before, seen_at = Ends(team.store), "", 0, time.monotonic()
    while not stop.is_set():
        progress = jobs.progress(spec.id)
        if progress.state == "cancelled" or (progress.state in FINAL_JOB_STATES and jobs.is_summarised(spec.id)):
            team.tell(f"Results are in {local_path(spec.results) or spec.results}")
            return "done" if progress.state == "done" else "some failed"
        workers = team.living()
        line = _line(progress, workers)
        if line != shown:
            team.tell(line)
            shown = line
        if workers:
            seen_at = time.monotonic()
        elif time.monotonic() - seen_at > _SILENCE_SECONDS and progress.state != "paused":
            seen_at, ended = time.monotonic(), progress.done + progress.dead
            _replace(known, team, progress, worth_it=ended > ended_before)
            ended_before = ended
        stop.wait(_POLL_SECONDS)
    return "stopped"


def _replace(known: Manifest, team: _Team, progress: Progress, *, worth_it: bool) -> None:
    """Start workers in place of those that are gone, if these ended tasks: else it is for the user to see why not."""
    if worth_it:
        left = known.tasks - progress.done - progress.dead
        team.start(min(team.fleet.max_workers, max(left, 1)), _largest_image(known, team.store))
    else:
        team.tell("No worker shows life. Look at the batch system; the same command, run again, starts new ones.")


def _line(progress: Progress, workers: int) -> str:
    failed = progress.tally.failed_images
    return f"{progress.tally.images}/{progress.images} images · {workers} workers" + (
        f" · {failed} failed" if failed else ""
    )
