"""One slide of 100 000 × 100 000 px through the command, within the memory that one megapixel gets; `make bench-large`.

    python -m benchmarks.large.run [--side 100000 | --megapixels N] [--tissue 0.1] [--model nuclei] [--memory 2GB]
                                   [--minutes 45] [--scratch FOLDER]

A sharded OME-Zarr (`benchmarks/slide.py`) is written block by block and segmented to OME-Zarr and Parquet. Most of it
is empty glass, as most of a slide is; `--tissue 1` is all nuclei. After `--minutes` the command is stopped as by
Ctrl-C; with the same `--scratch` the next call goes on, in the slide and in the results, and adds to the figures. A
finished run removes what it wrote there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.command import Ran, segment
from benchmarks.common import Bar, save, table
from benchmarks.end_to_end.run import MODEL_DIAMETER_PX
from benchmarks.slide import Slide
from cellfleet.tiling.blocks import blocks

FORMATS = ("--format", "ome-zarr", "--format", "parquet")


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="One very large slide in bounded memory.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--side", type=int, default=100_000, help="px")
    parser.add_argument("--megapixels", type=int, help="instead of --side")
    parser.add_argument("--tissue", type=float, default=0.1, help="share of the area that is no empty glass")
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--minutes", type=float, help="stop then")
    parser.add_argument("--scratch", type=Path, help="folder to go on in; kept until the slide is finished")
    given = parser.parse_args()
    slide = Slide(given.side, given.side, given.tissue)
    if given.megapixels:
        slide = Slide.of(given.megapixels, given.tissue)
    folder: AbstractContextManager[str] = tempfile.TemporaryDirectory() if given.scratch is None else nullcontext()
    with folder as temporary:
        root = given.scratch or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        options = ("--model", given.model, "--memory", given.memory, "--diameter", f"{MODEL_DIAMETER_PX:g}", *FORMATS)
        runs = measure(slide, root, options, given.minutes)
        report(slide, runs, given)
        if runs[-1].status == "done":
            shutil.rmtree(root)
            root.mkdir()
    return 0


def measure(slide: Slide, root: Path, options: tuple[str, ...], minutes: float | None) -> list[Ran]:
    """Write the slide and segment it, as far as the time allows; return all runs of this folder."""
    path, kept = root / f"{slide.width}_{slide.tissue:g}.zarr", root / "runs.json"
    slide.write_zarr(path)
    print(f"written: {path.name}, {slide.megapixels:.0f} Mpx", flush=True)
    known = {field.name for field in fields(Ran)}
    earlier = json.loads(kept.read_text()) if kept.exists() else []
    runs = [Ran(**{name: value for name, value in ran.items() if name in known}) for ran in earlier]
    limit = None if minutes is None else 60 * minutes
    runs.append(segment([path], root / "results", *options, limit_seconds=limit))
    kept.write_text(json.dumps([ran.as_dict() for ran in runs]))
    return runs


def report(slide: Slide, runs: list[Ran], given: argparse.Namespace) -> None:
    """Sum up, and write the results."""
    total = len(blocks((slide.height, slide.width)))
    finished = runs[-1].status == "done"
    done = total if finished else sum(ran.blocks_done for ran in runs)
    megapixels = slide.megapixels * done / total
    cpu, wall = sum(ran.cpu for ran in runs), sum(ran.wall for ran in runs)
    peak = max(ran.peak_rss_mb for ran in runs)
    what = f"peak memory, {slide.height} × {slide.width} px, {given.tissue:.0%} tissue"
    what += "" if finished else f", {done} of {total} blocks"
    rows = [
        ["model", given.model],
        ["Mpx", f"{slide.megapixels:.0f}"],
        ["of which tissue", f"{slide.tissue:.0%}"],
        ["blocks done", f"{done} of {total}, in {len(runs)} runs"],
        ["labels and table written", "yes" if finished else "no: stopped before"],
        ["CPU-s", f"{cpu:.0f}"],
        ["CPU-s per Mpx", f"{cpu / megapixels:.4f}"],
        ["CPU-s per Mpx of tissue", f"{cpu / megapixels / slide.tissue:.3f}"],
        ["wall s", f"{wall:.0f}"],
        ["used by other processes meanwhile, CPU-s", f"{sum(ran.others for ran in runs):.0f}"],
        ["peak memory, MB", f"{peak:.0f}"],
        ["blocks redone with a larger halo", runs[-1].redone if finished else "–"],
        ["objects", runs[-1].objects if finished else "–"],
        ["busy share per stage, %", shares(runs[-1].busy_share)],
    ]
    notes = [f"`--memory {given.memory}`; sharded OME-Zarr of uint16 → OME-Zarr and Parquet, two processor threads."]
    bars = [Bar(what, 2000, 1000, peak, "MB", False)]
    save(
        "large", bars, {"runs": [ran.as_dict() for ran in runs], "blocks": [done, total]}, notes, table(["", ""], rows)
    )


def shares(busy: dict[str, Any]) -> str:
    """Return busy shares in one line."""
    return ", ".join(f"{stage} {100 * share:.1f}" for stage, share in busy.items())


if __name__ == "__main__":
    sys.exit(main())
