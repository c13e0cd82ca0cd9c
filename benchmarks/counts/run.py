"""What a megapixel costs in 10, 1 000 and 10 000 images of one folder, how soon the first is done, and the second run.

    python -m benchmarks.counts.run [--model nuclei] [--rounds 3] [--large]

Images are 256 × 256 px; a second series has 1024 × 1024 px. The start of the command is what one image of 16 × 16 px
takes; it is taken off before costs are compared, and told. `--large` adds the 10 000 images. After the most images the
same command is run again: nothing is left to do, and all is listed, compared and reported. Counts take turns.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import tifffile

from benchmarks.command import Ran, segment
from benchmarks.common import MEGAPIXEL, Bar, median, save, table
from benchmarks.slide import Slide

SERIES = {256: (10, 1000), 1024: (10, 100)}
"""Side, px → numbers of images."""
MANY = 10_000
REPEATED = 100
"""Runs of fewer images are repeated as often as the others take turns; longer ones average over themselves."""

Found = dict[tuple[int, int], list[Ran]]
"""(side, number of images) → runs."""


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="Cost per megapixel over the number of images.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help=f"also {MANY} images")
    parser.add_argument("--quick", action="store_true", help="a fifth of the images, for trying the script")
    parser.add_argument("--scratch", type=Path, help="folder for images and results, removed at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as temporary:
        root = Path(temporary)
        found, start, again = measure(root, given)
    report(found, start, again)
    return 0


def measure(root: Path, given: argparse.Namespace) -> tuple[Found, list[Ran], Ran]:
    """Return the runs, those of one tiny image, and the second run of the most images."""
    options = ("--model", given.model)
    series = {side: [n // 5 if given.quick and n > 10 else n for n in counts] for side, counts in SERIES.items()}
    series[256] += [MANY] if given.large else []
    folders = {(side, n): make_images(root / f"{side}_{n}", side, n) for side, counts in series.items() for n in counts}
    tiny = make_images(root / "tiny", 16, 1)
    found: Found = {case: [] for case in folders}
    start = []
    for turn in range(given.rounds):
        start.append(run(tiny, root, options))
        for case, folder in folders.items():
            if case[1] == MANY:
                continue
            # Ten small images are done in the blink of an eye: more runs of them.
            for _ in range(max(1, REPEATED // case[1] // 3)):
                found[case].append(run(folder, root, options))
            print(f"round {turn + 1}: {case[1]} × {case[0]}², {found[case][-1].cpu:.2f} CPU-s", flush=True)
    most = max(n for side, n in folders if side == 256)
    found[256, most].append(segment([folders[256, most]], root / "twice", *options))
    return found, start, segment([folders[256, most]], root / "twice", *options)


def run(images: Path, root: Path, options: tuple[str, ...]) -> Ran:
    """Segment a folder, and remove what that made."""
    ran = segment([images], root / "out", *options)
    shutil.rmtree(root / "out")
    return ran


def make_images(folder: Path, side: int, count: int) -> Path:
    """Write `count` different images of nuclei."""
    folder.mkdir()
    slide = Slide(1 << 20, 1 << 20)
    for number in range(count):
        tifffile.imwrite(folder / f"{number:05}.tif", slide.pixels(317 * number, 211 * number, side, side))
    return folder


def report(found: Found, start: list[Ran], again: Ran) -> None:
    """Sum up, and write the results."""
    begun = median([ran.cpu for ran in start])
    costs = {case: [(ran.cpu - begun) / megapixels(*case) for ran in runs] for case, runs in found.items()}
    bars = []
    for side in SERIES:
        counts = sorted(n for its_side, n in found if its_side == side)
        fewest, most = (side, counts[0]), (side, counts[-1])
        change = median(costs[most]) / median(costs[fewest])
        what = f"cost per Mpx, {most[1]} ÷ {fewest[1]} images of {side}²"
        bars.append(Bar(what, 1.1, 1.05, change, "×", False))
        growth = max(ran.peak_rss_mb for ran in found[most]) / max(ran.peak_rss_mb for ran in found[fewest])
        bars.append(Bar(f"peak memory, {most[1]} ÷ {fewest[1]} images of {side}²", 1.15, None, growth, "×", False))
    rows = [row(case, runs, costs[case]) for case, runs in found.items()]
    most = max(n for side, n in found if side == 256)
    notes = [
        f"The start of the command, {begun:.2f} CPU-s, is not in the cost (but in the other columns).",
        f"Second run of {most} finished images: {again.wall:.1f} s wall, {again.cpu:.1f} CPU-s, "
        f"{again.peak_rss_mb:.0f} MB.",
    ]
    header = ["images", "side", "runs", "CPU-s/Mpx (min–max)", "images per minute", "first image after, s", "peak MB"]
    details = {
        "runs": {f"{n} × {side}": [ran.as_dict() for ran in runs] for (side, n), runs in found.items()},
        "start": [ran.as_dict() for ran in start],
        "again": again.as_dict(),
    }
    save("counts", bars, details, notes, table(header, rows))


def megapixels(side: int, count: int) -> float:
    """Return what a run goes through."""
    return side * side * count / MEGAPIXEL


def row(case: tuple[int, int], runs: list[Ran], costs: list[float]) -> list[Any]:
    """Return one series."""
    side, count = case
    return [
        count,
        side,
        len(runs),
        f"{median(costs):.3f} ({min(costs):.3f}–{max(costs):.3f})",
        f"{60 * count / median([ran.wall for ran in runs]):.0f}",
        f"{median([ran.first for ran in runs]):.2f}",
        f"{max(ran.peak_rss_mb for ran in runs):.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
