"""Where the time of an image goes: wall and processor seconds per stage, from every thread that works on it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Sums of the stages of one image. Several threads may add to it at once."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)
        self.waiting_seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] += time.perf_counter() - wall
                self.cpu_seconds[name] += time.thread_time() - cpu

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Add the time of the block to what a thread waited for a stage that others do."""
        wall = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.waiting_seconds[name] += time.perf_counter() - wall

    def add(self, other: Clock) -> None:
        """Add all of another clock."""
        with self._lock:
            for mine, its in (
                (self.seconds, other.seconds),
                (self.cpu_seconds, other.cpu_seconds),
                (self.waiting_seconds, other.waiting_seconds),
            ):
                for stage, value in its.items():
                    mine[stage] += value
