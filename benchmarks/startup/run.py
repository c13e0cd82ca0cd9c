"""How long a user waits: help, version, and the first result of one 512 × 512 image; wall seconds of new processes.

    python -m benchmarks.startup.run [--model nuclei] [--rounds 15]

The files are in the system's cache: the first round is not counted. The commands take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tifffile

from benchmarks.common import VALIDATION, Bar, median, save, table
from benchmarks.fields import synthetic_field

SIDE = 512


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="Time to help, version and the first result.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    cellfleet = Path(sys.executable).with_name("cellfleet")
    with tempfile.TemporaryDirectory() as temporary:
        image = Path(temporary) / "image.tif"
        tifffile.imwrite(image, synthetic_field("sparse", VALIDATION, 0).pixels[:SIDE, :SIDE], metadata={"axes": "YX"})
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "cellfleet --version": [str(cellfleet), "--version"],
            "cellfleet --help": [str(cellfleet), "--help"],
            "cellfleet segment --help": [str(cellfleet), "segment", "--help"],
            "first result": [str(cellfleet), "segment", str(image), "--model", given.model],
        }
        wall: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(given.rounds + 1):
            for name, command in commands.items():
                out = ["-o", f"{temporary}/results_{turn}"] if name == "first result" else []
                seconds = timed([*command, *out])
                if turn:
                    wall[name].append(seconds[0])
                    cpu[name].append(seconds[1])
    bars = [
        _bar("`cellfleet --help`", wall["cellfleet --help"], 0.3, 0.15),
        _bar("`cellfleet segment`, first result, one 512² image", wall["first result"], 3, 1.5),
    ]
    rows = [
        [
            f"`{name}`",
            f"{median(wall[name]):.3f}",
            f"{min(wall[name]):.3f}–{max(wall[name]):.3f}",
            f"{median(cpu[name]):.3f}",
        ]
        for name in commands
    ]
    tables = table(["command", "wall s, median", "min–max", "processor s, median"], rows)
    notes = ["*First result* is the whole command, from its start to its end, with all results and the report written."]
    save("startup", bars, {"wall": wall, "cpu": cpu}, notes, tables)
    return 0


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall and processor seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return wall, usage.ru_utime + usage.ru_stime


def _bar(what: str, seconds: list[float], bar: float, stretch: float) -> Bar:
    return Bar(what, bar, stretch, median(seconds), "s", False, (min(seconds), max(seconds)))


if __name__ == "__main__":
    sys.exit(main())
