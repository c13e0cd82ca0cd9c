"""Signs of life of workers that share nothing but a store: each writes a file of its own again and again.

Clocks of machines are not compared: whoever looks measures, by its own clock, for how long a file has not changed. The
time that stands in it is for estimates alone. Knows no job.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from cellfleet.errors import OutputError
from cellfleet.stores.place import Place

BEATS = "beats"
_OLD_SECONDS = 86_400.0


class Beats:
    """Those of this process, and what it saw of others. Every method may be called from any thread."""

    def __init__(self, store: Place, lease_seconds: float, clock: Callable[[], float], *, folder: str = BEATS) -> None:
        """Take where they are, how long a worker may be silent, and a clock, seconds."""
        self._store, self._lease_seconds, self._clock, self._folder = store, lease_seconds, clock, folder
        self._lock = threading.Lock()
        self._count, self._shown_at = 0, -float("inf")
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """Worker → its last beat, and when that was new."""

    def show(self, worker: str) -> None:
        """Write a beat, if the last one was a quarter of a lease ago. Raises `OutputError`."""
        with self._lock:
            now = self._clock()
            if now - self._shown_at < self._lease_seconds / 4:
                return
            self._store.write(f"{self._folder}/{worker}", f"{self._count} {time.time_ns() // 1_000_000}".encode())
            self._count, self._shown_at = self._count + 1, now

    @contextlib.contextmanager
    def showing(self, worker: str) -> Iterator[None]:
        """Write beats while the block runs."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self._lease_seconds / 4):
                with contextlib.suppress(OutputError):
                    self.show(worker)

        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def end(self, worker: str) -> None:
        """Remove the beats of a worker that ends and has no task."""
        self._store.remove(f"{self._folder}/{worker}")

    def is_silent(self, worker: str) -> bool:
        """Say whether a worker has not shown life for the time of a lease, as far as we have seen."""
        beat, now = self._store.read(f"{self._folder}/{worker}"), self._clock()
        before = self._seen.get(worker)
        if before is None or before[0] != beat:
            self._seen[worker] = beat, now
            return False
        return now - before[1] >= self._lease_seconds


def living(store: Place, within_seconds: float) -> int:
    """Return how many workers have shown life lately, by their clocks: an estimate, for whoever starts more of them."""
    return len(who_lives(store, within_seconds))


def who_lives(store: Place, within_seconds: float, folder: str = BEATS) -> list[str]:
    """Return which workers have shown life lately, by their clocks: an estimate."""
    now = time.time()
    return [name.rpartition("/")[2] for name, beaten in _all(store, folder) if abs(now - beaten) <= within_seconds]


def remove_old_beats(store: Place, folder: str = BEATS) -> None:
    """Remove the beats of workers that died long ago. One that lives nevertheless writes the next one soon."""
    before = time.time() - _OLD_SECONDS
    for name, beaten in _all(store, folder):
        if beaten < before:
            store.remove(name)


def _all(store: Place, folder: str) -> Iterator[tuple[str, float]]:
    """Yield each worker's file and when it was written, seconds since 1970."""
    for name in list(store.names(folder)):
        _, _, ms = (store.read(name) or b"").partition(b" ")
        if ms.isdigit():
            yield name, int(ms) / 1000
