"""What a megapixel costs in images of 1 to 256 megapixels, and in how much memory; the command within one --memory.

    python -m benchmarks.sizes.run [--model nuclei] [--rounds 2] [--largest 256] [--memory 2GB] [--no-peer]

Of each size as many images are segmented as come to 64 megapixels, so that the start of the command weighs the same;
sizes take turns. StarDist 2D runs on the same images where they fit. Larger images: `benchmarks.large.run`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command import Ran, segment
from benchmarks.common import Bar, median, peer_python, ratios, save, table, workers
from benchmarks.end_to_end.run import MODEL_DIAMETER_PX, peer_total
from benchmarks.slide import Slide

SIZES = (1, 16, 64, 256)
TOTAL = 64
"""Megapixels of a run of small images."""
PEER_LARGEST = 16
"""Megapixels that StarDist gets as one image: its network holds hundreds of bytes per pixel."""
FORMATS = ("--format", "ome-zarr", "--format", "parquet")
STARDIST = Path(__file__).parents[1] / "end_to_end"


def main() -> int:
    """Run and report."""
    given = arguments()
    sizes = [size for size in SIZES if size <= given.largest]
    options = ("--model", given.model, "--memory", given.memory, "--diameter", f"{MODEL_DIAMETER_PX:g}", *FORMATS)
    with tempfile.TemporaryDirectory(dir=given.scratch) as temporary:
        root = Path(temporary)
        folders = {size: make_images(root / f"images_{size}", size) for size in sizes}
        runs: dict[int, list[Ran]] = {size: [] for size in sizes}
        for turn in range(given.rounds):
            for size in sizes:
                runs[size].append(segment([folders[size]], root / "out", *options))
                shutil.rmtree(root / "out")
                print(f"round {turn + 1}: {size} Mpx, {cost(runs[size][-1], size):.3f} CPU-s/Mpx", flush=True)
        peer = {} if given.no_peer else measure_peer(root, [size for size in sizes if size <= PEER_LARGEST])
    report(runs, peer, given)
    return 0


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Cost per megapixel and memory over the size of images.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--largest", type=int, default=max(SIZES), help="megapixels; leave out larger ones")
    parser.add_argument("--memory", default="2GB", help="given to every run")
    parser.add_argument("--no-peer", action="store_true", help="leave out StarDist")
    parser.add_argument("--scratch", type=Path, help="folder for images and results, removed at the end")
    return parser.parse_args()


def count_of(size: int) -> int:
    """Return how many images of `size` megapixels make a run."""
    return max(1, TOTAL // size)


def cost(ran: Ran, size: int) -> float:
    """Return processor seconds per megapixel."""
    return ran.cpu / (count_of(size) * size)


def make_images(folder: Path, size: int) -> Path:
    """Write the images of a run as tiled TIFF."""
    folder.mkdir()
    slide = Slide.of(size)
    for number in range(count_of(size)):
        if number == 0:
            slide.write_tiff(folder / "0.tif")
        else:
            shutil.copy(folder / "0.tif", folder / f"{number}.tif")
    return folder


def measure_peer(root: Path, sizes: list[int]) -> dict[str, Any]:
    """Run StarDist on one image of each size; seconds and memory per size (its memory never falls)."""
    found = {}
    command = [peer_python("stardist", STARDIST / "requirements.txt"), STARDIST / "stardist_worker.py"]
    with workers(command) as (peer,):
        for size in sorted(sizes):
            truth = root / f"truth_{size}.tif"
            Slide.of(size).write_truth(truth)
            for _ in range(2 if size == 1 else 1):  # the first image warms up
                ran = peer.ask(image=str(root / f"images_{size}" / "0.tif"), truth=str(truth), out=str(root / "peer"))
            found[str(size)] = {"cpu": peer_total(ran, "basic table") / size, "peak_rss_mb": peer.peak_rss_mb()}
    return found


def report(runs: dict[int, list[Ran]], peer: dict[str, Any], given: argparse.Namespace) -> None:
    """Sum up, and write the results."""
    costs = {size: [cost(ran, size) for ran in found] for size, found in runs.items()}
    memory = {size: max(ran.peak_rss_mb for ran in found) for size, found in runs.items()}
    smallest, largest = min(runs), max(runs)
    change, spread = ratios(costs[smallest], costs[largest])
    middle = [median(found) for found in costs.values()]
    bars = [
        Bar(f"cost per Mpx, images of {largest} ÷ {smallest} Mpx", 1.1, 1.05, change, "×", False, spread),
        Bar("cost per Mpx, dearest ÷ cheapest size", 1.1, 1.05, max(middle) / min(middle), "×", False),
        Bar(f"peak memory, {smallest} to {largest} Mpx", 2000, 1000, max(memory.values()), "MB", False),
        Bar(f"peak memory, {largest} ÷ {smallest} Mpx", 1.15, None, memory[largest] / memory[smallest], "×", False),
    ]
    rows = [row(size, found, peer.get(str(size))) for size, found in runs.items()]
    notes = [
        f"`--memory {given.memory}`, tiled TIFF of uint16 → OME-Zarr and Parquet; {given.rounds} rounds by turns.",
        f"Of each size as many images as come to {TOTAL} Mpx; the start of the command is in the cost.",
        "The scale is given: estimated from other windows of the same nuclei it may differ, and the cost with it.",
        "A small image is one tile. In larger ones the halo of 64 px around tiles of 1024 px is predicted twice: up to "
        "27 % more pixels through the network.",
        "StarDist: network with random weights, ideal heads, warm (see end_to_end); the peak of its process.",
    ]
    header = ["Mpx", "images", "CPU-s/Mpx (min–max)", "wall s/Mpx", "peak MB", "blocks", "redone", "zoom"]
    tables = table([*header, "objects/Mpx", "StarDist CPU-s/Mpx", "its peak MB"], rows)
    details = {"runs": {size: [ran.as_dict() for ran in found] for size, found in runs.items()}, "peer": peer}
    save("sizes", bars, details, notes, tables)


def row(size: int, found: list[Ran], peer: dict[str, float] | None) -> list[Any]:
    """Return one size."""
    costs, megapixels = [cost(ran, size) for ran in found], count_of(size) * size
    return [
        size,
        count_of(size),
        f"{median(costs):.3f} ({min(costs):.3f}–{max(costs):.3f})",
        f"{median([ran.wall for ran in found]) / megapixels:.3f}",
        f"{max(ran.peak_rss_mb for ran in found):.0f}",
        found[0].blocks,
        found[0].redone,
        ", ".join(f"{zoom:.2g}" for zoom in found[0].zooms),
        f"{found[0].objects / megapixels:.0f}",
        f"{peer['cpu']:.2f}" if peer else "–",
        f"{peer['peak_rss_mb']:.0f}" if peer else "–",
    ]


if __name__ == "__main__":
    sys.exit(main())
