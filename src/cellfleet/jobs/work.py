"""The loop of a worker: claim a task, run it, acknowledge it, and keep the lease meanwhile. Knows no image.

Tasks run in a thread of their own; the loop's thread waits beside it, renews the lease while the task shows life, and
hears when the worker is to stop.
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
from functools import partial
from typing import Literal, TypeVar

from cellfleet.errors import CellfleetError, LedgerError
from cellfleet.jobs.keys import PRIORITIES
from cellfleet.jobs.ledger import Lease, Ledger
from cellfleet.spec.job import Done, Failed, Outcome, Priority, Tally, Task

_T = TypeVar("_T")

Run = Callable[[Task, Callable[[], None]], Tally]
"""Runs a task and returns what was done, once its results stand. It calls its second argument now and then (once per
image or block, say) to show that it is alive. It may be called again for a task that it did before, even while that
other call goes on elsewhere: the same results are written again, whole."""

_BLOCK_MS = 1000
_LOOK_SECONDS = 0.25
"""Between two looks whether the worker is to stop, while a task runs."""
_RENEWALS_PER_LEASE = 3
_PAUSE_SECONDS = 0.5
"""Between two questions to a ledger that does not answer."""
_LONGEST_REASON = 1000
"""Characters."""

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
    ledger: Ledger,
    run: Run,
    *,
    stop: threading.Event,
    worker: str | None = None,
    priorities: Sequence[Priority] = PRIORITIES,
    patience: Patience = Patience(),
) -> Worked:
    """Run tasks until `stop` is set (by a handler of SIGTERM, say) or none came for `patience.idle` seconds.

    Whatever a task raises fails this attempt and no more. A task that does not end in time after `stop` is given back;
    its thread is a daemon, and what it still writes does no harm.

    Raises:
        LedgerError: When the ledger does not answer for `patience.outage` seconds, or takes no writes.
    """
    loop = _Loop(ledger, run, worker or worker_name(), stop, patience)
    idle = math.inf if patience.idle is None else patience.idle
    end = time.monotonic() + idle
    while not stop.is_set() and not loop.abandoned:
        block_ms = round(min(_BLOCK_MS, max(end - time.monotonic(), 0) * 1000))
        lease = loop.patiently(partial(ledger.claim, loop.worker, priorities, block_ms=block_ms))
        if lease is not None:
            loop.do(lease)
            end = time.monotonic() + idle
        elif time.monotonic() >= end:
            break
    with contextlib.suppress(LedgerError):  # a name that stays in a list for an hour is no reason to fail
        ledger.retire(loop.worker)
    return loop.worked


class UnwantedError(BaseException):
    """Raised in a task that shows life although nobody wants its results any more; not to be caught by `Run`."""


@dataclass
class _Loop:
    ledger: Ledger
    run: Run
    worker: str
    stop: threading.Event
    patience: Patience
    worked: Worked = field(default_factory=Worked)
    abandoned: bool = False
    """Whether a task that was given up still runs: this process must not begin another beside it."""

    def do(self, lease: Lease) -> None:
        """Run one task and tell the ledger how it ended."""
        attempt = _Attempt(self.run, lease.task)
        verdict = self._accompany(attempt, lease)
        self.abandoned = verdict != "ended"
        outcome = attempt.outcome
        if verdict == "stalled":
            outcome = Failed(code="E815", reason=f"no sign of life for {self.patience.stall:g} s")
        if outcome is None or verdict == "grace is over":
            self.worked.released += self.patiently(lambda: self.ledger.release(lease))
        elif not self.patiently(lambda: self.ledger.acknowledge(lease, outcome)):
            self.worked.lost += 1
        elif isinstance(outcome, Done):
            self.worked.done += 1
        else:
            self.worked.failed += 1

    def _accompany(self, attempt: _Attempt, lease: Lease) -> Literal["ended", "grace is over", "stalled"]:
        """Wait until an attempt ends or is given up; renew its lease meanwhile."""
        interval = self.ledger.lease_seconds / _RENEWALS_PER_LEASE
        renew_at, give_up_at = time.monotonic() + interval, math.inf
        while not attempt.ended.wait(min(interval, _LOOK_SECONDS)):
            now = time.monotonic()
            if self.stop.is_set():
                give_up_at = min(give_up_at, now + self.patience.grace)
            if now >= give_up_at:
                attempt.wanted = False
                return "grace is over"
            if now - attempt.seen_at >= self.patience.stall:
                attempt.wanted = False
                return "stalled"
            if now >= renew_at and attempt.wanted:
                attempt.wanted = self._renewed(lease)
                renew_at = now + interval
        return "ended"

    def _renewed(self, lease: Lease) -> bool:
        """Say whether the task is still ours to do. A ledger that does not answer now may have kept the lease."""
        try:
            return self.ledger.renew(lease) == "held"
        except LedgerError as error:
            _log.warning("%s", error)
            return True

    def patiently(self, ask: Callable[[], _T]) -> _T:
        """Return the ledger's answer, however often it must be asked, within the patience for outages."""
        began = time.monotonic()
        while True:
            try:
                return ask()
            except LedgerError as error:
                patience = self.patience.grace if self.stop.is_set() else self.patience.outage
                if error.code != "E801" or time.monotonic() - began >= patience:
                    raise
                _log.warning("%s", error)
            time.sleep(_PAUSE_SECONDS)


class _Attempt:
    """One task running in a thread of its own. The attributes are read and set by both threads, each at once."""

    def __init__(self, run: Run, task: Task) -> None:
        self.ended = threading.Event()
        self.outcome: Outcome | None = None
        """None while it runs, and when it ended because it was not wanted."""
        self.seen_at = time.monotonic()
        self.wanted = True
        threading.Thread(target=self._run, args=(run, task), name=f"task {task.number}", daemon=True).start()

    def _alive(self) -> None:
        if not self.wanted:
            raise UnwantedError
        self.seen_at = time.monotonic()

    def _run(self, run: Run, task: Task) -> None:
        try:
            self.outcome = Done(tally=run(task, self._alive))
        except UnwantedError:
            _log.info("task %d of job %s is not wanted any more", task.number, task.job)
        except CellfleetError as error:
            self.outcome = Failed(code=error.code, reason=str(error)[:_LONGEST_REASON])
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a task does, the worker lives on)
            _log.exception("task %d of job %s", task.number, task.job)
            self.outcome = Failed(code="E599", reason=f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
        finally:
            self.ended.set()
