"""A folder of one-megapixel images through the real command: are all cores busy, and does memory stay put?

    python -m benchmarks.throughput.run [--images 200] [--threads 2] [--model nuclei]

Cores busy = processor seconds used ÷ (wall seconds × cores − seconds that the host gave to other machines). Start of
the command, loading of the model and writing of the report are in the wall time. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tifffile

from benchmarks.common import VALIDATION, Bar, save, table
from benchmarks.fields import synthetic_field


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="Cores busy on many images.")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_images(root / "images", given.images)
        few = run(root, "few", given.model, given.threads, some=max(2, given.images // 10))
        many = run(root, "many", given.model, given.threads)
    free = many["wall"] * given.threads - many["stolen"] - many["others"]
    growth = many["peak_rss_mb"] / few["peak_rss_mb"]
    bars = [
        Bar("cores busy", 90, 97, 100 * many["cpu"] / (many["wall"] * given.threads - many["stolen"]), "%", True),
        Bar("peak memory", 2000, 1000, many["peak_rss_mb"], "MB", False),
        Bar("peak memory, all images ÷ a tenth of them", 1.15, None, growth, "×", False),
    ]
    rows = [
        ["images", given.images],
        ["images per minute", f"{60 * given.images / many['wall']:.1f}"],
        ["wall s", f"{many['wall']:.1f}"],
        ["processor s", f"{many['cpu']:.1f}"],
        ["stolen by the host, s", f"{many['stolen']:.1f}"],
        ["used by other processes, s", f"{many['others']:.1f}"],
        ["cores busy, of what others left", f"{100 * many['cpu'] / free:.1f} %"],
        ["cost per Mpx, all ÷ a tenth", f"{many['cpu'] / given.images / (few['cpu'] / few['images']):.3f}"],
        ["busy share per stage, %", ", ".join(f"{k} {100 * v:.1f}" for k, v in many["busy_share"].items())],
    ]
    notes = [
        "Half of the images are sparse, half dense (benchmarks/fields.py).",
        "The 90 % bar is that of a later release.",
    ]
    save("throughput", bars, {"few": few, "many": many, "threads": given.threads}, notes, table(["", ""], rows))
    return 0


def make_images(folder: Path, count: int) -> None:
    """Write `count` fields; four different ones in turn."""
    folder.mkdir()
    fields = [synthetic_field(kind, VALIDATION, seed) for seed in range(2) for kind in ("sparse", "dense")]
    for number in range(count):
        tifffile.imwrite(folder / f"{number:04}.tif", fields[number % 4].pixels, metadata={"axes": "YX"})


def run(root: Path, name: str, model: str, threads: int, some: int | None = None) -> dict[str, Any]:
    """Segment all images or the first `some`; return what it took."""
    images = sorted((root / "images").iterdir())[:some]
    inputs = [root / "images"] if some is None else images
    command = [Path(sys.executable).with_name("cellfleet"), "segment", *inputs, "-o", root / name]
    command += ["--model", model, "--threads", str(threads), "--progress", "none"]
    before, began = _system_seconds(), time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    after = _system_seconds()
    if status:
        raise SystemExit(f"cellfleet ended with {status}")
    cpu = usage.ru_utime + usage.ru_stime
    record = json.loads((root / name / "run.json").read_text(encoding="utf-8"))
    return {
        "images": len(images),
        "wall": wall,
        "cpu": cpu,
        "stolen": after["stolen"] - before["stolen"],
        "others": max(0.0, after["used"] - before["used"] - cpu),
        "peak_rss_mb": usage.ru_maxrss / 1024,
        "busy_share": record["busy_share"],
    }


def _system_seconds() -> dict[str, float]:
    """Return the processor seconds that all processes used, and those that the host gave to other machines."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, interrupt, soft_interrupt, stolen = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in line[:8]
    )
    return {"used": user + nice + system + interrupt + soft_interrupt, "stolen": stolen}


if __name__ == "__main__":
    sys.exit(main())
