"""What several test files need: images to segment, and a look at what a run left behind."""

import csv
from pathlib import Path

import numpy as np
import tifffile

from cellfleet.cli import main
from cellfleet.spec.record import RunRecord


def discs(height: int = 64, width: int = 80) -> np.ndarray:
    """Four bright discs on a noisy ground, uint16."""
    y, x = np.mgrid[:height, :width]
    found = np.zeros((height, width), bool)
    for row, column in [(15, 15), (15, 50), (45, 30), (48, 62)]:
        found |= (y - row) ** 2 + (x - column) ** 2 < 49
    return (np.random.default_rng(0).normal(100, 5, (height, width)) + 800 * found).astype(np.uint16)


def segment(*words: object) -> int:
    return main(["segment", *map(str, words), "--model", "otsu"])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def results(out: Path) -> dict[str, bytes]:
    """Label images and tables, by path."""
    paths = [*out.rglob("*_labels.tif"), *out.rglob("*_cells.csv"), *out.rglob("*_cells.parquet")]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def run_record(out: Path) -> RunRecord:
    return RunRecord.model_validate_json((out / "run.json").read_bytes())


def header_claiming(path: Path, side: int) -> None:
    """Rewrite width, height and rows per strip in the header of a TIFF that tifffile wrote."""
    with tifffile.TiffFile(path) as file:
        offsets = [file.pages[0].tags[name].offset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")]
    content = bytearray(path.read_bytes())
    for offset in offsets:
        # Type 4 = LONG, one value, at +8.
        content[offset + 2 : offset + 12] = (
            (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + side.to_bytes(4, "little")
        )
    path.write_bytes(content)
