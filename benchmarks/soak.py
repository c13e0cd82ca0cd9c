"""Soak test: a run that is killed again and again ends with the same bytes as one that is left alone.

    python benchmarks/soak.py [--images 120] [--minutes 5] [--model nuclei] [--seed 0]

Makes small synthetic images, one in ten of them broken. Segments them once undisturbed, watching that memory does not
grow with the number of images. Then segments them into another folder while the process is killed (SIGKILL, SIGTERM or
SIGINT, at random moments), repeating the same command until it finishes. After every kill each result that has its
final name must be whole. At the end both folders must hold the same labels and tables. `make soak` runs it; POSIX only.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

FINISHED_WITH_FAILURES = 3
STOPPED_BY_US = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130, 128 + signal.SIGTERM}
GROWTH_MB = 40
"""Memory may still rise by this much in the second half of a run."""


def main() -> int:
    """Run both passes; return 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments and compare what they leave.")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=5, help="limit for the disturbed pass")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_images(root / "images", given.images, np.random.default_rng(given.seed))
        command = [sys.executable, "-m", "cellfleet", "segment", str(root / "images"), "--model", given.model]
        command += ["--threads", "1", "--progress", "none", "-o"]
        problems = undisturbed([*command, str(root / "whole")])
        problems += disturbed(command, root / "killed", random.Random(given.seed), given.minutes * 60)
        problems += compare(root / "whole", root / "killed", given.images)
    for problem in problems:
        print(f"BROKEN PROMISE: {problem}")
    print("soak: " + ("failed" if problems else "passed"))
    return 1 if problems else 0


def make_images(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Write `count` images of discs on noise (Y, X), uint16; every tenth file is text."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"image_{number:04}.tif"
        if number % 10 == 9:
            path.write_text("not an image")
        else:
            tifffile.imwrite(path, discs(rng, int(rng.integers(128, 640))))


def discs(rng: np.random.Generator, size: int) -> NDArray[np.uint16]:
    """Return an image (Y, X) of bright discs of 12–40 px on Poisson noise."""
    y, x = np.mgrid[:size, :size]
    light = np.full((size, size), 100.0)
    for _ in range(size * size // 4000):
        centre_y, centre_x, radius = rng.integers(0, size), rng.integers(0, size), rng.integers(6, 20)
        light[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] = 900
    return rng.poisson(light).astype(np.uint16)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def undisturbed(command: list[str]) -> list[str]:
    """Segment everything once; return what went wrong, growing memory included."""
    process = start(command)
    resident: list[float] = []
    while process.poll() is None:
        resident.append(resident_mb(process.pid))
        time.sleep(0.1)
    half = max(resident[: len(resident) // 2], default=0)
    growth = max(resident, default=0) - half
    print(f"undisturbed: exit {process.returncode}, {half:.0f} MB after half of the time, {growth:+.0f} MB after all")
    problems = [] if process.returncode == FINISHED_WITH_FAILURES else [f"exit code {process.returncode}, not 3"]
    return problems + ([f"memory grew by {growth:.0f} MB in the second half"] if growth > GROWTH_MB else [])


def disturbed(command: list[str], out: Path, rng: random.Random, limit_seconds: float) -> list[str]:
    """Segment everything under fire; return what went wrong."""
    ends = time.monotonic() + limit_seconds
    problems: list[str] = []
    kills = 0
    while True:
        process = start([*command, str(out)])
        try:
            # Most of a life is start-up: later kills come later, so that the run gets somewhere.
            code = process.wait(timeout=rng.uniform(0.3, 2 + kills / 10) if time.monotonic() < ends else None)
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            code = process.wait()
            kills += 1
        problems += half_written(out)
        if code == FINISHED_WITH_FAILURES:
            print(f"disturbed: {kills} kills, then finished")
            return problems
        if code not in STOPPED_BY_US:
            return [*problems, f"after {kills} kills the run ended with exit code {code}"]


def half_written(out: Path) -> list[str]:
    """Return the label files under their final names that are not whole."""
    broken = []
    for path in out.glob("*_labels.tif"):
        try:
            tifffile.imread(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            broken.append(f"{path.name} is half written: {error}")
    return broken


def compare(whole: Path, killed: Path, images: int) -> list[str]:
    """Return which results differ between the two folders."""
    names = sorted(path.name for path in whole.glob("image_*"))
    problems = [f"{name} differs" for name in names if read(whole / name) != read(killed / name)]
    problems += [f"{path.name} is left over" for path in killed.rglob(".cellfleet-*.part")]
    expected = sum(number % 10 != 9 for number in range(images))
    labels = sum(name.endswith("_labels.tif") for name in names)
    return problems + ([] if labels == expected else [f"{labels} label images, not {expected}"])


def read(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there is none."""
    return path.read_bytes() if path.exists() else None


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB, 0 when it has gone or the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) / 1000 if lines else 0.0


if __name__ == "__main__":
    sys.exit(main())
