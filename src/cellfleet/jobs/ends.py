"""What became of the jobs of a fleet without a server, from the files that its workers write: see `jobs.claims`.

Knows the names of those files. Changes nothing but what is to be tried again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from cellfleet.errors import JobError, OutputError
from cellfleet.jobs import manifest
from cellfleet.jobs.manifest import Manifest
from cellfleet.spec.job import FINAL_JOB_STATES, DeadTask, Failed, JobSpec, JobState, Outcome, Progress, Tally, Task
from cellfleet.stores.place import Place

CLAIMS, ENDS = "claims", "ends"
_LEASE = "lease"
_READS_AT_ONCE = 16

_M = TypeVar("_M", bound=BaseModel)


class _Record(BaseModel):
    """Says what was done. What a newer cellfleet says besides is passed by: docs/decisions/0026-upgrades.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Claimed(_Record):
    """Content of a claim."""

    worker: str


class Back(_Record):
    """Why a claim was given back."""

    counts: bool
    """Whether the attempt counts."""
    code: str = ""
    reason: str = ""


class End(_Record):
    """How a task ended."""

    attempts: PositiveInt
    worker: str
    at_ms: NonNegativeInt
    outcome: Outcome


class Ends:
    """Questions about jobs; each costs requests to the store."""

    def __init__(self, store: Place) -> None:
        """Take the store; nothing is asked yet."""
        self.store = store
        self._file: tuple[str, int, list[Task]] = "", 0, []
        """Job, first number and tasks of the file of a manifest that was read last."""
        self._read: dict[str, End] = {}
        """Files of ends that were read: they do not change."""

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted. Raises `JobError` E810, E813."""
        return manifest.read_manifest(self.store, job).job

    def progress(self, job: str) -> Progress:
        """Return how far a job is. While it goes on, this costs a request per task that has ended since it was asked.

        Raises:
            JobError: E810, there is none; E813, a file of it is damaged.
        """
        known = manifest.read_manifest(self.store, job)
        content = self.store.read(beside(job, "ended"))
        if content:
            return parsed(Progress, content, beside(job, "ended"))
        ends = self.ends(job)
        dead = sum(isinstance(end.outcome, Failed) for end in ends.values())
        claimed = {number for number, *_ in numbered(self.store.names(f"{CLAIMS}/{job}"))}
        leased = len(claimed - ends.keys() - {known.tasks})
        over = len(ends) == known.tasks
        held = manifest.read_hold(self.store, job)
        running: JobState = held or ("running" if claimed else "queued")
        ended: JobState = "cancelled" if held == "cancelled" else "failed" if dead else "done"
        times = [end.at_ms for end in ends.values()]
        submitted = int(self.store.read(beside(job, "submitted")) or 0)
        return Progress(
            state=ended if over else running,
            total=known.tasks,
            told=known.tasks,
            queued=known.tasks - len(ends) - leased,
            leased=leased,
            done=len(ends) - dead,
            dead=dead,
            dropped=0,
            images=known.images,
            tally=_summed([end.outcome.tally for end in ends.values()]),
            submitted_ms=submitted,
            started_ms=submitted if claimed else None,
            finished_ms=max(times, default=submitted) if over else None,
        )

    def dead(self, job: str) -> Iterator[DeadTask]:
        """Yield the tasks that were given up."""
        known = manifest.read_manifest(self.store, job)
        for number, end in self.ends(job).items():
            if isinstance(end.outcome, Failed):
                yield DeadTask(
                    task=self.task(known, number),
                    attempts=end.attempts,
                    worker=end.worker,
                    code=end.outcome.code,
                    reason=end.outcome.reason,
                    tally=end.outcome.tally,
                    at_ms=end.at_ms,
                )

    def is_summarised(self, job: str) -> bool:
        """Say whether a job has ended and its summary stands."""
        return self.store.exists(beside(job, "ended"))

    def retry_failed(self, job: str) -> int:
        """Go on with a job that is paused or cancelled, and have tasks that were given up tried again, with fresh
        attempts; return how many these are.

        May run beside workers and be cut short: see below.
        """
        manifest.hold(self.store, job, None)
        known, ends = manifest.read_manifest(self.store, job), self.ends(job)
        dead = {number for number, end in ends.items() if isinstance(end.outcome, Failed)}
        if not dead and (not self.is_summarised(job) or self.progress(job).state == "done"):
            return 0
        # An end without claims is of no interest to workers; claims without an end would be taken for used up.
        self._remove_claims(job, dead)
        for number in dead:
            self.store.remove(end_name(job, number, dead=True))
        # Whoever claims the summary after this sees that ends are missing. Whoever had claimed it before either wrote
        # that the job has ended, which is removed below, or does so later, and then finds that its claim is gone.
        self._remove_claims(job, {known.tasks})
        self.store.remove(beside(job, "ended"))
        return len(dead)

    def start_over(self, job: str) -> None:
        """Have a job that is done, and whose results are gone, done once more."""
        for name in (f"{CLAIMS}/{job}", f"{ENDS}/{job}", beside(job, "ended")):
            self.store.remove(name)

    def hold(self, job: str, how: manifest.Hold) -> None:
        """Pause or cancel a job: workers begin no more of it, and give back what they have of one that is cancelled.

        Raises:
            JobError: E810, there is no such job; E812, it has ended.
        """
        state = self.progress(job).state
        if state in FINAL_JOB_STATES:
            action = "Nothing needs to be done"
            raise JobError("E812", f"the job is {state} and cannot be {how}", where=job, action=action)
        manifest.hold(self.store, job, how)

    def _remove_claims(self, job: str, tasks: set[int]) -> None:
        for name in list(self.store.names(f"{CLAIMS}/{job}")):
            if int(leaf(name).partition(".")[0]) in tasks:
                self.store.remove(name)

    def ends(self, job: str) -> dict[int, End]:
        """Return how tasks ended. A task that was given up and then done all the same is done."""
        names = sorted(self.store.names(f"{ENDS}/{job}"))  # `.dead` comes before `.done`
        new = [name for name in names if name not in self._read]
        if new:
            with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="ends") as pool:
                contents = zip(new, pool.map(self.store.read, new), strict=True)
                self._read.update(
                    (name, parsed(End, content, name)) for name, content in contents if content is not None
                )
        for name in self._read.keys() - names:  # to be tried again
            self._read.pop(name, None)
        return {int(leaf(name).partition(".")[0]): self._read[name] for name in names if name in self._read}

    def task(self, known: Manifest, number: int) -> Task:
        """Return a task; those of one file of a manifest are read together."""
        first = number // known.tasks_per_file * known.tasks_per_file
        name, begin, tasks = self._file  # at once: another thread may put another file there
        if (name, begin) != (known.job.id, first):
            tasks = list(islice(manifest.read_tasks(self.store, known, start=first), known.tasks_per_file))
            self._file = known.job.id, first, tasks
        return tasks[number - first]


def agreed_lease(store: Place, seconds: float) -> float:
    """Return how long workers of a store may be silent: what whoever asked first said.

    Raises:
        OutputError: E725, the store lets two workers claim one task; others, it does not answer.
    """
    store.create(_LEASE, f"{seconds:g}".encode())
    agreed = store.read(_LEASE) or f"{seconds:g}".encode()
    if store.create(_LEASE, agreed):
        what = "the server writes over what is there although it is asked not to: two workers would claim one task"
        action = "Use a bucket that knows conditional writes (If-None-Match), a folder, or a ledger on Redis"
        raise OutputError("E725", what, where=store.url, action=action)
    return float(agreed)


def submitted(store: Place, job: str) -> None:
    """Note when a job is submitted: before its manifest is written, from when on workers may begin and end it."""
    store.write(beside(job, "submitted"), f"{time.time_ns() // 1_000_000}".encode())


def parsed(record: type[_M], content: bytes, name: str) -> _M:
    """Return what a file says. Raises `JobError` E813 when it is damaged."""
    try:
        return record.model_validate_json(content)
    except ValidationError as error:
        action = "Remove this file; what it says is then done again"
        raise JobError(manifest.DAMAGED, "a record of the job is damaged", where=name, action=action) from error


def _summed(tallies: Sequence[Tally]) -> Tally:
    return Tally(**{name: sum(getattr(tally, name) for tally in tallies) for name in Tally.model_fields})


def numbered(names: Iterator[str]) -> Iterator[tuple[int, int, bool]]:
    """Yield (task, number of the claim, whether it was given back)."""
    for name in names:
        number, n, *back = leaf(name).split(".")
        yield int(number), int(n), bool(back)


def leaf(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def write_claim(store: Place, job: str, number: int, n: int, worker: str) -> bool:
    """Claim a task; of several that try, one is told True, and none once the job has ended.

    The claims of a job are removed after its end is written, so that any claim could be made anew from then on.
    """
    name = claim_name(job, number, n)
    try:
        claimed = store.create(name, as_json(Claimed(worker=worker)))
    except OutputError:
        if store.exists(beside(job, "ended")):  # this very moment, and the folder was removed under the file
            return False
        raise
    if claimed and store.exists(beside(job, "ended")):
        store.remove(name)
        return False
    return claimed


def claim_name(job: str, number: int, n: int) -> str:
    """Return where the `n`-th claim of a task stands."""
    return f"{CLAIMS}/{job}/{number}.{n}"


def end_name(job: str, number: int, *, dead: bool) -> str:
    """Return where it stands how a task ended."""
    return f"{ENDS}/{job}/{number}.{'dead' if dead else 'done'}"


def beside(job: str, kind: str) -> str:
    """Return the name of what is noted of a job."""
    return f"jobs/{job}.{kind}"


def as_json(record: BaseModel) -> bytes:
    """Return the content of a file."""
    return record.model_dump_json().encode()
