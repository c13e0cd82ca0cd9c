"""Megapixel fields of real nuclei with their labels, from the validation set in the repository.

Sparse: real 256 × 256 images of about 500 nuclei per megapixel, flipped and set side by side. Dense: the densest real
images, and more nuclei cut from them set into the free background, until there are 2 000 per megapixel. Each piece is
brought to the same contrast. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.common import MEGAPIXEL

SIDE, PIECE = 1024, 256
DENSITY = {"sparse": 500, "dense": 2000}
"""Objects per megapixel."""


@dataclass(frozen=True, eq=False)
class Field:
    """Pixels (Y, X) uint8 and truth (Y, X) uint16, 0 = background."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint16]

    @property
    def megapixels(self) -> float:
        """Size in units of 2^20 pixels."""
        return self.pixels.size / MEGAPIXEL

    @property
    def objects(self) -> int:
        """Number of true objects."""
        return int(np.count_nonzero(np.bincount(self.labels.ravel())[1:]))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both as TIFF and return the paths; the one of the labels lies in a folder of its own."""
        image, labels = folder / "images" / f"{self.name}.tif", folder / "truth" / f"{self.name}.tif"
        for path, array in ((image, self.pixels), (labels, self.labels)):
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array, metadata={"axes": "YX"})
        return image, labels


def synthetic_field(kind: str, folder: Path, seed: int) -> Field:
    """Return a `SIDE` × `SIDE` field of kind ``sparse`` or ``dense``, reproducible from the seed."""
    random = np.random.default_rng(seed)
    pieces = _pieces(folder)
    wanted = DENSITY[kind] * PIECE**2 / MEGAPIXEL
    fitting = [p for p in pieces if min(0.5 * wanted, 35) <= _count(p[1]) <= 1.5 * wanted]
    pixels, labels = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint16)
    for top in range(0, SIDE, PIECE):
        for left in range(0, SIDE, PIECE):
            piece, truth = (_flipped(a, seed + top + left) for a in fitting[random.integers(len(fitting))])
            box = slice(top, top + PIECE), slice(left, left + PIECE)
            pixels[box] = piece
            labels[box] = np.where(truth > 0, truth + labels.max(), 0)
    if kind == "dense":
        _fill(pixels, labels, _nuclei(fitting), DENSITY[kind], random)
    return Field(f"{kind}_{seed}", pixels, labels)


def real_field(folder: Path, name: str) -> Field:
    """Return one image of the validation set as it is."""
    pixels, labels = (tifffile.imread(folder / kind / f"{name}.tif") for kind in ("images", "labels"))
    return Field(f"real_{name}", pixels, labels.astype(np.uint16))


def _pieces(folder: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    found = []
    for path in sorted((folder / "images").glob("*.tif")):
        pixels, labels = tifffile.imread(path), tifffile.imread(folder / "labels" / path.name)
        if pixels.shape == (PIECE, PIECE):
            low, high = np.percentile(pixels, (1, 99.8))
            stretched = np.clip((pixels - low) * (200 / (high - low)) + 10, 0, 255)
            found.append((stretched.astype(np.uint8), labels.astype(np.uint16)))
    return found


def _count(labels: NDArray[np.uint16]) -> int:
    return len(np.unique(labels)) - 1


def _flipped(array: NDArray[Any], how: int) -> NDArray[Any]:
    return array[:: 1 - 2 * (how & 1), :: 1 - (how & 2)]


def _nuclei(
    pieces: list[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Cut out the nuclei that no image border cuts: pixels and mask in the bounding box."""
    found = []
    for pixels, labels in pieces:
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            if box and all(s.start > 0 and s.stop < PIECE for s in box) and (labels[box] == label).sum() >= 50:
                found.append((pixels[box], labels[box] == label))
    return found


def _fill(
    pixels: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    nuclei: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]],
    per_megapixel: float,
    random: np.random.Generator,
) -> None:
    """Set nuclei where nothing is yet, in place, until the density is reached."""
    count = Field("", pixels, labels).objects
    label = int(labels.max())
    while count < per_megapixel * pixels.size / MEGAPIXEL:
        how = int(random.integers(4))
        nucleus, mask = (_flipped(a, how) for a in nuclei[random.integers(len(nuclei))])
        top, left = (int(random.integers(n - m)) for n, m in zip(pixels.shape, mask.shape, strict=True))
        box = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        if not labels[box][mask].any():
            label, count = label + 1, count + 1
            labels[box][mask] = label
            pixels[box][mask] = np.maximum(pixels[box], nucleus)[mask]
