"""Open the label images of a downloaded zip in the real ImageJ: `in_imagej.py ZIP`.

Prints JSON: for every label TIFF what ImageJ saw, `[pixels, largest value, checksum]`, and the same of the OME-Zarr
labels beside it, read with the zarr library.
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.contract.imagej_java import run_java

ENDING = "_labels.tif"


def main(file: str) -> None:
    with tempfile.TemporaryDirectory() as made, zipfile.ZipFile(file) as packed:
        folder = Path(made)
        packed.extractall(folder)
        tiffs = sorted(folder.rglob(f"*{ENDING}"))
        pairs = {tiff.name: (in_imagej(folder, tiff), in_zarr(tiff)) for tiff in tiffs}
    print(json.dumps(pairs))


def in_imagej(classes: Path, tiff: Path) -> list[int]:
    seen = dict(line.split(" ", 1) for line in run_java("OpenLabels", classes, tiff).splitlines())
    return [int(seen["pixels"]), int(seen["largest"]), int(seen["checksum"])]


def in_zarr(tiff: Path) -> list[int]:
    group = zarr.open_group(tiff.with_name(tiff.name.removesuffix(".tif") + ".ome.zarr"), mode="r")
    flat = np.asarray(group["0"]).ravel().astype(np.int64)
    # As OpenLabels.java has it.
    return [flat.size, int(flat.max()), int((flat * (np.arange(flat.size) % 8191 + 1)).sum())]


main(sys.argv[1])
