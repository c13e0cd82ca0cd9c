"""A ledger made of nothing but files in the store: for fleets of workers that share a bucket and no server.

    claims/<job>/<number>.<n>        the n-th claim of a task: who has it. Made by a conditional write, so one gets it
    claims/<job>/<number>.<n>.back   it was given back, or failed and is to be tried again
    ends/<job>/<number>.done         the task's results stand, and what it did
    ends/<job>/<number>.dead         it was given up, and why; where both stand, it is done
    beats/<worker>                   a number that grows while the worker lives, and its clock, ms, for people
    lease                            seconds of silence after which a worker is taken for dead
    jobs/<job>.submitted             when, milliseconds since 1970
    jobs/<job>.ended                 all tasks have ended, and the summary is written: how far the job came, for good

What `jobs.manifest` writes is what there is to do. Clocks are not compared: a worker is taken for dead when its beat
has not changed for the time of a lease, as the one who looks measures it. A task may then be done twice, by whoever
was taken for dead, too; results are equal and written whole, and one end counts. Costs about two writes per task, one
per worker and beat, and a listing whenever a worker finds nothing to claim. Of a job that is done, claims and ends are
removed. For millions of tasks, many users or priorities the ledger on Redis is the better one. Knows no image and no
model.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

from cellfleet.errors import JobError, LedgerError, OutputError
from cellfleet.jobs import manifest
from cellfleet.jobs.beats import Beats, remove_old_beats
from cellfleet.jobs.ends import (
    CLAIMS,
    ENDS,
    Back,
    Claimed,
    End,
    Ends,
    agreed_lease,
    as_json,
    beside,
    claim_name,
    end_name,
    leaf,
    parsed,
    write_claim,
)
from cellfleet.jobs.keys import PRIORITIES
from cellfleet.jobs.ledger import Lease
from cellfleet.jobs.open_job import OpenJob, attempts_at, look_at
from cellfleet.spec.job import Failed, Outcome, Priority
from cellfleet.stores.place import Place

_P = ParamSpec("_P")
_R = TypeVar("_R")

SCHEME = "store:"
"""The address of this ledger, where one is asked for: it is in the store."""
LEASE_SECONDS = 60.0
_LOOK_SECONDS = 5.0
"""Between two listings while there is nothing to claim."""
_NAP_SECONDS = 0.25
_MISSES = 8
"""Claims in a row that others had already, before a worker looks anew."""
_MAY_PASS = frozenset({"E301", "E323"})

_log = logging.getLogger(__name__)


def _patient(ask: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a store that does not answer now, or is full, told as a ledger that does not: workers wait for that."""

    @functools.wraps(ask)
    def asked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return ask(*args, **kwargs)
        except OutputError as error:
            if error.code not in _MAY_PASS:
                raise
            what = f"the store does not answer ({error.what})"
            raise LedgerError("E801", what, where=error.where, action=error.action) from error

    return asked


@dataclass(frozen=True)
class _Closing:
    """The summary of a job, claimed like a task."""

    job: OpenJob
    n: int


class StoreLedger(Ends):
    """Leases on tasks, as `jobs.work` asks for them. Every method may be called from any thread."""

    def __init__(
        self,
        store: Place,
        *,
        summarise: Callable[[StoreLedger, str], None] = lambda ledger, job: None,
        lease_seconds: float = LEASE_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the store, and agree with its other workers on the lease.

        Args:
            store: Must know conditional writes, as folders and the buckets of the large clouds do.
            summarise: Called when all tasks of a job have ended; perhaps twice, perhaps by two workers at once.
            lease_seconds: How long a worker may be silent; the first that asks decides for all.
            look_seconds: Between two listings while there is nothing to claim.
            clock: Seconds.

        Raises:
            OutputError: E725, the store knows no conditional writes; others, it does not answer.
        """
        super().__init__(store)
        self._lease_seconds = agreed_lease(store, lease_seconds)
        self._summarise, self._look_seconds, self._clock = summarise, look_seconds, clock
        self._beats = Beats(store, self._lease_seconds, clock)
        self._lock = threading.RLock()
        self._jobs: dict[str, OpenJob] = {}
        self._held: set[tuple[str, int, int]] = set()
        """Claims of this worker that somebody here works on."""
        self._looked_at = -float("inf")

    @property
    def lease_seconds(self) -> float:
        """How long a worker may be silent."""
        return self._lease_seconds

    # --- tasks ---------------------------------------------------------------------------------------------------

    @_patient
    def claim(
        self,
        worker: str,
        priorities: Sequence[Priority] = PRIORITIES,
        *,
        block_ms: int = 0,
        defer_from: int | None = None,
    ) -> Lease | None:
        """Take a task that nobody has, or whose worker is silent; wait up to `block_ms` for one.

        Meanwhile sums up jobs of which nothing is left to do.

        Raises:
            LedgerError: E801, the store does not answer, or is full.
            OutputError: It refuses.
        """
        until = self._clock() + block_ms / 1000
        while True:
            self._beats.show(worker)
            with self._lock:
                found = self._next(worker)
            if isinstance(found, _Closing):
                self._close(found, worker)  # takes long for a large job: the other threads go on
                continue
            left = until - self._clock()
            if found is not None or left <= 0:
                return found
            time.sleep(min(left, _NAP_SECONDS))

    @_patient
    def renew(self, lease: Lease) -> Literal["held", "lost", "cancelled"]:
        """Show life; say whether the task is still wanted here."""
        self._beats.show(lease.worker)
        job, number = lease.task.job, lease.task.number
        if manifest.read_hold(self.store, job) == "cancelled":
            return "cancelled"
        taken_over = self.store.exists(claim_name(job, number, lease.deliveries + 1))
        return "held" if not taken_over and self._stands(lease) else "lost"

    @_patient
    def acknowledge(self, lease: Lease, outcome: Outcome) -> bool:
        """Say how an attempt ended, after its results stand; return False when another end of the task counts."""
        if not self._stands(lease):
            return False
        if isinstance(outcome, Failed) and not outcome.final and lease.attempt < self._most_attempts(lease.task.job):
            return self._give_back(lease, Back(counts=True, code=outcome.code, reason=outcome.reason))
        ended = self._end(lease.task.job, lease.task.number, lease.attempt, lease.worker, outcome)
        self._drop(lease)
        return ended

    @_patient
    def release(self, lease: Lease) -> bool:
        """Give a task back unfinished; this attempt does not count."""
        return self._give_back(lease, Back(counts=False))

    def defer(self, lease: Lease) -> Lease | None:
        """Keep a task that waits for its turn."""
        return lease

    def begin(self, lease: Lease) -> Lease | None:
        """Begin with a task that waited."""
        return lease

    @_patient
    def retire(self, worker: str) -> None:
        """Remove the beat of a worker that ends and has no task."""
        self._beats.end(worker)

    def close(self) -> None:
        """Do nothing: no connection is open."""

    # --- below: claiming -----------------------------------------------------------------------------------------

    def _next(self, worker: str) -> Lease | _Closing | None:
        found: Lease | _Closing | None = self._unclaimed(worker)
        if found is None and self._clock() - self._looked_at >= self._look_seconds:
            self._look()
            found = self._unclaimed(worker) or self._left_over(worker)
        return found

    def _unclaimed(self, worker: str) -> Lease | None:
        """Claim a task that nobody had at the last look."""
        misses = 0
        for job in list(self._jobs.values()):
            with self._setting_aside(job):
                while job.fresh and misses < _MISSES:
                    self.task(job.manifest, job.fresh[-1])  # a claim of what cannot be read would never end
                    number = job.fresh.pop()
                    if self._take(job, number, 1, worker):
                        return self._lease(job, number, 1, worker, attempt=1)
                    misses += 1
        if misses:  # others have gone on since: perhaps to the end
            self._looked_at = -float("inf")
        return None

    def _left_over(self, worker: str) -> Lease | _Closing | None:
        """Claim a task that was given back, or whose worker is silent; or the summary of a job that has no more."""
        for job in list(self._jobs.values()):
            with self._setting_aside(job):
                for number in [] if job.cancelled else job.begun:
                    lease = self._take_over(job, number, worker)
                    if lease is not None:
                        return lease
                if self._is_over(job, worker) and (closing := self._claim_summary(job, worker)):
                    return closing
        return None

    @contextlib.contextmanager
    def _setting_aside(self, job: OpenJob) -> Iterator[None]:
        """Pass over a job whose files are damaged or gone, until the next look: other jobs go on."""
        try:
            yield
        except JobError as error:
            self._jobs.pop(job.name, None)
            _log.error("job %s is set aside: %s", job.name, error, extra={"job": job.name})

    def _take_over(self, job: OpenJob, number: int, worker: str) -> Lease | None:
        if not self._is_free(job, number, worker):
            return None
        latest = job.latest[number]
        attempts, last = attempts_at(self.store, job, number)
        if (number, latest) not in job.back and job.workers.get((number, latest)) == worker:
            # We claimed it, and did not hear the answer.
            return self._lease(job, number, latest, worker, attempt=attempts)
        if attempts >= job.manifest.job.max_attempts:
            self._end(job.name, number, attempts, job.workers.get((number, latest), ""), last)
            return None
        if not self._take(job, number, latest + 1, worker):
            return None
        return self._lease(job, number, latest + 1, worker, attempt=attempts + 1)

    def _is_free(self, job: OpenJob, number: int, worker: str) -> bool:
        """Say whether nobody works on a task that was claimed: it was given back, or whoever has it is silent."""
        latest = job.latest[number]
        if (number, latest) in job.back:
            return True
        if (number, latest) not in job.workers:
            name = claim_name(job.name, number, latest)
            content = self.store.read(name)
            if content is None:
                return False  # retried this very moment
            job.workers[number, latest] = parsed(Claimed, content, name).worker
        holder = job.workers[number, latest]
        return (job.name, number, latest) not in self._held if holder == worker else self._beats.is_silent(holder)

    def _take(self, job: OpenJob, number: int, n: int, worker: str) -> bool:
        return write_claim(self.store, job.name, number, n, worker)

    def _lease(self, job: OpenJob, number: int, n: int, worker: str, *, attempt: int) -> Lease:
        job.latest[number] = max(n, job.latest.get(number, 0))
        lease = Lease(self.task(job.manifest, number), worker, attempt, job.name, f"{number}", n)
        self._held.add((job.name, number, n))
        return lease

    def _stands(self, lease: Lease) -> bool:
        """Say whether a claim is there still: it is gone when others did the task, and the job has ended."""
        return self.store.exists(claim_name(lease.task.job, lease.task.number, lease.deliveries))

    def _drop(self, lease: Lease) -> None:
        with self._lock:
            self._held.discard((lease.task.job, lease.task.number, lease.deliveries))

    def _give_back(self, lease: Lease, back: Back) -> bool:
        name = claim_name(lease.task.job, lease.task.number, lease.deliveries)
        given = self.store.create(f"{name}.back", as_json(back))
        with self._lock:
            if lease.task.job in self._jobs:
                self._jobs[lease.task.job].back.add((lease.task.number, lease.deliveries))
        self._drop(lease)
        return given

    def _end(self, job: str, number: int, attempts: int, worker: str, outcome: Outcome) -> bool:
        end = End(attempts=attempts, worker=worker, at_ms=time.time_ns() // 1_000_000, outcome=outcome)
        ended = self.store.create(end_name(job, number, dead=isinstance(outcome, Failed)), as_json(end))
        with self._lock:
            if job in self._jobs:
                self._jobs[job].ended.add(number)
                if not self._jobs[job].fresh:  # it may have been the last
                    self._looked_at = -float("inf")
        return ended

    # --- below: ending a job -------------------------------------------------------------------------------------

    def _is_over(self, job: OpenJob, worker: str) -> bool:
        if job.cancelled:
            return all(self._is_free(job, number, worker) for number in job.begun)
        return len(job.ended) == job.manifest.tasks

    def _claim_summary(self, job: OpenJob, worker: str) -> _Closing | None:
        """Claim the summary, if nobody is at it; of one who is silent it is taken over."""
        latest = job.latest.get(job.summary, 0)
        if latest and not self._is_free(job, job.summary, worker):
            return None
        if not self._take(job, job.summary, latest + 1, worker):
            return None
        self._held.add((job.name, job.summary, latest + 1))
        return _Closing(job, latest + 1)

    def _close(self, closing: _Closing, worker: str) -> None:
        """Write a summary, and note that the job has ended."""
        job, n = closing.job, closing.n
        try:
            with self._beats.showing(worker):
                # Anew: since the last look the user may have had something tried again.
                if not job.cancelled and len(self.ends(job.name)) < job.manifest.tasks:
                    self._give_back_summary(closing)
                    return
                self._sum_up(job.name)
                self._note_end(closing, worker)
        except OutputError as error:
            _log.warning("no summary of job %s yet: %s", job.name, error, extra={"job": job.name})
            self._give_back_summary(closing)
        finally:
            with self._lock:
                self._held.discard((job.name, job.summary, n))

    def _sum_up(self, job: str) -> None:
        try:
            self._summarise(self, job)
        except OutputError:
            raise  # later
        except Exception:  # noqa: BLE001 (a bug, or a model that is gone: another worker would do no better)
            _log.exception("no summary of job %s", job, extra={"job": job})

    def _note_end(self, closing: _Closing, worker: str) -> None:
        """Write that a job has ended; it has not if failures are tried again meanwhile: see `Ends.retry_failed`."""
        name, claim = closing.job.name, claim_name(closing.job.name, closing.job.summary, closing.n)
        progress = self.progress(name)
        self.store.write(beside(name, "ended"), as_json(progress))
        with self._lock:
            self._jobs.pop(name, None)
        if self.store.read(claim) != as_json(Claimed(worker=worker)):
            self.store.remove(beside(name, "ended"))
        elif progress.state == "done":  # nothing of it can be tried again
            for folder in (CLAIMS, ENDS):
                self.store.remove(f"{folder}/{name}")
        remove_old_beats(self.store)

    def _give_back_summary(self, closing: _Closing) -> None:
        name = claim_name(closing.job.name, closing.job.summary, closing.n)
        self.store.create(f"{name}.back", as_json(Back(counts=False)))

    def _look(self) -> None:
        """List what there is to do, and who does it."""
        self._looked_at = self._clock()
        files = {leaf(name) for name in self.store.names("jobs")}
        names = {file.removesuffix(".json") for file in files if file.endswith(".json")}
        jobs: dict[str, OpenJob] = {}
        for name in sorted(name for name in names if f"{name}.ended" not in files):
            held = manifest.read_hold(self.store, name) if f"{name}.hold" in files else None
            if held == "paused":
                continue
            try:
                jobs[name] = look_at(self.store, name, self._jobs.get(name), cancelled=held == "cancelled")
            except JobError as error:
                _log.error("job %s is set aside: %s", name, error, extra={"job": name})
        self._jobs = jobs

    def _most_attempts(self, job: str) -> int:
        with self._lock:
            known = self._jobs.get(job)
        return (known.manifest.job if known else self.spec(job)).max_attempts
