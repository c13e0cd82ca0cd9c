"""The ledger: which task is queued, leased, done or dead. Redis Streams with a consumer group, one stream per priority.

A task is an entry of a stream; a lease is its place in the group's pending list, and ends unless it is renewed. Each
change is one atomic script (``lua/``). Delivery is at least once; counting is exactly once, because only the holder of
the present lease can change anything. What the keys mean stands in `keys`. Knows no manifest, image or result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, cast

import redis

from cellfleet.errors import JobError, LedgerError
from cellfleet.jobs.connection import ask, asking, connect, shown
from cellfleet.jobs.keys import ABOUT, DEAD, GROUP, JOB, JOBS, PRIORITIES, STREAM
from cellfleet.jobs.scripts import Scripts
from cellfleet.spec.job import DeadTask, Done, JobSpec, JobState, Outcome, Priority, Progress, Tally, Task

FORMAT_VERSION = 1
"""Of keys and entries."""
_BATCH = 500
"""Tasks per script: its run is a few milliseconds, in which nobody else is served."""
_PASS_BY = 200
"""Entries of stopped jobs that one script takes away on its way to a task."""
_WAIT_MS = 1000
"""Longest wait between two looks for leases that ended."""
_VANISHED = ("E814", "the worker ended, hung or was cut off, at every attempt")
_IDLE_CONSUMER_MS = 3_600_000
_COUNTERS = ("told", "queued", "leased", "done", "dead", "dropped")
_SUMS = tuple(Tally.model_fields)


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


class Ledger:
    """All operations on jobs and tasks. May be used from several threads; every method may raise `LedgerError`.

    E801 means that the server does not answer *now*: what was asked may have happened or not. Every method may then be
    called again; a claim whose answer was lost costs its task one attempt.
    """

    def __init__(self, url: str, *, lease_seconds: float = 60.0) -> None:
        """Connect.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            lease_seconds: How long a lease holds without renewal. The first process to connect decides for all.

        Raises:
            LedgerError: E801, E802 as `connect`; E802 too when another version of cellfleet wrote the ledger.
        """
        self.url = url
        self._client = connect(url)
        self._scripts = Scripts(self._client)
        self._lease_ms = round(lease_seconds * 1000)
        with asking(url):
            self._prepare()

    @property
    def lease_seconds(self) -> float:
        """How long a lease holds without renewal."""
        return self._lease_ms / 1000

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- jobs ----------------------------------------------------------------------------------------------------

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
        spec = job.model_dump_json()
        known, told, total = self._call("begin", job.id, spec, job.priority, job.max_attempts)
        if known != spec:
            raise JobError("E811", "another job has this id", where=job.id, action="Choose another id")
        if total is not None:
            return int(total)
        number = int(told)
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

    def jobs(self, *, newest_first: bool = True) -> Iterator[str]:
        """Yield the ids of all jobs by time of submission, page by page."""
        command, start = ("ZREVRANGE" if newest_first else "ZRANGE"), 0
        while page := self._ask(command, JOBS(), start, start + _BATCH - 1):
            yield from page
            start += len(page)

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted. Raises `JobError` E810."""
        text = self._ask("HGET", JOB(job=job), "spec")
        return JobSpec.model_validate_json(self._existing(job, text))

    def progress(self, job: str) -> Progress:
        """Return how far a job is, from counters. Raises `JobError` E810."""
        times = ("submitted_ms", "started_ms", "finished_ms")
        values = self._ask("HMGET", JOB(job=job), "state", "total", *_COUNTERS, *times, *_SUMS)
        found = dict(zip(("state", "total", *_COUNTERS, *times), values, strict=False))
        self._existing(job, found["state"])
        sums = zip(_SUMS, values[-len(_SUMS) :], strict=True)
        tally = Tally(**{name: int(value or 0) for name, value in sums})
        return Progress.model_validate({**found, "tally": tally})

    def dead(self, job: str) -> Iterator[DeadTask]:
        """Yield the dead list of a job, in no order, page by page."""
        for _, text in self._dead(job):
            found = json.loads(text)
            yield DeadTask(**{**found, "task": Task.model_validate_json(found["task"])})

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

    # --- tasks ---------------------------------------------------------------------------------------------------

    def claim(self, worker: str, priorities: Sequence[Priority] = PRIORITIES, *, block_ms: int = 0) -> Lease | None:
        """Lease the next task: of the most urgent priority first one whose lease has ended, then the oldest.

        Args:
            worker: Name of the process, unique among all.
            priorities: Which to take, most urgent first.
            block_ms: How long to wait when there is none; None is returned then.
        """
        streams = [STREAM(priority=priority) for priority in priorities]
        until = time.monotonic() + block_ms / 1000
        while True:
            kind, *found = self._call("claim", worker, self._lease_ms, _PASS_BY, *_VANISHED, keys=streams)
            if kind == "task":
                stream, entry, task, attempt, deliveries = found
                return Lease(Task.model_validate_json(task), worker, int(attempt), stream, entry, int(deliveries))
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

        A task that failed is tried again after 1, 2, 4… seconds, at most the time of a lease; the last attempt puts it
        on the dead list.
        """
        if isinstance(outcome, Done):
            sums = [part for name, value in outcome.tally.model_dump().items() if value for part in (name, value)]
            answer = self._call("done", lease.entry, lease.worker, lease.deliveries, *sums, keys=[lease.stream])
            return bool(answer)
        pause_ms = min(1000 << min(lease.attempt - 1, 20), self._lease_ms)
        return self._give_back(lease, "failed", self._lease_ms - pause_ms, outcome.code, outcome.reason)

    def release(self, lease: Lease) -> bool:
        """Give a task back unfinished, for another worker to take at once; this attempt does not count."""
        return self._give_back(lease, "released", self._lease_ms, "", "")

    def retire(self, worker: str) -> None:
        """Remove the traces of a worker that ends and holds no lease, and of those that died long ago."""
        streams = [STREAM(priority=priority) for priority in PRIORITIES]
        for name in (worker, ""):
            self._call("retire", name, _IDLE_CONSUMER_MS, keys=streams)

    # --- below ---------------------------------------------------------------------------------------------------

    def _tell(self, job: str, batch: Sequence[Task], stands: Callable[[Task], bool]) -> int:
        first = batch[0].number
        assert [task.number for task in batch] == list(range(first, first + len(batch))), "tasks are numbered in order"
        assert all(task.job == job for task in batch), "tasks are of their job"
        texts = ["" if stands(task) else task.model_dump_json() for task in batch]
        told = int(self._call("tell", job, first, *texts))
        if told == -2 or 0 <= told < first:
            action = "Run `cellfleet jobs recover`: it is built again from its manifest"
            raise LedgerError("E808", "the ledger lost this job while it was submitted", where=job, action=action)
        # Somebody else, who submits the same job, may be ahead or stand between: what is told is told.
        if first < told < first + len(batch):
            return self._tell(job, batch[told - first :], stands)
        return told

    def _give_back(self, lease: Lease, how: str, idle_ms: int, code: str, reason: str) -> bool:
        words = (lease.entry, lease.worker, lease.deliveries, how, idle_ms, code, reason)
        return bool(self._call("giveback", *words, keys=[lease.stream]))

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
            action = "`cellfleet jobs list` shows all; after a loss of the ledger, `cellfleet jobs recover`"
            raise JobError("E810", "there is no such job", where=job, action=action)
        return found

    def _call(self, script: str, *arguments: str | int, keys: Sequence[str] = ()) -> Any:
        """Run a script; make streams and groups first where a wiped server has none."""
        with asking(self.url):
            try:
                return self._scripts.call(script, *arguments, keys=keys)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    raise
            self._prepare()
            return self._scripts.call(script, *arguments, keys=keys)

    def _ask(self, *words: str | int) -> Any:
        with asking(self.url):
            return ask(self._client, *words)

    def _prepare(self) -> None:
        self._client.hsetnx(ABOUT(), "format_version", str(FORMAT_VERSION))
        self._client.hsetnx(ABOUT(), "lease_ms", str(self._lease_ms))
        version, lease_ms = ask(self._client, "HMGET", ABOUT(), "format_version", "lease_ms")
        if int(version) != FORMAT_VERSION:
            raise LedgerError(
                "E802",
                f"the ledger has format {version}; this cellfleet writes format {FORMAT_VERSION}",
                where=shown(self.url),
                action="Use the same version of cellfleet everywhere, or give the ledger another database",
            )
        self._lease_ms = int(lease_ms)
        for priority in PRIORITIES:
            try:
                self._client.xgroup_create(STREAM(priority=priority), GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):  # it is there already
                    raise


def _pages(items: Iterator[str]) -> Iterator[list[str]]:
    while page := list(islice(items, _BATCH)):
        yield page


def _not_in_state(job: str, state: str, what: str) -> JobError:
    action = "`cellfleet jobs show` says what it is doing"
    return JobError("E812", f"the job is {state} and cannot {what}", where=job, action=action)
