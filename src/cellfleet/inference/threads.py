"""How many processor threads this process may use. Asks the system only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def usable_threads(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the processor threads that this process may use: its affinity, and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _quota_threads(cgroup) or count))


def _quota_threads(cgroup: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        if quota != "max":
            return max(1, round(int(quota) / int(period)))
    return None
