"""What is to do, as files in a store: written before the ledger is told, and enough to build the ledger again.

    jobs/<id>.json               the job; written last: without it the job was never submitted
    jobs/<id>.hold               the word `paused` or `cancelled`, where the user said so
    tasks/<id>/<first>.jsonl     1000 tasks, one a line, from number <first> on

Tasks stand in folders of their own, so that jobs can be listed without them. Knows no image and no worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from cellfleet.errors import JobError
from cellfleet.jobs.ledger import Ledger
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, Task
from cellfleet.stores.place import Place

Hold = Literal["paused", "cancelled"]
Standing = Callable[[JobSpec], Callable[[Task], bool]]
"""Says of a job's tasks whether their results stand."""

CHUNK = 1000
"""Tasks per file."""


class Manifest(BaseModel):
    """A job, and how many tasks it was divided into."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    job: JobSpec
    tasks: NonNegativeInt
    tasks_per_file: PositiveInt = CHUNK


def write_manifest(place: Place, job: JobSpec, tasks: Iterable[Task]) -> Manifest:
    """Write what is to do; holds 1000 tasks at a time. May be repeated with the same tasks.

    Args:
        place: The store.
        job: What was submitted.
        tasks: Of this job, numbered from 0 without gaps.
    """
    numbered, count = iter(tasks), 0
    while chunk := list(islice(numbered, CHUNK)):
        assert all(task.number == count + i and task.job == job.id for i, task in enumerate(chunk)), "tasks in order"
        place.write(_chunk(job.id, count), "".join(f"{task.model_dump_json()}\n" for task in chunk).encode())
        count += len(chunk)
    manifest = Manifest(job=job, tasks=count)
    place.write(_head(job.id), manifest.model_dump_json(indent=2).encode())
    return manifest


def read_manifest(place: Place, job: str) -> Manifest:
    """Return the manifest of a job. Raises `JobError` E810 when there is none, E813 when it is damaged."""
    content = place.read(_head(job))
    if content is None:
        raise JobError("E810", "there is no such job", where=job, action="`cellfleet jobs list` shows all")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(place, _head(job)) from error


def read_tasks(place: Place, manifest: Manifest, *, start: int = 0) -> Iterator[Task]:
    """Yield the tasks of a job from number `start` on; holds 1000 at a time. Raises `JobError` E813."""
    step = manifest.tasks_per_file
    for first in range(start // step * step, manifest.tasks, step):
        lines = (place.read(_chunk(manifest.job.id, first)) or b"").splitlines()
        if len(lines) != min(step, manifest.tasks - first):
            raise _damaged(place, _chunk(manifest.job.id, first))
        for number, line in enumerate(lines, first):
            if number >= start:
                yield _task(place, manifest.job.id, first, number, line)


def list_manifests(place: Place) -> Iterator[str]:
    """Yield the ids of all jobs that were submitted, in no order."""
    for name in place.names("jobs"):
        if name.endswith(".json"):
            yield PurePosixPath(name).stem


def hold(place: Place, job: str, how: Hold | None) -> None:
    """Remember that a job is paused or cancelled, or with None that it is not; the ledger is told afterwards."""
    if how is None:
        place.remove(_hold(job))
    else:
        place.write(_hold(job), how.encode())


def remove_manifest(place: Place, job: str) -> None:
    """Remove all that is written of a job; its results stay."""
    for name in (_head(job), _hold(job), f"tasks/{job}"):
        place.remove(name)


def recover(place: Place, ledger: Ledger, standing: Standing) -> list[str]:
    """Make the ledger agree with the store; return the jobs that it knew nothing, or not all, of.

    For a ledger that was wiped, that lost its last second when its server was killed, or a job whose submission was
    cut short. Costs little for jobs that the ledger knows. May run beside workers and submissions, and twice at once.

    Args:
        place: The store.
        ledger: Which may know some, or nothing, of the jobs.
        standing: Says what needs no work, because its results stand.

    Raises:
        JobError: E813, when a manifest is damaged; the jobs before it are recovered.
    """
    recovered = []
    for job in sorted(list_manifests(place)):
        held = (place.read(_hold(job)) or b"").decode()
        manifest = None
        if held != "cancelled" and (ledger.told(job) is None or ledger.progress(job).total is None):
            manifest = read_manifest(place, job)
            tasks = read_tasks(place, manifest, start=ledger.told(job) or 0)
            ledger.submit(manifest.job, tasks, stands=standing(manifest.job))
            recovered.append(job)
        _hold_again(ledger, job, held)
    return recovered


def _hold_again(ledger: Ledger, job: str, held: str) -> None:
    """Repeat what a ledger may have missed: a pause, its end, or a cancellation."""
    if ledger.told(job) is None:
        return
    ended = ledger.progress(job).state in FINAL_JOB_STATES
    if held == "cancelled" and not ended:
        ledger.cancel(job)
    elif held == "paused" and not ended:
        ledger.pause(job)
    elif not held and not ended:
        ledger.resume(job)


def _task(place: Place, job: str, first: int, number: int, line: bytes) -> Task:
    try:
        task = Task.model_validate_json(line)
    except ValidationError as error:
        raise _damaged(place, _chunk(job, first)) from error
    if (task.job, task.number) != (job, number):
        raise _damaged(place, _chunk(job, first))
    return task


def _damaged(place: Place, name: str) -> JobError:
    action = "Restore this file from a copy, or cancel the job and submit it again; results that stand are kept"
    return JobError("E813", "the job's manifest is damaged or incomplete", where=f"{place.url}/{name}", action=action)


def _head(job: str) -> str:
    return f"jobs/{job}.json"


def _hold(job: str) -> str:
    return f"jobs/{job}.hold"


def _chunk(job: str, first: int) -> str:
    return f"tasks/{job}/{first:09}.jsonl"
