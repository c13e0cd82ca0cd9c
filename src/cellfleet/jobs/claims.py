"""A ledger made of nothing but files in the store: for fleets of workers that share a bucket and no server.

    claims/<job>/<number>.<n>        the n-th claim of a task: who has it. Made by a conditional write, so one gets it
    claims/<job>/<number>.<n>.back   it was given back, or failed and is to be tried again
    ends/<job>/<number>.done         the task's results stand, and what it did
    ends/<job>/<number>.dead         it was given up, and why; where both stand, it is done
    beats/<worker>                   a number that grows while the worker lives, and its clock, ms, for people
    lease                            seconds of silence after which a worker is taken for dead
    jobs/<job>.submitted             when, milliseconds since 1970
    jobs/<job>.ended                 all tasks have ended, and the summary is written

What `jobs.manifest` writes is what there is to do. Clocks are not compared: a worker is taken for dead when its beat
has not changed for the time of a lease, as the one who looks measures it. A task may then be done twice, by whoever
was taken for dead, too; results are equal and written whole, and one end counts. Costs about two writes per task, one
per worker and beat, and a listing whenever a worker finds nothing to claim. For millions of tasks, many users or
priorities the ledger on Redis is the better one. Knows no image and no model.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cellfleet.errors import OutputError
from cellfleet.jobs import manifest
from cellfleet.jobs.ends import (
    BEATS,
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
    numbered,
)
from cellfleet.jobs.keys import PRIORITIES
from cellfleet.jobs.ledger import Lease
from cellfleet.spec.job import Failed, Outcome, Priority
from cellfleet.stores.place import Place

SCHEME = "store:"
"""The address of this ledger, where one is asked for: it is in the store."""
LEASE_SECONDS = 60.0
_LOOK_SECONDS = 5.0
"""Between two listings while there is nothing to claim."""
_NAP_SECONDS = 0.25
_MISSES = 8
"""Claims in a row that others had already, before a worker looks anew."""
_VANISHED = Failed(code="E814", reason="the worker ended, hung or was cut off, at every attempt")

_log = logging.getLogger(__name__)


@dataclass
class _Job:
    """What is known of a job that has not ended."""

    manifest: manifest.Manifest
    latest: dict[int, int] = field(default_factory=dict)
    """Task → number of its last claim."""
    back: set[tuple[int, int]] = field(default_factory=set)
    """Claims that were given back."""
    ended: set[int] = field(default_factory=set)
    fresh: list[int] = field(default_factory=list)
    """Tasks that nobody had claimed at the last look; the last one is tried first."""
    workers: dict[tuple[int, int], str] = field(default_factory=dict)
    """Claim → who has it, as far as that was asked."""

    @property
    def summary(self) -> int:
        """Stands for the summary, which is claimed like a task."""
        return self.manifest.tasks


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
        """
        super().__init__(store)
        self._lease_seconds = agreed_lease(store, lease_seconds)
        self._summarise, self._look_seconds, self._clock = summarise, look_seconds, clock
        self._lock = threading.RLock()
        self._jobs: dict[str, _Job] = {}
        self._looked_at = -float("inf")
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """Worker → its last beat, and when that was new."""
        self._beat, self._beaten_at = 0, -float("inf")

    @property
    def lease_seconds(self) -> float:
        """How long a worker may be silent."""
        return self._lease_seconds

    # --- tasks ---------------------------------------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        priorities: Sequence[Priority] = PRIORITIES,
        *,
        block_ms: int = 0,
        defer_from: int | None = None,
    ) -> Lease | None:
        """Take a task that nobody has, or whose worker is silent; wait up to `block_ms` for one.

        Raises:
            OutputError: The store does not answer.
            JobError: E813, a manifest is damaged.
        """
        until = self._clock() + block_ms / 1000
        while True:
            with self._lock:
                self._show_life(worker)
                lease = self._next(worker)
            left = until - self._clock()
            if lease is not None or left <= 0:
                return lease
            time.sleep(min(left, _NAP_SECONDS))

    def renew(self, lease: Lease) -> Literal["held", "lost", "cancelled"]:
        """Show life; say whether the task is still wanted here."""
        with self._lock:
            self._show_life(lease.worker)
        job, number = lease.task.job, lease.task.number
        if manifest.read_hold(self.store, job) == "cancelled":
            return "cancelled"
        return "lost" if self.store.exists(claim_name(job, number, lease.deliveries + 1)) else "held"

    def acknowledge(self, lease: Lease, outcome: Outcome) -> bool:
        """Say how an attempt ended, after its results stand; return False when another end of the task counts."""
        if isinstance(outcome, Failed) and not outcome.final and lease.attempt < self._most_attempts(lease.task.job):
            return self._give_back(lease, Back(counts=True, code=outcome.code, reason=outcome.reason))
        return self._end(lease.task.job, lease.task.number, lease.attempt, lease.worker, outcome)

    def release(self, lease: Lease) -> bool:
        """Give a task back unfinished; this attempt does not count."""
        return self._give_back(lease, Back(counts=False))

    def defer(self, lease: Lease) -> Lease | None:
        """Keep a task that waits for its turn."""
        return lease

    def begin(self, lease: Lease) -> Lease | None:
        """Begin with a task that waited."""
        return lease

    def retire(self, worker: str) -> None:
        """Remove the beat of a worker that ends and has no task."""
        self.store.remove(f"{BEATS}/{worker}")

    def close(self) -> None:
        """Do nothing: no connection is open."""

    # --- below: claiming -----------------------------------------------------------------------------------------

    def _next(self, worker: str) -> Lease | None:
        lease = self._unclaimed(worker)
        if lease is None and self._clock() - self._looked_at >= self._look_seconds:
            self._look()
            lease = self._unclaimed(worker) or self._orphan(worker)
        return lease

    def _unclaimed(self, worker: str) -> Lease | None:
        """Claim a task that nobody had at the last look."""
        misses = 0
        for name, job in self._jobs.items():
            while job.fresh and misses < _MISSES:
                number = job.fresh.pop()
                if self._take(name, number, 1, worker):
                    return self._lease(name, number, 1, worker, attempt=1)
                misses += 1
        if misses == _MISSES:
            self._looked_at = -float("inf")
        return None

    def _orphan(self, worker: str) -> Lease | None:
        """Claim a task that was given back, or whose worker is silent; or end a job of which nothing is left."""
        for name, job in list(self._jobs.items()):
            for number in sorted(job.latest.keys() - job.ended - {job.summary}):
                lease = self._take_over(name, job, number, worker)
                if lease is not None:
                    return lease
            if len(job.ended) == job.manifest.tasks:
                self._finish(name, job, worker)
        return None

    def _take_over(self, name: str, job: _Job, number: int, worker: str) -> Lease | None:
        latest = job.latest[number]
        if (number, latest) not in job.back and not self._is_silent(name, job, number, latest):
            return None
        attempts, last = self._attempts(name, job, number)
        if attempts >= job.manifest.job.max_attempts:
            self._end(name, number, attempts, job.workers.get((number, latest), ""), last)
            return None
        if not self._take(name, number, latest + 1, worker):
            return None
        job.latest[number] = latest + 1
        return self._lease(name, number, latest + 1, worker, attempt=attempts + 1)

    def _attempts(self, name: str, job: _Job, number: int) -> tuple[int, Failed]:
        """Return how many attempts count, and how the last one failed."""
        attempts, last = 0, _VANISHED
        for n in range(1, job.latest[number] + 1):
            content = self.store.read(claim_name(name, number, n) + ".back") if (number, n) in job.back else None
            back = None if content is None else Back.model_validate_json(content)
            attempts += back is None or back.counts
            last = _VANISHED if back is None else Failed(code=back.code, reason=back.reason) if back.counts else last
        return attempts, last

    def _is_silent(self, name: str, job: _Job, number: int, latest: int) -> bool:
        """Say whether whoever has a claim has not shown life for the time of a lease, as far as we have seen."""
        if (number, latest) not in job.workers:
            content = self.store.read(claim_name(name, number, latest))
            if content is None:
                return False  # retried this very moment
            job.workers[number, latest] = Claimed.model_validate_json(content).worker
        worker, now = job.workers[number, latest], self._clock()
        beat = self.store.read(f"{BEATS}/{worker}")
        before = self._seen.get(worker)
        if before is None or before[0] != beat:
            self._seen[worker] = beat, now
            return False
        return now - before[1] >= self._lease_seconds

    def _finish(self, name: str, job: _Job, worker: str) -> None:
        """Write the summary, if nobody does; of one who is silent it is taken over."""
        latest = job.latest.get(job.summary, 0)
        if latest and (job.summary, latest) not in job.back and not self._is_silent(name, job, job.summary, latest):
            return
        if not self._take(name, job.summary, latest + 1, worker):
            return
        try:
            self._summarise(self, name)
        except OutputError as error:
            _log.warning("no summary of job %s yet: %s", name, error, extra={"job": name})
            self.store.write(claim_name(name, job.summary, latest + 1) + ".back", as_json(Back(counts=False)))
            return
        except Exception:  # noqa: BLE001 (a bug, or a model that is gone: another worker would do no better)
            _log.exception("no summary of job %s", name, extra={"job": name})
        self.store.write(beside(name, "ended"), b"")
        del self._jobs[name]

    def _take(self, job: str, number: int, n: int, worker: str) -> bool:
        return self.store.create(claim_name(job, number, n), as_json(Claimed(worker=worker)))

    def _lease(self, job: str, number: int, n: int, worker: str, *, attempt: int) -> Lease:
        known = self._jobs[job]
        known.latest[number] = max(n, known.latest.get(number, 0))
        return Lease(self.task(known.manifest, number), worker, attempt, job, f"{number}", n)

    def _give_back(self, lease: Lease, back: Back) -> bool:
        name = claim_name(lease.task.job, lease.task.number, lease.deliveries)
        with self._lock:
            if lease.task.job in self._jobs:
                self._jobs[lease.task.job].back.add((lease.task.number, lease.deliveries))
        return self.store.create(f"{name}.back", as_json(back))

    def _end(self, job: str, number: int, attempts: int, worker: str, outcome: Outcome) -> bool:
        end = End(attempts=attempts, worker=worker, at_ms=time.time_ns() // 1_000_000, outcome=outcome)
        ended = self.store.create(end_name(job, number, dead=isinstance(outcome, Failed)), as_json(end))
        with self._lock:
            if job in self._jobs:
                self._jobs[job].ended.add(number)
                if not self._jobs[job].fresh:  # it may have been the last
                    self._looked_at = -float("inf")
        return ended

    def _show_life(self, worker: str) -> None:
        now = self._clock()
        if now - self._beaten_at >= self._lease_seconds / 4:
            self._beat, self._beaten_at = self._beat + 1, now
            self.store.write(f"{BEATS}/{worker}", f"{self._beat} {time.time_ns() // 1_000_000}".encode())

    # --- below: looking ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """List what there is to do, and who does it."""
        self._looked_at = self._clock()
        files = {leaf(name) for name in self.store.names("jobs")}
        names = {file.removesuffix(".json") for file in files if file.endswith(".json")}
        open_jobs = sorted(name for name in names if not files & {f"{name}.hold", f"{name}.ended"})
        self._jobs = {name: self._looked(name) for name in open_jobs}

    def _looked(self, name: str) -> _Job:
        before = self._jobs.get(name)
        job = _Job(before.manifest if before else manifest.read_manifest(self.store, name))
        job.workers = before.workers if before else {}
        for number, n, back in numbered(self.store.names(f"{CLAIMS}/{name}")):
            job.latest[number] = max(n, job.latest.get(number, 0))
            if back:
                job.back.add((number, n))
        job.ended = {int(leaf(end).partition(".")[0]) for end in self.store.names(f"{ENDS}/{name}")}
        fresh = [number for number in range(job.manifest.tasks) if number not in job.latest]
        # Every worker begins elsewhere, so that they meet late; from there on in order, for the files of the manifest.
        begin = random.randrange(len(fresh)) if fresh else 0
        job.fresh = [*fresh[begin:], *fresh[:begin]][::-1]
        return job

    def _most_attempts(self, job: str) -> int:
        with self._lock:
            known = self._jobs.get(job)
        return (known.manifest.job if known else self.spec(job)).max_attempts
