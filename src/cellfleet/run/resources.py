"""How much memory this process may use, and images that wait until enough of it is free."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from cellfleet.errors import DeviceError

_CGROUP = Path("/sys/fs/cgroup")
_SHARE_OF_AVAILABLE = 0.8
"""The rest is for Python, the libraries and other programs."""


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the memory that can be had without swapping, or None where the system does not tell (macOS, Windows)."""
    known = [value for value in (_free_of_system(meminfo), _free_of_cgroup(cgroup)) if value is not None]
    return min(known) if known else None


class MemoryBudget:
    """Bytes that the images in flight may use together."""

    def __init__(self, total_bytes: int | None) -> None:
        """Take the limit, None: no limit known."""
        self._total = total_bytes
        self._used = 0
        self._changed = threading.Condition()

    @classmethod
    def of_this_machine(cls) -> MemoryBudget:
        """Take most of what is free now."""
        free = available_bytes()
        return cls(None if free is None else int(free * _SHARE_OF_AVAILABLE))

    @contextlib.contextmanager
    def hold(self, needed_bytes: int) -> Iterator[None]:
        """Wait until `needed_bytes` are free beside the other images, and hold them while the block runs.

        Raises:
            DeviceError: E510, when even alone the image would not fit.
        """
        if self._total is None:
            yield
            return
        if needed_bytes > self._total:
            raise not_enough_memory(f"needs about {_gb(needed_bytes)} GB, {_gb(self._total)} GB are free")
        with self._changed:
            self._changed.wait_for(lambda: self._used + needed_bytes <= (self._total or 0))
            self._used += needed_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed_bytes
                self._changed.notify_all()


def not_enough_memory(what: str) -> DeviceError:
    """Return the error for an image that does not fit into memory."""
    return DeviceError(
        "E510",
        f"the image is too large for the memory of this machine: {what}",
        action="Close other programs, cut the image into pieces, or use a machine with more memory",
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:,.1f}".replace(",", " ")


def _free_of_system(meminfo: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _free_of_cgroup(cgroup: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            statistics = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            # The page cache of files counts as used, but is given back on demand.
            cached = sum(int(value) for name, value in statistics if name in {"inactive_file", "active_file"})
            return max(0, int(limit) - int((cgroup / "memory.current").read_text()) + cached)
    return None
