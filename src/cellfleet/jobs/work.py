"""The loop of a worker: claim tasks, run them, acknowledge them, and keep their leases meanwhile. Knows no image.

Several loops may go on in one process. A task runs in a thread of its own; its loop waits beside it, renews the lease
while the task shows life, and hears when the worker is to stop.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cellfleet.errors import CellfleetError, LedgerError
from cellfleet.jobs.keys import PRIORITIES
from cellfleet.jobs.leases import Leases
from cellfleet.jobs.ledger import Lease
from cellfleet.jobs.room import Room
from cellfleet.observe import metrics
from cellfleet.observe.logs import log_context
from cellfleet.spec.job import Done, Failed, Outcome, Priority, Task
from cellfleet.spec.newer import NEWER

_T = TypeVar("_T")

Run = Callable[[Task, int, Callable[[], None]], Outcome]
"""Runs a task, its attempt from 1, and says how it ended, once its results stand. It calls its last argument now and
then (once per image or block, say) to show that it is alive. It may be called again for a task that it did before, even
while that other call goes on elsewhere: the same results are written again, whole."""

ALONE_FROM = 3
"""Attempt from which a task runs alone: it was interrupted twice, and may be what kills its process. So it takes no
others with it. Nor do others take it with them: its attempt counts from when it is alone."""
_BLOCK_MS = 1000
_LOOK_SECONDS = 0.25
"""Between two looks whether the worker is to stop, while a task runs."""
_RENEWALS_PER_LEASE = 3
_PAUSE_SECONDS = 0.5
"""Between two questions to a ledger that does not answer."""
_LONGEST_REASON = 1000
"""Characters."""
_MAY_PASS = frozenset({"E152", "E153", "E157", "E158", "E159", "E404", "E406"})
"""Faults of a server that images come from; and models that this machine cannot load: another worker may have the
library, the memory or the version of cellfleet for them."""

_GIVEN_BACK = "E523"
"""The model server was away for minutes: no task's fault, so the attempt does not count."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for what, seconds."""

    idle: float | None = None
    """For a task, before the worker ends; None: for ever."""
    grace: float = 30.0
    """For the task at hand to end, when the worker is to stop; then it is given back."""
    stall: float = 600.0
    """For a sign of life of a task. After that its lease is not renewed, and another worker takes it."""
    outage: float = 300.0
    """For a ledger that does not answer, before the worker fails."""


@dataclass
class Worked:
    """What a worker did."""

    done: int = 0
    failed: int = 0
    released: int = 0
    lost: int = 0
    """Tasks that somebody else had when they ended."""


def worker_name() -> str:
    """Return a name that no other worker has and that says where this one runs."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def work(
    ledger: Leases,
    run: Run,
    *,
    stop: threading.Event,
    at_once: int = 1,
    worker: str | None = None,
    priorities: Sequence[Priority] = PRIORITIES,
    patience: Patience = Patience(),
) -> Worked:
    """Run tasks until `stop` is set (by a handler of SIGTERM, say) or none came for `patience.idle` seconds.

    Whatever a task raises fails this attempt and no more. A task that does not end in time after `stop` is given back;
    its thread is a daemon, and what it still writes does no harm. The same happens to its neighbours when a task shows
    no life: this process is to be replaced.

    Args:
        ledger: Where tasks come from.
        run: Is called from `at_once` threads.
        stop: Set by whoever wants the worker to end.
        at_once: How many tasks run beside each other; those that were interrupted twice run alone.
        worker: Name of this process, unique among all; None: one is made.
        priorities: Which tasks to take, most urgent first.
        patience: How long to wait for what.

    Raises:
        LedgerError: When the ledger does not answer for `patience.outage` seconds, or takes no writes.
        JobError: E821, when a newer cellfleet wrote what is to be done: newer workers are to do it.
    """
    crew = _Crew(ledger, run, worker or worker_name(), tuple(priorities), stop, patience)
    others = [threading.Thread(target=crew.loop, name=f"loop {i}", daemon=True) for i in range(1, at_once)]
    for thread in others:
        thread.start()
    crew.loop()
    for thread in others:
        thread.join()
    if crew.errors:
        raise crew.errors[0]
    with contextlib.suppress(LedgerError):  # a name that stays in a list for an hour is no reason to fail
        ledger.retire(crew.worker)
    return crew.worked


def is_final(code: str) -> bool:
    """Say whether every attempt would meet this error: it is the input's own fault, or that of what was asked for."""
    return code[:2] in {"E1", "E2", "E4"} and code not in _MAY_PASS


class UnwantedError(BaseException):
    """Raised in a task that shows life although nobody wants its results any more; not to be caught by `Run`."""


@dataclass
class _Crew:
    """The loops of one process and what they share."""

    ledger: Leases
    run: Run
    worker: str
    priorities: Sequence[Priority]
    stop: threading.Event
    patience: Patience
    worked: Worked = field(default_factory=Worked)
    errors: list[BaseException] = field(default_factory=list)
    room: Room = field(default_factory=Room)
    counting: threading.Lock = field(default_factory=threading.Lock)
    idle: bool = False
    """Whether nothing came for so long that all loops end."""
    broken: bool = False
    """Whether a task that was given up still runs, or a loop failed: no other is begun, and those that run must end."""

    def loop(self) -> None:
        """Work until there is nothing more to do here."""
        try:
            while not (self.idle or self._must_end()):
                self._next()
        except BaseException as error:  # noqa: BLE001 (raised again by `work`, after the other loops have ended)
            self.broken = True
            self.errors.append(error)

    def _must_end(self) -> bool:
        return self.broken or self.stop.is_set()

    def _next(self) -> None:
        """Do one task, or find that there is none."""
        if not self.room.open(_LOOK_SECONDS):
            return
        left = self._idle_seconds_left()
        block_ms = round(min(_BLOCK_MS, max(left, 0.0) * 1000))
        lease = self.patiently(
            lambda: self.ledger.claim(self.worker, self.priorities, block_ms=block_ms, defer_from=ALONE_FROM)
        )
        if lease is not None:
            self._take(lease)
        elif self._idle_seconds_left() <= 0:
            self.idle = True

    def _idle_seconds_left(self) -> float:
        return math.inf if self.patience.idle is None else self.patience.idle - self.room.quiet_seconds()

    def _take(self, lease: Lease) -> None:
        """Run a task, when there is room for it."""
        alone = lease.attempt >= ALONE_FROM
        begun: Lease | None = lease
        if alone:
            begun = self._wait_for_room(lease, alone=True)
        elif not self.room.enter(lease.place):
            begun = self._wait_for_room(self.patiently(lambda: self.ledger.defer(lease)), alone=False)
        if begun is not None:
            try:
                self._do(begun)
            finally:
                self.room.leave(begun.place)

    def _wait_for_room(self, kept: Lease | None, *, alone: bool) -> Lease | None:
        """Wait until a task may run whose attempt does not count yet; None: it is not ours to run any more."""
        if kept is None:
            return None
        heart = _Heart(self.ledger, kept)
        seconds = min(heart.interval, _LOOK_SECONDS)
        while heart.beat() and not self._must_end():
            if self.room.enter(kept.place, alone=alone, seconds=seconds) and not self._must_end():
                return self._begin(kept)
        self.room.leave(kept.place)
        self._release(kept)
        return None

    def _begin(self, kept: Lease) -> Lease | None:
        """Count the attempt of a task that was kept and for which there is room now."""
        begun = self.patiently(lambda: self.ledger.begin(kept))
        if begun is None:
            self.room.leave(kept.place)
        return begun

    def _do(self, lease: Lease) -> None:
        """Run one task and tell the ledger how it ended."""
        began = time.monotonic()
        metrics.task_began()
        attempt = _Attempt(self.run, lease)
        verdict = self._accompany(attempt, lease)
        if attempt.newer is not None:
            self.errors.append(attempt.newer)
        self.broken |= verdict != "ended" or attempt.newer is not None
        outcome = attempt.outcome
        if verdict == "stalled":
            outcome = Failed(code="E815", reason=f"no sign of life for {self.patience.stall:g} s")
        ending = self._tell(lease, None if verdict == "grace is over" else outcome)
        seconds = time.monotonic() - began
        metrics.task_ended(ending, seconds)
        _log.info("%s after %.1f s", ending, seconds, extra={"job": lease.task.job, "task": lease.task.number})

    def _tell(self, lease: Lease, outcome: Outcome | None) -> metrics.Ending:
        """Tell the ledger what came of an attempt, None: nothing; return what the ledger made of it."""
        if outcome is None:
            return "released" if self._release(lease) else "lost"
        acknowledged = self.patiently(lambda: self.ledger.acknowledge(lease, outcome))
        done: metrics.Ending = "done" if isinstance(outcome, Done) else "failed"
        ending = done if acknowledged else "lost"
        self._count(ending)
        return ending

    def _release(self, lease: Lease) -> bool:
        released = self.patiently(lambda: self.ledger.release(lease))
        if released:
            self._count("released")
        return released

    def _count(self, what: metrics.Ending) -> None:
        with self.counting:
            setattr(self.worked, what, getattr(self.worked, what) + 1)

    def _accompany(self, attempt: _Attempt, lease: Lease) -> Literal["ended", "grace is over", "stalled"]:
        """Wait until an attempt ends or is given up; renew its lease meanwhile."""
        heart, give_up_at = _Heart(self.ledger, lease), math.inf
        while not attempt.looked_at(min(heart.interval, _LOOK_SECONDS)):
            now = time.monotonic()
            if self._must_end():
                give_up_at = min(give_up_at, now + self.patience.grace)
            if now >= give_up_at:
                attempt.wanted = False
                return "grace is over"
            if now - attempt.seen_at >= self.patience.stall:
                attempt.wanted = False
                return "stalled"
            attempt.wanted = heart.beat()
        return "ended"

    def patiently(self, ask: Callable[[], _T]) -> _T:
        """Return the ledger's answer, however often it must be asked, within the patience for outages."""
        began = time.monotonic()
        while True:
            try:
                return ask()
            except LedgerError as error:
                patience = self.patience.grace if self._must_end() else self.patience.outage
                if error.code != "E801" or time.monotonic() - began >= patience:
                    raise
                _log.warning("%s", error)
            time.sleep(_PAUSE_SECONDS)


class _Heart:
    """Renews a lease while somebody lets it beat."""

    def __init__(self, ledger: Leases, lease: Lease) -> None:
        self.lease = lease
        self.interval = ledger.lease_seconds / _RENEWALS_PER_LEASE
        self._ledger = ledger
        self._next_at = time.monotonic() + self.interval
        self._wanted = True

    def beat(self) -> bool:
        """Renew the lease if it is time; say whether the task is still ours to do.

        A ledger that does not answer now may have kept the lease.
        """
        now = time.monotonic()
        if self._wanted and now >= self._next_at:
            self._next_at = now + self.interval
            try:
                answer = self._ledger.renew(self.lease)
                metrics.lease_renewed(answer)
                self._wanted = answer == "held"
            except LedgerError as error:
                metrics.lease_renewed("unanswered")
                _log.warning("%s", error)
        return self._wanted


class _Attempt:
    """One task running in a thread of its own. The attributes are read and set by both threads, each at once."""

    def __init__(self, run: Run, lease: Lease) -> None:
        self.ended = threading.Event()
        self.outcome: Outcome | None = None
        """None while it runs, and when it ended because it was not wanted."""
        self.newer: CellfleetError | None = None
        """Set when only a newer cellfleet can do it: this worker ends, and makes room for one."""
        self.seen_at = self._looked_at = time.monotonic()
        self.wanted = True
        name = f"task {lease.task.number}"
        threading.Thread(target=self._run, args=(run, lease.task, lease.attempt), name=name, daemon=True).start()

    def looked_at(self, seconds: float) -> bool:
        """Wait so long for the end; say whether it has come. Counts the time in which this worker is busy."""
        ended = self.ended.wait(seconds)
        now = time.monotonic()
        metrics.busy(now - self._looked_at)
        self._looked_at = now
        return ended

    def _alive(self) -> None:
        if not self.wanted:
            raise UnwantedError
        self.seen_at = time.monotonic()

    def _run(self, run: Run, task: Task, attempt: int) -> None:
        with log_context(job=task.job, task=task.number):
            self._end(run, task, attempt)

    def _end(self, run: Run, task: Task, attempt: int) -> None:
        try:
            self.outcome = run(task, attempt, self._alive)
        except UnwantedError:
            _log.info("task %d of job %s is not wanted any more", task.number, task.job)
        except CellfleetError as error:
            if error.code in {_GIVEN_BACK, NEWER}:
                _log.warning("given back: %s", error)
                self.newer = error if error.code == NEWER else None
            else:
                _log.warning("the attempt failed: %s", error)
                self.outcome = Failed(code=error.code, reason=str(error)[:_LONGEST_REASON], final=is_final(error.code))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a task does, the worker lives on)
            _log.exception("task %d of job %s", task.number, task.job)
            self.outcome = Failed(code="E599", reason=f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
        finally:
            self.ended.set()
