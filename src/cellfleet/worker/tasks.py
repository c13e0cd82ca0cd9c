"""One task of the ledger: its images through the pipeline, into the job's results. Knows no ledger and no lease.

A task may come twice, even to two workers at once. So what stands is not done again, everything is written whole under
a name that follows from the image, and a failure never takes the place of a result.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cellfleet.errors import OutputError
from cellfleet.jobs.places import results_of, source_here
from cellfleet.jobs.work import is_final
from cellfleet.models import AnyModel
from cellfleet.observe import metrics
from cellfleet.observe.logs import log_context
from cellfleet.pipeline.clock import Clock
from cellfleet.results.record import (
    as_json,
    failure_name,
    load_record,
    parts_folder,
    stitching_name,
    write_image_record,
)
from cellfleet.run.names import output_names
from cellfleet.run.plan import Task as ImageTask
from cellfleet.run.process import Work, attempt, finds_nuclei_of_cells
from cellfleet.run.shard import share_by_squares
from cellfleet.run.speed_log import SpeedLog, pixels_of
from cellfleet.run.stitch import PARTS_DISAGREE
from cellfleet.spec.job import Done, Failed, JobSpec, Outcome, Tally, Task
from cellfleet.spec.record import ImageRecord, Told
from cellfleet.stores.place import Place
from cellfleet.worker.bench import Bench
from cellfleet.worker.meter import Meter
from cellfleet.worker.trials import MOST, suspects_last, trial

_T = TypeVar("_T")
Alive = Callable[[], None]
"""Shows that the task goes on; raises when nobody wants it any more."""
Took = Callable[[ImageRecord | Clock], None]
"""Is told what became of an image, or of this machine's share of it."""

_PASSING = {"E301", "E323"}
"""The disk is full, or the bucket does not answer: no image would fare better, and all of it may pass."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two attempts to write."""
_ENDED_WORKER = Told(
    code="E820",
    what="the worker ended at every attempt at this image",
    action="It may need more memory than the worker has, or meet a fault of a library: try it with `cellfleet segment`",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """Runs tasks; may be called from several threads at once."""

    store: Place
    job: Callable[[str], JobSpec]
    """Returns what was submitted."""
    bench: Bench
    meter: Meter
    speeds: SpeedLog | None = None

    def __call__(self, task: Task, tries: int, alive: Alive) -> Outcome:
        """Do what is not done of a task, for the `tries`-th time; see `cellfleet.jobs.work.Run`.

        Raises:
            ModelError, DeviceError: The model cannot be used here.
            OutputError: Results cannot be written.
        """
        spec = self.job(task.job)

        def alive_and_metered() -> None:
            alive()
            self.meter.alive(task.job)

        with (
            self.bench.use(spec.model, alive) as (model, pools),
            self.meter.task(task.job, partial(_patiently, alive=alive)),
            self.speeds.working(model) if self.speeds else contextlib.nullcontext(),
        ):
            out = results_of(spec, self.store)
            work = Work(
                out,
                spec.segment,
                spec.segment.digest(model.sha256),
                model,
                pools,
                alive=alive_and_metered,
                share=lambda jobs, image: share_by_squares(jobs, task.share) if task.share else jobs,
                stitches=partial(_is_mine, out, task),
            )
            took = partial(self._took, task.job, model)
            return _outcome(task, list(_one_by_one(self.store, spec, task, tries, work, took)))

    def _took(self, job: str, model: AnyModel, record: ImageRecord | Clock) -> None:
        self.meter.stages(job, record.seconds)
        if self.speeds:
            self.speeds.stages(model, record.seconds)
            if isinstance(record, ImageRecord) and record.status == "done":
                self.speeds.done(model, pixels_of(record.axes, record.shape), sum(record.seconds.values()))


def _one_by_one(
    store: Place, spec: JobSpec, task: Task, tries: int, work: Work, took: Took
) -> Iterator[ImageRecord | None]:
    """Yield what became of each image; None for a shared one that others have to end."""
    suspicious = tries > 1 and len(task.images) > 1
    ordered = suspects_last(work.out, task.images) if suspicious else [(image, 0) for image in task.images]
    for image, trials in ordered:
        work.checkpoint()
        outputs = output_names(image.stem, spec.formats, nuclei=finds_nuclei_of_cells(work.model, work.spec))
        wanted = ImageTask(source_here(image, store), task.first_image, outputs)
        mine = partial(_is_mine, work.out, task, image.name)
        do = partial(_patiently, partial(_done, wanted, work, mine, took), work.checkpoint)
        if trials >= MOST:
            yield _failed(work, ImageRecord(image=image.name, status="failed", key=work.key, error=_ENDED_WORKER))
        elif suspicious:
            with trial(work.out, image, trials):
                yield do()
        else:
            yield do()


def _done(task: ImageTask, work: Work, mine: Callable[[], bool], took: Took) -> ImageRecord | None:
    stands = load_record(work.out, task.name)
    if stands is not None and stands.status == "done" and stands.key == work.key:
        return stands if mine() else None
    with log_context(image=task.name):
        record = attempt(task, work)
        took(record)
        _tell(record)
    if isinstance(record, Clock):
        return None
    if record.status == "failed":
        return _failed(work, record)
    write_image_record(work.out, record)
    if record.blocks > 1:  # an image of one block is never kept in parts
        work.out.remove(parts_folder(task.name))
    if stands is not None:
        work.out.remove(failure_name(task.name))
    return record


def _tell(record: ImageRecord | Clock) -> None:
    if isinstance(record, Clock):
        metrics.stages_ended(record.seconds, record.cpu_seconds)
        return
    metrics.image_ended(record)
    if record.error is not None:
        _log.warning("failed: %s [%s]", record.error.what, record.error.code)
    else:
        _log.info("done: %s", ", ".join(plane.top[0].name for plane in record.classes) or f"{record.objects} objects")


def _failed(work: Work, record: ImageRecord) -> ImageRecord:
    assert record.error is not None
    work.out.write(failure_name(record.image), as_json(record))
    if record.error.code == PARTS_DISAGREE:
        work.out.remove(parts_folder(record.image))
    return record


def _is_mine(out: Place, task: Task, image: str) -> bool:
    """Say whether this task puts an image together: of a shared one that which asked first does, whenever it comes."""
    if task.share is None:
        return True
    number = str(task.number).encode()
    return out.create(stitching_name(image), number) or out.read(stitching_name(image)) == number


def _patiently(do: Callable[[], _T], alive: Alive) -> _T:
    """Do something as soon as the store lets us; the lease holds as long as life is shown."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return do()
        except OutputError as error:
            if error.code not in _PASSING:
                raise
            _log.warning("waiting: %s", error)
        until = time.monotonic() + pause
        while time.monotonic() < until:
            alive()
            time.sleep(min(pause, 0.5))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _outcome(task: Task, records: Sequence[ImageRecord | None]) -> Outcome:
    """Sum up. A shared image counts where it was put together, and as failed with its first share."""
    done = [record for record in records if record is not None and record.status == "done"]
    errors = [(record.image, record.error) for record in records if record is not None and record.error is not None]
    tally = Tally(
        images=len(done),
        failed_images=len(errors) if task.share is None or task.share.number == 1 else 0,
        pixels=sum(pixels_of(record.axes, record.shape) for record in done),
        objects=sum(record.objects for record in done),
    )
    if not errors:
        return Done(tally=tally)
    image, first = errors[0]
    more = f"; {len(errors) - 1} more of {len(records)} images failed" if len(errors) > 1 else ""
    final = all(error.code == _ENDED_WORKER.code or is_final(error.code) for _, error in errors)
    return Failed(code=first.code, reason=f"{image}: {first.what}{more}", final=final, tally=tally)
