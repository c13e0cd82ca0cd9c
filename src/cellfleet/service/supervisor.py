"""Child processes that are to live as long as the service: started again when they end. Knows not what they do."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.observe import metrics

_DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a child is started again, by how often it has ended in a row."""
_WELL_SECONDS = 60.0
"""A child that lived so long was well."""

_P = TypeVar("_P", bound="Process")

_log = logging.getLogger(__name__)


class Process(Protocol):
    """A child process."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        ...

    def stop(self) -> None:
        """Have it end, and wait until it has; free what belongs to it. It is fine if it has ended."""
        ...


class WorkerProcess:
    """A child that ends in good order when its standard input is closed, as it is when this process dies."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, stop_seconds: float) -> None:
        """Start it. In a session of its own: Ctrl-C in a terminal is for us, and we tell it."""
        self._stop_seconds = stop_seconds
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=dict(environment), start_new_session=True
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def code(self) -> int | None:
        """With what it ended; None while it runs."""
        return self._child.poll()

    def ask_to_stop(self) -> None:
        """Have it end; do not wait for that."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()

    def stop(self) -> None:
        """Have it end, by force when it takes too long."""
        self.ask_to_stop()
        try:
            self._child.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            _log.warning("a worker did not end within %g s and was killed", self._stop_seconds)
            self._child.kill()
            self._child.wait()
        metrics.child_ended(self._child.pid)


@dataclass
class Kept(Generic[_P]):
    """One child that is kept alive."""

    name: str
    start: Callable[[], _P]
    started_again: Callable[[], None] = lambda: None
    """Called after each start but the first."""
    process: _P = field(init=False)
    _failures: int = 0
    _started_at: float = 0.0
    _start_at: float | None = None
    """When it is started again; None while it runs."""

    def begin(self) -> _P:
        """Start it for the first time."""
        self.process = self.start()
        self._started_at = time.monotonic()
        return self.process

    def look(self) -> None:
        """Start it again, if it has ended and it is time."""
        now = time.monotonic()
        if self._start_at is None:
            if self.process.running:
                return
            self._failures = 0 if now - self._started_at > _WELL_SECONDS else self._failures
            self._plan(now, "ended")
            self.process.stop()
        assert self._start_at is not None
        if now >= self._start_at:
            self._start_again(now)

    def _start_again(self, now: float) -> None:
        try:
            self.process = self.start()
        except (CellfleetError, OSError) as error:
            self._plan(now, f"does not start ({error})")
            return
        self._start_at, self._started_at = None, now
        self.started_again()

    def _plan(self, now: float, what: str) -> None:
        delay = _DELAYS[min(self._failures, len(_DELAYS) - 1)]
        self._failures += 1
        self._start_at = now + delay
        _log.warning("%s %s; it is started again%s", self.name, what, f" in {delay:g} s" if delay else "")


def stop_workers(workers: Sequence[WorkerProcess]) -> None:
    """Have all end, at the same time."""
    for worker in workers:
        worker.ask_to_stop()
    for worker in workers:
        worker.stop()


def refuse_hopeless(workers: Iterable[WorkerProcess], codes: frozenset[int]) -> None:
    """Raise `ServiceError` E912, with the exit code of the worker, when one has ended with one of `codes`."""
    for worker in workers:
        code = worker.code
        if code is not None and code in codes:
            what = f"a worker cannot start (exit code {code})"
            error = ServiceError("E912", what, status=500, action="Its own message stands above")
            error.exit_code = code
            raise error
