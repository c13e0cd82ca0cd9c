"""What this process asked of buckets and web servers: requests and bytes, for the bill. Knows no job.

Repeated attempts of one request count once, and what zarr reads of an OME-Zarr in a bucket counts as requests alone:
obstore tells of neither.
"""

from __future__ import annotations

import threading
from typing import NamedTuple


class Traffic(NamedTuple):
    """Sums since the process began."""

    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class TrafficCounter:
    """May be used from any thread."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._lock = threading.Lock()
        self._sums = Traffic()

    def add(self, *, reads: int = 0, writes: int = 0, read_bytes: int = 0, written_bytes: int = 0) -> None:
        """Count."""
        with self._lock:
            now = self._sums
            self._sums = Traffic(
                now.reads + reads, now.writes + writes, now.read_bytes + read_bytes, now.written_bytes + written_bytes
            )

    def received(self, content: bytes) -> bytes:
        """Count what a request that was counted brought, and return it."""
        self.add(read_bytes=len(content))
        return content

    def sums(self) -> Traffic:
        """Return what was counted so far."""
        return self._sums


TRAFFIC = TrafficCounter()
"""Of this process. One for all: who reads an image cannot know for which job it is read."""
