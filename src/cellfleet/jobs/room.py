"""Where the tasks of one process run: beside each other, or one alone. Knows no task and no ledger."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable


class Room:
    """Counts who is inside. While somebody is alone there, or waits to be, nobody else goes in.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[Hashable] = set()
        self._alone: set[Hashable] = set()
        """Who is alone inside, and who waits to be."""
        self._quiet_since = time.monotonic()

    def open(self, seconds: float) -> bool:
        """Wait until nobody is alone or waits to be; say whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._alone, seconds)

    def enter(self, who: Hashable, *, alone: bool = False, seconds: float = 0.0) -> bool:
        """Go in as soon as one may; say whether that was so in time. One who is to be alone waits on until `leave`."""
        with self._changed:
            if alone:
                self._alone.add(who)
            if not self._changed.wait_for(lambda: not (self._inside if alone else self._alone), seconds):
                return False
            self._inside.add(who)
            return True

    def leave(self, who: Hashable) -> None:
        """Go out, or wait no longer."""
        with self._changed:
            self._inside.discard(who)
            self._alone.discard(who)
            if not self._inside:
                self._quiet_since = time.monotonic()
            self._changed.notify_all()

    def quiet_seconds(self) -> float:
        """Return for how long nobody has been inside; less than any number while somebody is, or waits to be alone."""
        with self._changed:
            return -math.inf if self._inside or self._alone else time.monotonic() - self._quiet_since
