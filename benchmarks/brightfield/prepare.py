"""The shared transmitted-light data as a data set that `train_translation` reads. Knows no model.

The data are those of `google/in-silico-labeling`, ``isl/testdata/condition_blue_sample`` (CC BY 4.0): one field of 1024
rows, cut into rows for training and for validation. A ``manifest.json`` beside them says which file is what.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

PREFIX = "isl_"
"""Of the entries that are stacks; others have one plane, and come from other microscopes."""
NUCLEI = 0
"""Place of the nuclear stain in a target file."""


def prepare(data: Path, out: Path) -> None:
    """Write ``train`` and ``val``, each with ``images/`` (Z, Y, X) and ``targets/`` (Y, X)."""
    for entry in json.loads((data / "manifest.json").read_text(encoding="utf-8")):
        if not entry["id"].startswith(PREFIX):
            continue
        folder, name = out / entry["split"], f"{entry['id']}.tif"
        for part in ("images", "targets"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        planes, stains = tifffile.imread(data / entry["input"]), tifffile.imread(data / entry["target"])
        tifffile.imwrite(folder / "images" / name, planes, imagej=True, metadata={"axes": "ZYX"})
        tifffile.imwrite(folder / "targets" / name, stains[NUCLEI])


def write_labels(folder: Path, labels: np.ndarray) -> None:
    """Write ``labels/`` beside the only image of a split, under its name."""
    (image,) = (folder / "images").iterdir()
    (folder / "labels").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "labels" / image.name, labels.astype(np.uint16))


def only(folder: Path) -> np.ndarray:
    """Return the pixels of the only file in a folder."""
    (path,) = folder.iterdir()
    return np.asarray(tifffile.imread(path))
