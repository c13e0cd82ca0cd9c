"""The ledger: which task is queued, leased, done or dead. Redis Streams with a consumer group, one stream per priority.

A task is an entry of a stream; a lease is its place in the group's pending list, and ends unless it is renewed. Each
change is one atomic script (``lua/``). Delivery is at least once; counting is exactly once, because only the holder of
the present lease can change anything. What the keys mean stands in `keys`. Knows no manifest, image or result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, NamedTuple, cast

from cellfleet.errors import JobError, LedgerError
from cellfleet.jobs.keys import DEAD, ENDED, GROUP, JOB, PRIORITIES, STREAM
from cellfleet.jobs.users import Users, no_such_job
from cellfleet.spec.job import DeadTask, Done, JobSpec, JobState, Outcome, Priority, Progress, Tally, Task
from cellfleet.spec.newer import read_order

_BATCH = 500
"""Tasks per script: its run is a few milliseconds, in which nobody else is served."""
_PASS_BY = 200
"""Entries of stopped jobs that one script takes away on its way to a task."""
_WAIT_MS = 1000
"""Longest wait between two looks for leases that ended."""
_VANISHED = ("E814", "the worker ended, hung or was cut off, at every attempt")
_IDLE_CONSUMER_MS = 3_600_000
_COUNTERS = ("told", "queued", "leased", "done", "dead", "dropped")
_PLAIN = ("state", "total", *_COUNTERS, "submitted_ms", "started_ms", "finished_ms")
"""Fields of a job's hash that `Progress` has under the same name."""
_SUMS = tuple(Tally.model_fields)
_FIELDS = (*_PLAIN, "told_images", *_SUMS)
"""All that a `Progress` is made of."""


class Known(NamedTuple):
    """All that the ledger has to tell of a job."""

    spec: JobSpec
    progress: Progress
    unsummarised: bool
    """Whether the job has ended, and its summary is yet to be written: see `Ledger.ended`."""


@dataclass(frozen=True)
class Lease:
    """The right of one worker to work on one task, until it ends or somebody else has it."""

    task: Task
    worker: str
    attempt: int
    """From 1; those that were released are not counted."""
    stream: str
    entry: str
    deliveries: int
    """Grows with every lease of this entry, and so tells them apart."""

    @property
    def place(self) -> tuple[str, str]:
        """Where the task stands in the ledger: entries of two streams may have the same name."""
        return self.stream, self.entry


class Ledger(Users):
    """All operations on jobs and tasks. May be used from several threads; every method may raise `LedgerError`.

    E801 means that the server does not answer *now*: what was asked may have happened or not. Every method may then be
    called again; a claim whose answer was lost costs its task one attempt.
    """

    # --- jobs ----------------------------------------------------------------------------------------------------

    def announce(self, job: JobSpec, *, most_running: int | None = None) -> None:
        """Make a job known before its tasks are; nothing happens when it is known.

        Args:
            job: What was submitted.
            most_running: How many jobs of its owner may be under way, this one among them; None: any number.

        Raises:
            JobError: E811, when another job has this id; E816, when that many jobs of the owner are under way.
        """
        self._begin(job, most_running)

    def submit(self, job: JobSpec, tasks: Iterable[Task], *, stands: Callable[[Task], bool] = lambda _: False) -> int:
        """Tell the ledger of a job; return how many tasks are told. Holds 500 tasks at a time.

        May be repeated after any failure, and goes on where it ended; tasks that were told are not told again.

        Args:
            job: What was submitted.
            tasks: In order of their numbers; may begin anywhere up to `told`.
            stands: Says of a task whether its results stand already: it is then counted as done.

        Raises:
            JobError: E811, when another job has this id.
            LedgerError: E808, when the ledger forgot the job meanwhile.
        """
        told, total, state = self._begin(job, None)
        if total is not None:
            return int(total)
        if (state, told) == ("failed", 0):
            self.reopen(job.id)
        number = told
        remaining = (task for task in tasks if task.number >= number)
        while batch := list(islice(remaining, _BATCH)):
            number = self._tell(job.id, batch, stands)
            if number < 0:
                return self.progress(job.id).told
        return int(self._call("close", job.id, number) or 0)

    def told(self, job: str) -> int | None:
        """Return how many tasks of a job are told, None when it is unknown."""
        told = self._ask("HGET", JOB(job=job), "told")
        return None if told is None else int(told)

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted. Raises `JobError` E810; E821, when a newer cellfleet took it in."""
        text = self._ask("HGET", JOB(job=job), "spec")
        return read_order(JobSpec, self._existing(job, text), job)

    def progress(self, job: str) -> Progress:
        """Return how far a job is, from counters. Raises `JobError` E810."""
        values = self._ask("HMGET", JOB(job=job), *_FIELDS)
        self._existing(job, values[0])
        return _progress(values)

    def look(self, jobs: Sequence[str]) -> list[Known | None]:
        """Return what is known of each of some jobs, None of one that is not there. One round trip for all of them."""
        # In this order: a job that is seen to have ended is then on the list of those, or was summarised.
        questions = [
            words for job in jobs for words in (("HMGET", JOB(job=job), "spec", *_FIELDS), ("ZSCORE", ENDED(), job))
        ]
        answers = self._ask_all(questions)
        return [
            None if spec is None else Known(read_order(JobSpec, spec, job), _progress(values), ended_at is not None)
            for job, (spec, *values), ended_at in zip(jobs, answers[::2], answers[1::2], strict=True)
        ]

    def glance(self, jobs: Sequence[str]) -> list[tuple[JobSpec, JobState] | None]:
        """Return what was submitted and the state of each of some jobs: a fifth of the work of `look`."""
        answers = self._ask_all([("HMGET", JOB(job=job), "spec", "state") for job in jobs])
        found = zip(jobs, answers, strict=True)
        return [None if spec is None else (read_order(JobSpec, spec, job), state) for job, (spec, state) in found]

    def dead(self, job: str) -> Iterator[DeadTask]:
        """Yield the dead list of a job, in no order, page by page."""
        for _, text in self._dead(job):
            found = json.loads(text)
            task, tally = read_order(Task, found["task"], job), Tally.model_validate_json(found["tally"])
            yield DeadTask(**{**found, "task": task, "tally": tally})

    def pause(self, job: str) -> None:
        """Start no more tasks of a job; leased ones end as usual. Raises `JobError` E810, E812."""
        self._control("control", job, "paused")

    def resume(self, job: str) -> None:
        """Go on with a paused job. Raises `JobError` E810, E812."""
        if self.progress(job).state == "paused":
            self._control("control", job, "queued")
        while self._call("unpark", job, _BATCH):
            pass

    def cancel(self, job: str) -> None:
        """Run no more of a job; workers on it are told when they renew their lease. Raises `JobError` E810, E812."""
        self._control("cancel", job, "cancelled")

    def fail(self, job: str) -> None:
        """End a job for which there is nothing to do. Raises `JobError` E810; E812, also when a task is told."""
        self._control("fail", job, "failed")

    def reopen(self, job: str) -> None:
        """Take `fail` back: tasks may be told after all. Raises `JobError` E810; E812, also when a task is told."""
        self._control("fail", job, "queued")

    def retry_failed(self, job: str) -> int:
        """Queue the dead tasks of a job again with fresh attempts; return how many. Raises `JobError` E810, E812."""
        state = self.progress(job).state
        if state == "cancelled":
            raise _not_in_state(job, state, "be retried")
        return sum(self._call("retry", job, *page) for page in _pages(number for number, _ in self._dead(job)))

    def forget(self, job: str) -> None:
        """Remove all that is known of a job that has ended, or is unknown. Raises `JobError` E812."""
        state = self._call("forget", job)
        if state != 1:
            raise _not_in_state(job, state, "be forgotten")

    def ended(self) -> list[str]:
        """Return the jobs that have ended and are not summarised, in the order of that.

        A cancelled job enters this list at once, and once more when the last of its tasks that were running has ended.
        """
        return list(self._ask("ZRANGE", ENDED(), 0, -1))

    def summarised(self, job: str) -> None:
        """Take a job off that list; it comes back when it ends again."""
        self._ask("ZREM", ENDED(), job)

    # --- tasks ---------------------------------------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        priorities: Sequence[Priority] = PRIORITIES,
        *,
        block_ms: int = 0,
        defer_from: int | None = None,
    ) -> Lease | None:
        """Lease the next task: of the most urgent priority first one whose lease has ended, then the oldest.

        Args:
            worker: Name of the process, unique among all.
            priorities: Which to take, most urgent first.
            block_ms: How long to wait when there is none; None is returned then.
            defer_from: Attempt (from 2) from which leases are as after `defer`; None: all count at once.

        Raises:
            JobError: E821, a newer cellfleet wrote the task. It is given back, and this attempt does not count.
        """
        words = (worker, self._lease_ms, _PASS_BY, *_VANISHED, defer_from or 0)
        streams = _streams(priorities)
        until = time.monotonic() + block_ms / 1000
        while True:
            kind, *found = self._call("claim", *words, keys=streams)
            if kind == "task":
                return self._lease(worker, *found)
            left_ms = round((until - time.monotonic()) * 1000)
            if kind == "none":
                if left_ms <= 0:
                    return None
                wait_ms = min(left_ms, _WAIT_MS, max(self._lease_ms // 4, 1))  # 0 would mean for ever
                self._ask("XREAD", "COUNT", 1, "BLOCK", wait_ms, "STREAMS", *streams, *found)

    def renew(self, lease: Lease) -> Literal["held", "lost", "cancelled"]:
        """Begin the time of a lease anew, if it still holds and its job is wanted."""
        answer = self._call("renew", lease.entry, lease.worker, lease.deliveries, keys=[lease.stream])
        return cast(Literal["held", "lost", "cancelled"], answer)

    def acknowledge(self, lease: Lease, outcome: Outcome) -> bool:
        """Say how an attempt ended, after its results stand; return False, and change nothing, if the lease is lost.

        A task that failed is tried again after 1, 2, 4… seconds, at most the time of a lease; the last attempt, or one
        that says that it is final, puts it on the dead list.
        """
        tally = outcome.tally.model_dump_json(exclude_defaults=True)
        if isinstance(outcome, Done):
            words = (lease.entry, lease.worker, lease.deliveries, tally)
            return bool(self._call("done", *words, keys=[lease.stream]))
        pause_ms = min(1000 << min(lease.attempt - 1, 20), self._lease_ms)
        how = "final" if outcome.final else "failed"
        return self._give_back(lease, how, self._lease_ms - pause_ms, outcome.code, outcome.reason, tally)

    def release(self, lease: Lease) -> bool:
        """Give a task back unfinished, for another worker to take at once; this attempt does not count."""
        return self._give_back(lease, "released", self._lease_ms, "", "", "{}")

    def defer(self, lease: Lease) -> Lease | None:
        """Keep a task that waits for its turn: its attempt does not count before `begin`. None: the lease is lost."""
        return self._recount(lease, lease.attempt - 1)

    def begin(self, lease: Lease) -> Lease | None:
        """Count the attempt of a task that was deferred. None: the lease is lost."""
        return self._recount(lease, lease.attempt)

    def depths(self) -> Mapping[Priority, tuple[int, int]]:
        """Return how many tasks are queued and how many are leased, by priority; their number costs nothing.

        Tasks of a paused job count until a claim has met them, and so do those of a cancelled one.
        """
        found = self._call("depths", keys=_streams(PRIORITIES))
        return {priority: (queued, leased) for priority, (queued, leased) in zip(PRIORITIES, found, strict=True)}

    def workers_at_work(self) -> int:
        """Return how many workers have something leased, by whatever priority."""
        told = [self._ask("XPENDING", stream, GROUP) for stream in _streams(PRIORITIES) if self._ask("EXISTS", stream)]
        return len({worker["name"] for pending in told for worker in pending["consumers"]})

    def retire(self, worker: str) -> None:
        """Remove the traces of a worker that ends and holds no lease, and of those that died long ago."""
        for name in (worker, ""):
            self._call("retire", name, _IDLE_CONSUMER_MS, keys=_streams(PRIORITIES))

    # --- below ---------------------------------------------------------------------------------------------------

    def _tell(self, job: str, batch: Sequence[Task], stands: Callable[[Task], bool]) -> int:
        first = batch[0].number
        assert [task.number for task in batch] == list(range(first, first + len(batch))), "tasks are numbered in order"
        assert all(task.job == job for task in batch), "tasks are of their job"
        texts = ["" if stands(task) else task.model_dump_json() for task in batch]
        told = int(self._call("tell", job, first, sum(task.new_images for task in batch), *texts))
        if told == -2 or 0 <= told < first:
            action = "Run `cellfleet jobs recover`: it is built again from its manifest"
            raise LedgerError("E808", "the ledger lost this job while it was submitted", where=job, action=action)
        # Somebody else, who submits the same job, may be ahead or stand between: what is told is told.
        if first < told < first + len(batch):
            return self._tell(job, batch[told - first :], stands)
        return told

    def _begin(self, job: JobSpec, most: int | None) -> tuple[int, int | None, JobState]:
        """Make a job known; return how many tasks are told, how many there are once that is known, and the state."""
        spec = job.model_dump_json()
        words = (job.id, spec, job.owner, job.priority, job.max_attempts, "" if most is None else most)
        known, told, *rest = self._call("begin", *words)
        if not known:
            action = "Wait until one has ended, or cancel one"
            what = f"{job.owner} has {told} jobs running, as many as the quota allows"
            raise JobError("E816", what, where=job.id, action=action)
        # Another version may have written the same with other words.
        if known != spec and read_order(JobSpec, known, job.id) != job:
            raise JobError("E811", "another job has this id", where=job.id, action="Choose another id")
        total, state = rest
        return int(told), None if total is None else int(total), state

    def _lease(self, worker: str, stream: str, entry: str, text: str, attempt: str, deliveries: str) -> Lease:
        try:
            task = read_order(Task, text, entry)
        except JobError:
            held = (entry, worker, deliveries, attempt)
            self._call("giveback", *held, "released", self._lease_ms, "", "", "{}", keys=[stream])
            raise
        return Lease(task, worker, int(attempt), stream, entry, int(deliveries))

    def _give_back(self, lease: Lease, how: str, idle_ms: int, code: str, reason: str, tally: str) -> bool:
        held = (lease.entry, lease.worker, lease.deliveries, lease.attempt)
        return bool(self._call("giveback", *held, how, idle_ms, code, reason, tally, keys=[lease.stream]))

    def _recount(self, lease: Lease, attempts: int) -> Lease | None:
        words = (lease.entry, lease.worker, lease.deliveries, attempts)
        deliveries = int(self._call("recount", *words, keys=[lease.stream]))
        return replace(lease, deliveries=deliveries) if deliveries else None

    def _control(self, script: str, job: str, to: JobState) -> None:
        answer = self._call(script, job, to)
        if answer != 1:
            raise _not_in_state(job, self._existing(job, answer), f"become {to}")

    def _dead(self, job: str) -> Iterator[tuple[str, str]]:
        cursor: Any = 0
        while True:
            cursor, page = self._ask("HSCAN", DEAD(job=job), cursor, "COUNT", _BATCH)
            yield from page.items()
            if int(cursor) == 0:
                return

    def _existing(self, job: str, found: str | None) -> str:
        if found is None:
            raise no_such_job(job)
        return found


def _progress(values: Sequence[str | None]) -> Progress:
    """Put together what `_FIELDS` hold."""
    images, *sums = (int(value or 0) for value in values[len(_PLAIN) :])
    tally = Tally(**dict(zip(_SUMS, sums, strict=True)))
    return Progress.model_validate({**dict(zip(_PLAIN, values, strict=False)), "images": images, "tally": tally})


def _streams(priorities: Sequence[Priority]) -> list[str]:
    return [STREAM(priority=priority) for priority in priorities]


def _pages(items: Iterator[str]) -> Iterator[list[str]]:
    while page := list(islice(items, _BATCH)):
        yield page


def _not_in_state(job: str, state: str, what: str) -> JobError:
    action = "`cellfleet jobs show` says what it is doing"
    return JobError("E812", f"the job is {state} and cannot {what}", where=job, action=action)
