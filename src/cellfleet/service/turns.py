"""Work that is too heavy for many at once: some do it, a few wait, the rest is told to come back. Knows no work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cellfleet.errors import ServiceError


class Turns:
    """May be used from any thread."""

    def __init__(self, at_once: int, *, waiting: int, wait_seconds: float) -> None:
        """Set the bounds.

        Args:
            at_once: How many may work.
            waiting: How many may wait: each keeps a thread that could answer others.
            wait_seconds: How long they wait.
        """
        self._seats = threading.BoundedSemaphore(at_once + waiting)
        self._turns = threading.BoundedSemaphore(at_once)
        self._wait_seconds = wait_seconds

    @contextmanager
    def take(self, what: str) -> Iterator[None]:
        """Wait until it is one's turn, and keep it while the block runs. Raises `ServiceError` E933."""
        if not self._seats.acquire(blocking=False):
            raise _busy(what)
        try:
            if not self._turns.acquire(timeout=self._wait_seconds):
                raise _busy(what)
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._seats.release()


def _busy(what: str) -> ServiceError:
    return ServiceError("E933", f"too many {what} are being made", status=503, action="Ask again in some seconds")
