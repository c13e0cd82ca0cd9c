"""What is to do, as files in a store: written before the ledger is told, and enough to build the ledger again.

    requests/<id>.json           a job that was taken in and is not divided into tasks yet
    jobs/<id>.json               the job; written after its tasks
    jobs/<id>.hold               the word `paused` or `cancelled`, where the user said so
    jobs/<id>.problem            why there is nothing to do
    jobs/<id>.expires            when all of it may be removed: milliseconds since 1970
    tasks/<id>/<first>.jsonl     1000 tasks, one a line, from number <first> on

Tasks stand in folders of their own, so that jobs can be listed without them. Knows no image and no worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile, islice
from pathlib import PurePosixPath
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from cellfleet.errors import JobError
from cellfleet.jobs.ledger import Ledger
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, Task
from cellfleet.spec.newer import read_order
from cellfleet.spec.record import Told
from cellfleet.stores.place import Place

_M = TypeVar("_M", bound=BaseModel)

Hold = Literal["paused", "cancelled"]
Standing = Callable[[JobSpec], Callable[[Task], bool]]
"""Says of a job's tasks whether their results stand."""

FOLDERS = ("requests", "jobs", "tasks")
"""Of the store: all that is written here."""
CHUNK = 1000
"""Tasks per file."""
DAMAGED = "E813"


class Manifest(BaseModel):
    """A job, and how many tasks and images it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    job: JobSpec
    tasks: NonNegativeInt
    images: NonNegativeInt
    tasks_per_file: PositiveInt = CHUNK


def write_manifest(place: Place, job: JobSpec, tasks: Iterable[Task]) -> Manifest:
    """Write what is to do; holds 1000 tasks at a time. May be repeated with the same tasks.

    Args:
        place: The store.
        job: What was submitted.
        tasks: Of this job, numbered from 0 without gaps; and so are their images.
    """
    numbered, count, images = iter(tasks), 0, 0
    while chunk := list(islice(numbered, CHUNK)):
        assert all(task.number == count + i and task.job == job.id for i, task in enumerate(chunk)), "tasks in order"
        place.write(_chunk(job.id, count), b"".join(f"{task.model_dump_json()}\n".encode() for task in chunk))
        count += len(chunk)
        images += sum(task.new_images for task in chunk)
    manifest = Manifest(job=job, tasks=count, images=images)
    place.write(_head(job.id), manifest.model_dump_json(indent=2).encode())
    return manifest


def read_manifest(place: Place, job: str) -> Manifest:
    """Return the manifest of a job. Raises `JobError` E810 when there is none, E813 when it is damaged."""
    manifest = _read(place, _head(job), Manifest)
    if manifest is None:
        raise JobError("E810", "there is no such job", where=job, action="`cellfleet jobs list` shows all")
    return manifest


def read_tasks(place: Place, manifest: Manifest, *, start: int = 0) -> Iterator[Task]:
    """Yield the tasks of a job from number `start` on; holds 1000 at a time. Raises `JobError` E813."""
    step = manifest.tasks_per_file
    for first in range(start // step * step, manifest.tasks, step):
        for number, line in enumerate(_lines(place, manifest, first), first):
            if number >= start:
                yield _task(place, manifest.job.id, first, number, line)


def read_tasks_from_image(place: Place, manifest: Manifest, image: int) -> Iterator[Task]:
    """Yield the tasks of a job from the first one on that has image number `image`.

    Finds it with about log2(number of files) reads; holds 1000 tasks at a time. Raises `JobError` E813.
    """

    def first_image(first: int) -> int:
        return _task(place, manifest.job.id, first, first, _lines(place, manifest, first)[0]).first_image

    # Shares of one image may fill several files: so it may begin in the last file that begins before that image.
    firsts = range(0, manifest.tasks, manifest.tasks_per_file)
    place_of_first = max(bisect_left(firsts, image, key=first_image) - 1, 0)
    tasks = read_tasks(place, manifest, start=place_of_first * manifest.tasks_per_file)
    return dropwhile(lambda task: task.first_image + len(task.images) <= image, tasks)


def list_manifests(place: Place) -> Iterator[str]:
    """Yield the ids of all jobs that were submitted, in no order."""
    yield from _named(place, "jobs", ".json")


def is_known(place: Place, job: str) -> bool:
    """Say whether a job was taken in and not removed."""
    return place.exists(_head(job)) or place.exists(_request(job))


def write_request(place: Place, job: JobSpec) -> None:
    """Remember a job whose tasks are not written yet."""
    place.write(_request(job.id), job.model_dump_json(indent=2).encode())


def read_request(place: Place, job: str) -> JobSpec | None:
    """Return a job whose tasks may not be written yet; None when there is none. Raises `JobError` E813."""
    return _read(place, _request(job), JobSpec)


def list_requests(place: Place) -> Iterator[str]:
    """Yield the ids of those jobs, in no order; without those that have a problem, of which nothing more will come."""
    for job in _named(place, "requests", ".json"):
        if not place.exists(_beside(job, "problem")):
            yield job


def remove_request(place: Place, job: str) -> None:
    """Forget a request: the tasks of the job are written, or it is not to be."""
    place.remove(_request(job))


def write_problem(place: Place, job: str, problem: Told) -> None:
    """Remember why there is nothing to do; the ledger is told afterwards. The request stays: it says what was asked."""
    place.write(_beside(job, "problem"), problem.model_dump_json(indent=2).encode())


def read_problem(place: Place, job: str) -> Told | None:
    """Return why there is nothing to do; None when nothing was said. Raises `JobError` E813."""
    return _read(place, _beside(job, "problem"), Told)


def remove_problem(place: Place, job: str) -> None:
    """Forget why there was nothing to do: it is tried again."""
    place.remove(_beside(job, "problem"))


def write_expires(place: Place, job: str, at_ms: int) -> None:
    """Remember when a job may be removed: milliseconds since 1970."""
    place.write(_beside(job, "expires"), f"{at_ms}".encode())


def read_expires(place: Place, job: str) -> int | None:
    """Return when a job may be removed, milliseconds since 1970; None: never. Raises `JobError` E813."""
    name = _beside(job, "expires")
    content = place.read(name)
    if content is not None and not content.isdigit():
        raise _damaged(place, name)
    return None if content is None else int(content)


def list_expires(place: Place) -> Iterator[str]:
    """Yield the ids of all jobs that are to be removed some day, in no order."""
    yield from _named(place, "jobs", ".expires")


def hold(place: Place, job: str, how: Hold | None) -> None:
    """Remember that a job is paused or cancelled, or with None that it is not; the ledger is told afterwards."""
    if how is None:
        place.remove(_beside(job, "hold"))
    else:
        place.write(_beside(job, "hold"), how.encode())


def read_hold(place: Place, job: str) -> Hold | None:
    """Return whether a job is paused or cancelled; None: neither."""
    held = (place.read(_beside(job, "hold")) or b"").decode()
    return "paused" if held == "paused" else "cancelled" if held == "cancelled" else None


def remove_manifest(place: Place, job: str) -> None:
    """Remove all that is written of a job; its results stay. May be cut short and repeated."""
    # Without request and head nothing brings it back; while it expires, somebody comes to remove the rest.
    kinds = (_beside(job, kind) for kind in ("hold", "problem", "expires"))
    for name in (_request(job), _head(job), f"tasks/{job}", *kinds):
        place.remove(name)


def recover(place: Place, ledger: Ledger, standing: Standing) -> list[str]:
    """Make the ledger agree with the store; return the jobs that it knew nothing, or not all, of.

    For a ledger that was wiped, that lost its last second when its server was killed, or a job whose submission was
    cut short. Costs little for jobs that the ledger knows. May run beside workers and submissions, and twice at once.
    Of a request the ledger learns that there is one; whoever lists its images does the rest.

    Args:
        place: The store.
        ledger: Which may know some, or nothing, of the jobs.
        standing: Says what needs no work, because its results stand.

    Raises:
        JobError: E813, when a manifest is damaged; all others are recovered.
    """
    jobs = defaultdict[str, set[str]](set)
    for name in place.names("jobs"):
        jobs[PurePosixPath(name).suffix].add(PurePosixPath(name).stem)
    requests = set(_named(place, "requests", ".json")) - jobs[".json"]
    recovered, damaged = [], []
    for job in sorted(requests | jobs[".json"]):
        held = (place.read(_beside(job, "hold")) or b"").decode() if job in jobs[".hold"] else ""
        try:
            if job in requests:
                known = _announce_again(place, ledger, job, failed=job in jobs[".problem"])
            else:
                known = _submit_again(place, ledger, job, standing, cancelled=held == "cancelled")
        except JobError as error:
            if error.code != DAMAGED:
                raise
            damaged.append(error)
            continue
        if not known:
            recovered.append(job)
        _hold_again(ledger, job, held)
    if damaged:
        raise damaged[0]
    return recovered


def _announce_again(place: Place, ledger: Ledger, job: str, *, failed: bool) -> bool:
    """Tell the ledger that there is such a job; return whether it knew."""
    known, spec = ledger.told(job) is not None, read_request(place, job)
    if spec is None:
        return known  # it became a manifest, or was given up, this very moment
    ledger.announce(spec)
    if failed and ledger.progress(job).state not in FINAL_JOB_STATES:
        ledger.fail(job)
    return known


def _submit_again(place: Place, ledger: Ledger, job: str, standing: Standing, *, cancelled: bool) -> bool:
    """Tell the ledger of a job and its tasks, of a cancelled one only that it is there; return whether it knew that."""
    told = ledger.told(job)
    if told is not None and (cancelled or ledger.progress(job).total is not None):
        return True
    manifest = read_manifest(place, job)
    if cancelled:
        ledger.announce(manifest.job)
    else:
        ledger.submit(manifest.job, read_tasks(place, manifest, start=told or 0), stands=standing(manifest.job))
    return False


def _hold_again(ledger: Ledger, job: str, held: str) -> None:
    """Repeat what a ledger may have missed: a pause, its end, or a cancellation."""
    if ledger.told(job) is None or ledger.progress(job).state in FINAL_JOB_STATES:
        return
    if held == "cancelled":
        ledger.cancel(job)
    elif held == "paused":
        ledger.pause(job)
    else:
        ledger.resume(job)


def _read(place: Place, name: str, model: type[_M]) -> _M | None:
    content = place.read(name)
    try:
        return None if content is None else read_order(model, content, f"{place.url}/{name}")
    except ValidationError as error:
        raise _damaged(place, name) from error


def _named(place: Place, folder: str, suffix: str) -> Iterator[str]:
    for name in place.names(folder):
        if name.endswith(suffix):
            yield PurePosixPath(name).stem


def _lines(place: Place, manifest: Manifest, first: int) -> list[bytes]:
    """Return the lines of the file whose first task is `first`."""
    name = _chunk(manifest.job.id, first)
    lines = (place.read(name) or b"").splitlines()
    if len(lines) != min(manifest.tasks_per_file, manifest.tasks - first):
        raise _damaged(place, name)
    return lines


def _task(place: Place, job: str, first: int, number: int, line: bytes) -> Task:
    try:
        task = read_order(Task, line, f"{place.url}/{_chunk(job, first)}")
    except ValidationError as error:
        raise _damaged(place, _chunk(job, first)) from error
    if (task.job, task.number) != (job, number):
        raise _damaged(place, _chunk(job, first))
    return task


def _damaged(place: Place, name: str) -> JobError:
    action = "Restore this file from a copy, or cancel the job and submit it again; results that stand are kept"
    return JobError(DAMAGED, "the job's manifest is damaged or incomplete", where=f"{place.url}/{name}", action=action)


def _head(job: str) -> str:
    return f"jobs/{job}.json"


def _request(job: str) -> str:
    return f"requests/{job}.json"


def _beside(job: str, kind: Literal["hold", "problem", "expires"]) -> str:
    return f"jobs/{job}.{kind}"


def _chunk(job: str, first: int) -> str:
    return f"tasks/{job}/{first:09}.jsonl"
