"""Test fields: real nuclei packed to a wanted density, with distance maps as noisy as a network's.

Masks of single nuclei out of the validation split are zoomed to a typical diameter of 20 px, flipped, and set on a
jittered grid; at 2 000 per megapixel they touch as in tissue. Every object gets an inner distance
1 / (1 + d² / sqrt(area)), d from its centroid, and an outer distance (to its border, divided by its largest), each
times a gain of its own; then blur, noise as smooth as a network's, and rounding to uint8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Head = NDArray[np.uint8]

MEGAPIXEL = 2**20
DIAMETER_PX = 20


def load_nuclei(folder: Path) -> list[Mask]:
    """Masks of the nuclei that no image border cuts, each in its bounding box."""
    nuclei = []
    for path in sorted((folder / "labels").glob("*.tif")):
        labels = tifffile.imread(path)
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            if box and all(s.start > 0 and s.stop < n for s, n in zip(box, labels.shape, strict=True)):
                nuclei.append(labels[box] == label)
    return [nucleus for nucleus in nuclei if nucleus.sum() >= 50]


def pack(nuclei: list[Mask], side: int, per_megapixel: float, random: np.random.Generator) -> Labels:
    """(side, side) labels: about `per_megapixel` nuclei on a jittered grid, later ones only where there is room."""
    labels = np.zeros((side, side), np.int32)
    pitch = np.sqrt(MEGAPIXEL / per_megapixel)
    corners = np.arange(0, side - 1, pitch)
    for label, (y, x) in enumerate(((y, x) for y in corners for x in corners), start=1):
        nucleus = _resized(nuclei[random.integers(len(nuclei))], DIAMETER_PX * random.lognormal(0, 0.15), random)
        top, left = (int(np.clip(v + random.uniform(-0.15, 0.15) * pitch, 0, side - 1)) for v in (y, x))
        window = labels[top : top + nucleus.shape[0], left : left + nucleus.shape[1]]
        window[(window == 0) & nucleus[: window.shape[0], : window.shape[1]]] = label
    return labels


def _resized(nucleus: Mask, diameter: float, random: np.random.Generator) -> Mask:
    zoom = diameter / np.sqrt(4 * nucleus.sum() / np.pi)
    rows, columns = (np.minimum(np.arange(0, n, 1 / zoom).astype(int), n - 1) for n in nucleus.shape)
    resized = nucleus[np.ix_(rows, columns)]
    return resized[:: random.choice([-1, 1]), :: random.choice([-1, 1])]


def predict(labels: Labels, random: np.random.Generator) -> tuple[Head, Head]:
    """Inner and outer distance (Y, X), uint8, 255 = 1."""
    index = np.arange(labels.max() + 1)
    area = np.maximum(np.bincount(labels.ravel(), minlength=len(index)), 1)
    gain = np.where(index > 0, random.uniform(0.7, 1.0, len(index)), 0)

    y, x = np.indices(labels.shape, np.float32)
    centre_y, centre_x = (np.bincount(labels.ravel(), axis.ravel(), len(index)) / area for axis in (y, x))
    squared = (y - centre_y[labels]) ** 2 + (x - centre_x[labels]) ** 2
    inner = 1 / (1 + squared / np.sqrt(area)[labels])

    depth = ndimage.distance_transform_edt(_separated(labels))
    outer = depth / np.maximum(ndimage.maximum(depth, labels, index), 1)[labels]
    return _as_predicted(inner * gain[labels], random), _as_predicted(outer * gain[labels], random)


def _separated(labels: Labels) -> Mask:
    """Foreground without the pixels that have another object to their right or below."""
    inside = labels > 0
    inside[:, :-1] &= labels[:, :-1] == labels[:, 1:]
    inside[:-1] &= labels[:-1] == labels[1:]
    return inside


def _as_predicted(field: NDArray[np.floating], random: np.random.Generator) -> Head:
    noise = ndimage.gaussian_filter(random.standard_normal(field.shape).astype(np.float32), 1.5)
    noise *= 0.03 / noise.std()
    blurred = ndimage.gaussian_filter(field.astype(np.float32), 1)
    return np.round(255 * np.clip(blurred + noise * np.sqrt(blurred + 0.02), 0, 1)).astype(np.uint8)
