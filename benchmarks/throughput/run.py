"""A folder of one-megapixel images through the real command: are all cores busy, and does memory stay put?

    python -m benchmarks.throughput.run [--images 200] [--threads 2] [--model nuclei]

Cores busy = processor seconds used ÷ (wall seconds × cores − seconds that the host gave to other machines). Start of
the command, loading of the model and writing of the report are in the wall time. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import tifffile

from benchmarks.command import segment
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
        options = ("--model", given.model, "--threads", str(given.threads))
        images = sorted((root / "images").iterdir())
        some = images[: max(2, given.images // 10)]
        few = segment(some, root / "few", *options)
        many = segment([root / "images"], root / "many", *options)
    free = many.wall * given.threads - many.stolen - many.others
    growth = many.peak_rss_mb / few.peak_rss_mb
    bars = [
        Bar("cores busy", 90, 97, 100 * many.cpu / (many.wall * given.threads - many.stolen), "%", True),
        Bar("peak memory", 2000, 1000, many.peak_rss_mb, "MB", False),
        Bar("peak memory, all images ÷ a tenth of them", 1.15, None, growth, "×", False),
    ]
    rows = [
        ["images", given.images],
        ["images per minute", f"{60 * given.images / many.wall:.1f}"],
        ["wall s", f"{many.wall:.1f}"],
        ["processor s", f"{many.cpu:.1f}"],
        ["stolen by the host, s", f"{many.stolen:.1f}"],
        ["used by other processes, s", f"{many.others:.1f}"],
        ["cores busy, of what others left", f"{100 * many.cpu / free:.1f} %"],
        ["cost per Mpx, all ÷ a tenth", f"{many.cpu / given.images / (few.cpu / len(some)):.3f}"],
        ["waiting per stage, s", ", ".join(f"{k} {v:.1f}" for k, v in many.waiting_seconds.items())],
        ["busy share per stage, %", ", ".join(f"{k} {100 * v:.1f}" for k, v in many.busy_share.items())],
    ]
    notes = ["Half of the images are sparse, half dense (benchmarks/fields.py)."]
    save(
        "throughput",
        bars,
        {"few": few.as_dict(), "many": many.as_dict(), "threads": given.threads},
        notes,
        table(["", ""], rows),
    )
    return 0


def make_images(folder: Path, count: int) -> None:
    """Write `count` fields; four different ones in turn."""
    folder.mkdir()
    fields = [synthetic_field(kind, VALIDATION, seed) for seed in range(2) for kind in ("sparse", "dense")]
    for number in range(count):
        tifffile.imwrite(folder / f"{number:04}.tif", fields[number % 4].pixels, metadata={"axes": "YX"})


if __name__ == "__main__":
    sys.exit(main())
