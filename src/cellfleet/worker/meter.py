"""What this worker takes for each job: seconds of the machine, requests, bytes; kept in the store, for the bill.

Tasks that run beside each other share what passes, in equal parts, so that the sums are what the worker really took
while it was busy. Knows no price.

Every worker has a file of its own for every job and writes it again whole: before a task is acknowledged, so that the
bill of an ended job is complete, and now and then during a long task, so that a worker that is killed takes less than
a minute with it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cellfleet.errors import OutputError
from cellfleet.jobs.usage import write_usage
from cellfleet.spec.usage import Machine, Usage
from cellfleet.stores.place import Place
from cellfleet.stores.traffic import TRAFFIC, Traffic

_EVERY_SECONDS = 30.0
_JOBS_KEPT = 256

_log = logging.getLogger(__name__)


@dataclass
class _Account:
    """What one job took so far."""

    serial: int
    writing: threading.Lock = field(default_factory=threading.Lock)
    """Held from reading the sums until they stand in the store: so that the file never goes back."""
    seconds: float = 0.0
    traffic: list[float] = field(default_factory=lambda: [0.0] * len(Traffic._fields))
    stages: Counter[str] = field(default_factory=Counter)
    written_at: float = 0.0


class Meter:
    """May be used from any thread."""

    def __init__(
        self,
        store: Place,
        worker: str,
        machine: Machine,
        *,
        clock: Callable[[], float] = time.monotonic,
        traffic: Callable[[], Traffic] = TRAFFIC.sums,
    ) -> None:
        """Take where to write, the name of this worker, unique among all, and what it runs on."""
        self._store, self._worker, self._machine = store, worker, machine
        self._clock, self._traffic = clock, traffic
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._serial = 0
        self._seen = (clock(), traffic())

    @contextlib.contextmanager
    def task(self, job: str, patiently: Callable[[Callable[[], None]], None] = lambda write: write()) -> Iterator[None]:
        """Count what passes inside for a job; at the end it stands in the store, also where the block fails.

        Args:
            job: Whose task it is.
            patiently: Calls its argument until the store takes what it writes, or gives up; for a block that ends well.

        Raises:
            OutputError: The store does not take it. The block's own error goes before.
        """
        with self._lock:
            self._share_out()
            self._running[job] += 1
        try:
            try:
                yield
            except BaseException:
                with contextlib.suppress(Exception):
                    self._write(job)
                raise
            patiently(lambda: self._write(job))
        finally:
            with self._lock:
                self._share_out()
                self._running[job] -= 1
                self._running += Counter()  # drops those at zero

    def stages(self, job: str, seconds: Mapping[str, float]) -> None:
        """Add what threads spent in the stages of an image, seconds."""
        with self._lock:
            self._account(job).stages.update(seconds)

    def alive(self, job: str) -> None:
        """Write what there is, if the last time was a while ago. A store that does not take it is asked again later."""
        with self._lock:
            now, account = self._clock(), self._account(job)
            if now - account.written_at < _EVERY_SECONDS:
                return
            account.written_at = now  # at once: other threads ask, too
        try:
            self._write(job)
        except OutputError as error:
            _log.warning("what the job took is not written: %s", error, extra={"job": job})

    def _write(self, job: str) -> None:
        with self._lock:
            account = self._account(job)
        with account.writing:
            write_usage(self._store, job, f"{self._worker}-{account.serial}", self._usage(account))

    def _usage(self, account: _Account) -> Usage:
        with self._lock:
            self._share_out()
            account.written_at = self._clock()
            sums = Traffic(*(round(value) for value in account.traffic))
            return Usage(
                machine=self._machine,
                seconds=round(account.seconds, 3),
                stage_seconds={stage: round(seconds, 3) for stage, seconds in account.stages.items()},
                **sums._asdict(),
            )

    def _share_out(self) -> None:
        """Divide what passed since the last time among the tasks that ran meanwhile."""
        now, sums = self._clock(), self._traffic()
        passed = (now - self._seen[0], *(new - old for new, old in zip(sums, self._seen[1], strict=True)))
        self._seen = now, sums
        tasks = self._running.total()
        for job, running in self._running.items():
            account = self._account(job)
            seconds, *traffic = (value * running / tasks for value in passed)
            account.seconds += seconds
            account.traffic = [old + new for old, new in zip(account.traffic, traffic, strict=True)]

    def _account(self, job: str) -> _Account:
        if job not in self._accounts:
            self._serial += 1
            self._accounts[job] = _Account(self._serial)
            self._forget_oldest()
        self._accounts.move_to_end(job)
        return self._accounts[job]

    def _forget_oldest(self) -> None:
        """A job that comes back gets a further file."""
        idle = [job for job in self._accounts if not self._running[job]]
        for job in idle[: max(0, len(self._accounts) - _JOBS_KEPT)]:
            del self._accounts[job]
