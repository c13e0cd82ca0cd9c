"""What this machine computes with: the names of its processor and GPU. Asks the system only."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

_ROOT = Path("/proc")


def cpu_name(proc: Path = _ROOT) -> str:
    """Return the name of the processor; where the system has none, its architecture."""
    with contextlib.suppress(OSError):
        for line in (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            label, _, name = line.partition(":")
            if label.strip() == "model name" and name.strip():
                return " ".join(name.split())
    return platform.processor() or platform.machine() or "processor"


def gpu_name(proc: Path = _ROOT) -> str:
    """Return the name of the first GPU; ``GPU`` where its driver does not tell."""
    with contextlib.suppress(OSError):
        for told in sorted((proc / "driver" / "nvidia" / "gpus").glob("*/information")):
            for line in told.read_text(encoding="utf-8", errors="replace").splitlines():
                label, _, name = line.partition(":")
                if label.strip() == "Model" and name.strip():
                    return " ".join(name.split())
    return "GPU"
