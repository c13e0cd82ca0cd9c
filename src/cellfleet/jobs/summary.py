"""The summary of a job that has ended: `run.json`, `failures.csv` and `report.html`, as of a run on one machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Protocol

import cellfleet
from cellfleet.errors import JobError
from cellfleet.jobs.manifest import Manifest, read_manifest, read_tasks
from cellfleet.jobs.places import results_of
from cellfleet.models.repository import Repository
from cellfleet.results.classes import with_class_tables
from cellfleet.results.record import FOLDER, load_record, write_image_record
from cellfleet.run.summary import as_command, as_python, model_used, versions, write_overview
from cellfleet.spec.job import DeadTask, JobSpec, Progress
from cellfleet.spec.record import ImageRecord, RunRecord, Told
from cellfleet.spec.segment import RunOptions
from cellfleet.spec.usage import Bill
from cellfleet.stores.place import Place
from cellfleet.stores.url import without_secrets

MOST_RECORDS = 20_000
"""`run.json` and the report hold all records (9 kB each) up to this number, beyond it only those of failed images."""
_WORK_FOLDERS = ("parts", "stitching", "trials", "failed")
_OUT = "results"
"""Stands for the place of the results in the run as a command, which its user chooses."""
_DEAD = "Try it again with `cellfleet jobs retry`; if it fails again, try the image with `cellfleet segment`"


class KnowsJobs(Protocol):
    """What a summary asks of a ledger."""

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted."""
        ...

    def progress(self, job: str) -> Progress:
        """Return how far a job is."""
        ...

    def dead(self, job: str) -> Iterable[DeadTask]:
        """Return the tasks that were given up."""
        ...


def summarise(store: Place, ledger: KnowsJobs, models: Repository, job: str, bill: Bill | None = None) -> None:
    """Write the summary of a job that has ended, and remove what its workers have no more use for. May be repeated.

    Args:
        store: Of the service, as are the next two.
        ledger: Who worked on what.
        models: For the model's manifest.
        job: Which.
        bill: What it cost; None where nobody made it out.

    Raises:
        ModelError: The model is gone.
        OutputError, LedgerError: Store or ledger do not answer.
    """
    spec, progress = ledger.spec(job), ledger.progress(job)
    try:
        manifest = read_manifest(store, job)
    except JobError:  # ended before its images were listed
        return
    out = results_of(spec, store)
    found = _all_records(store, manifest, out, _dead(ledger, job), spec, models)
    records = list(_kept(with_class_tables(out, found) if spec.segment.top else found, manifest.images))
    write_overview(out, _run(spec, progress, records, models).model_copy(update={"bill": bill}))
    out.sweep()  # of what workers that were killed left half-written
    if progress.state == "done":
        for name in _WORK_FOLDERS:
            out.remove(f"{FOLDER}/{name}")


def _dead(ledger: KnowsJobs, job: str) -> dict[str, DeadTask]:
    """Image → the task that was given up with it."""
    return {image.name: dead for dead in ledger.dead(job) for image in dead.task.images}


def _all_records(
    store: Place, manifest: Manifest, out: Place, dead: dict[str, DeadTask], spec: JobSpec, models: Repository
) -> Iterator[ImageRecord]:
    """Yield the record of every image that ended; failures take their place among the records for good."""
    key = spec.segment.digest(spec.model.sha256)
    for task in read_tasks(store, manifest):
        for image in task.images[: task.new_images]:
            record = load_record(out, image.name)
            if record is None and image.name in dead:
                why = dead[image.name]
                told = Told(code=why.code or "E814", what=why.reason, where=image.name, action=_DEAD)
                record = ImageRecord(image=image.name, status="failed", key=key, error=told)
            if record is not None:
                if record.status == "failed":
                    write_image_record(out, record)
                yield record


def _kept(records: Iterator[ImageRecord], images: int) -> Iterator[ImageRecord]:
    return (record for record in records if images <= MOST_RECORDS or record.status == "failed")


def _run(spec: JobSpec, progress: Progress, records: list[ImageRecord], models: Repository) -> RunRecord:
    seconds, waiting = Counter[str](), Counter[str]()
    for record in records:
        seconds.update(record.seconds)
        waiting.update(record.waiting_seconds)
    failed = progress.tally.images < progress.images
    inputs = tuple(without_secrets(given) for given in spec.inputs)
    options = RunOptions(formats=spec.formats)
    return RunRecord(
        cellfleet=cellfleet.__version__,
        command=as_command(inputs, _OUT, spec.segment, options),
        python=as_python(inputs, _OUT, spec.segment, options),
        started=_moment(progress.started_ms or progress.submitted_ms),
        finished=_moment(progress.finished_ms or progress.submitted_ms),
        status="stopped" if progress.state == "cancelled" else "done-with-failures" if failed else "done",
        spec=spec.segment,
        key=spec.segment.digest(spec.model.sha256),
        model=model_used(spec.model, models.steps(spec.model)),
        manifest=models.manifest(spec.model).model_dump(mode="json"),
        formats=spec.formats,
        device="workers of a service",
        threads=0,
        inputs=inputs,
        versions=versions(),
        seconds={stage: round(value, 4) for stage, value in seconds.items()},
        waiting_seconds={stage: round(value, 4) for stage, value in waiting.items()},
        wall_seconds=_wall_seconds(progress),
        images=tuple(sorted(records, key=lambda record: record.image)),
    )


def _wall_seconds(progress: Progress) -> float:
    if progress.started_ms is None or progress.finished_ms is None:
        return 0.0
    return (progress.finished_ms - progress.started_ms) / 1000


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
