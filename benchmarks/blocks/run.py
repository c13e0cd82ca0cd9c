"""What it costs to label an image in blocks, and how often a block's halo is too small.

    python -m benchmarks.blocks.run [--side 4096] [--rounds 5] [--model nuclei]

Real nuclei are packed to three densities (benchmarks/postprocess/fields.py); heads are as noisy as a network's. Every
block of 512 px is tried with each halo: it is redone if a pixel that it writes is unknown, or an object with its seed
there is not complete. The few blocks of 2048 px give the cost. Processor seconds, one thread, medians.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import MEGAPIXEL, VALIDATION, Bar, median, save, table
from cellfleet.models.load import read_manifest
from cellfleet.pipeline.postprocess import UNKNOWN, BlockLabels, context_px, deep_watershed, deep_watershed_block
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.tiling.box import Box

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "postprocess"))
import fields

DENSITY = {"sparse": 500, "dense": 2000, "tissue": 4000}
"""Nuclei per megapixel; at 4 000 of 20 px there is hardly any background."""
HALOS = (16, 32, 64, 96, 128, 192)
SMALL, LARGE = 512, 2048
MESMER = DeepWatershed(
    radius=2,
    maxima_threshold=0.075,
    interior_smooth=2,
    small_objects_threshold=15,
    fill_holes_threshold=15,
)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="Blocks against the whole image.")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder: whose settings")
    given = parser.parse_args()
    specs = {Path(given.model).name: read_manifest(given.model).postprocess, "Mesmer": MESMER}
    nuclei = fields.load_nuclei(VALIDATION)
    shares, costs = [], []
    for kind, density in DENSITY.items():
        random = np.random.default_rng(2026)
        heads = np.stack(fields.predict(fields.pack(nuclei, given.side, density, random), random))
        for name, spec in specs.items():
            case = {"field": kind, "settings": name}
            shares += [{**case, "halo": halo, **redone(heads, spec, halo)} for halo in HALOS]
            costs.append({**case, **cost(heads, spec, 128, given.rounds)})
    report(given.side, shares, costs)


def redone(heads: NDArray[np.uint8], spec: DeepWatershed, halo: int) -> dict[str, int]:
    """Try every block of SMALL px once."""
    tried = [settled(label(heads, spec, region), box, region) for box, region in blocks(heads, spec, SMALL, halo)]
    return {"blocks": len(tried), "redone": tried.count(False)}


def cost(heads: NDArray[np.uint8], spec: DeepWatershed, halo: int, rounds: int) -> dict[str, float]:
    """Processor ms per megapixel: of the whole image, and of blocks of LARGE px per megapixel read and written."""
    regions = list(blocks(heads, spec, LARGE, halo))
    whole = timed(lambda: deep_watershed(heads[0], heads[1], spec), rounds)
    parts = timed(lambda: [label(heads, spec, region) for _, region in regions], rounds)
    written, read = (sum(box.shape[0] * box.shape[1] for box in boxes) for boxes in zip(*regions, strict=True))
    return {
        "whole": whole / (heads[0].size / MEGAPIXEL),
        "per_read": parts / (read / MEGAPIXEL),
        "per_written": parts / (written / MEGAPIXEL),
    }


def blocks(heads: NDArray[np.uint8], spec: DeepWatershed, side: int, halo: int) -> Iterator[tuple[Box, Box]]:
    """Yield what each block writes and what it reads."""
    shape = (heads.shape[1], heads.shape[2])
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            box = Box(y, x, min(y + side, shape[0]), min(x + side, shape[1]))
            yield box, box.grown(halo + context_px(spec), shape)


def label(heads: NDArray[np.uint8], spec: DeepWatershed, region: Box) -> BlockLabels:
    """Label one block."""
    context, shape = context_px(spec), heads.shape
    top, left = (context if start > 0 else None for start in (region.y0, region.x0))
    bottom, right = (context if stop < n else None for stop, n in ((region.y1, shape[1]), (region.x1, shape[2])))
    maxima, interior = heads[:, region.y, region.x]
    return deep_watershed_block(maxima, interior, spec, (top, left, bottom, right))


def settled(found: BlockLabels, box: Box, region: Box) -> bool:
    """Say whether all that the block writes is known, and its objects are complete."""
    inside = np.zeros(region.shape, bool)
    inside[box.within(region)] = True
    return not (found.labels[inside] == UNKNOWN).any() and bool(found.complete[inside.ravel()[found.seeds]].all())


def timed(run: Callable[[], Any], rounds: int) -> float:
    """Return the median processor milliseconds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        found.append(1000 * (time.process_time() - start))
    return median(found)


def report(side: int, shares: list[dict[str, Any]], costs: list[dict[str, Any]]) -> None:
    """Write the results."""
    at_128 = [share for share in shares if share["halo"] == 128]
    percent = 100 * sum(share["redone"] for share in at_128) / sum(share["blocks"] for share in at_128)
    dearest = max(cost["per_read"] / cost["whole"] for cost in costs)
    bars = [
        Bar(f"blocks of {SMALL} px redone with a halo of 128 px", 1, None, percent, "%", False),
        Bar(f"cost per Mpx read, blocks of {LARGE} px ÷ whole image", 1.1, None, dearest, "×", False),
    ]
    rows = []
    for cost in costs:
        own = [share for share in shares if all(share[key] == cost[key] for key in ("field", "settings"))]
        cells = [f"{100 * share['redone'] / share['blocks']:.1f}" for share in own]
        figures = [f"{cost[key]:.1f}" for key in ("whole", "per_read", "per_written")]
        rows.append([cost["field"], cost["settings"], *cells, *figures])
    header = ["field", "settings", *(f"halo {halo}: redone, %" for halo in HALOS)]
    header += ["whole, ms/Mpx", "blocks, ms/Mpx read", "blocks, ms/Mpx written"]
    notes = [
        f"{side} × {side} px per field; a halo counts from where smoothing ends (`context_px`).",
        f"Cost: blocks of {LARGE} px with a halo of 128 px.",
    ]
    save("blocks", bars, {"shares": shares, "costs": costs}, notes, table(header, rows))


if __name__ == "__main__":
    main()
