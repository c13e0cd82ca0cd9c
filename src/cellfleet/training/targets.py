"""Label image → the maps that a network learns. Knows no network and no files.

Distances are divided by each object's own size, so that they can be resampled with the image: a zoomed map is
the map of the zoomed object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def outer_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Distance to the object's border ÷ its maximum in the object: 0 outside, up to 1 at the most inner pixel.

    Args:
        labels: Label image (Y, X).

    Returns:
        float32 (Y, X). Objects that touch are separated: the distance is to any pixel that is not this object.
        The image's own edge is not a border.
    """
    out = np.zeros(labels.shape, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        wide = _grown(box, 1, labels.shape)
        mask = labels[wide] == label
        distance = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
        # The first pixel inside has distance 1; half a pixel less is the distance from its centre to the edge.
        distance = np.where(mask, distance - 0.5, 0)
        out[wide][mask] = (distance / max(distance.max(), 0.5))[mask]
    return out


def inner_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Closeness to the object's centre: 1 / (1 + alpha · d²), d px from the centroid, alpha = 4π / area.

    DeepCell's inner distance (deepcell-tf ``transform_utils.py``) with a per-object alpha that makes it a function
    of d ÷ radius alone (0.2 at the border of a disk: d² = area / π). DeepCell's ``auto`` uses 1 / sqrt(area).

    Args:
        labels: Label image (Y, X).

    Returns:
        float32 (Y, X), 0 outside objects, up to 1.
    """
    out = np.zeros(labels.shape, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == label
        y, x = np.nonzero(mask)
        squared = (y - y.mean()) ** 2 + (x - x.mean()) ** 2
        out[box][mask] = 1 / (1 + 4 * np.pi / len(y) * squared)
    return out


def classes(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return background 0, interior 1, border 2 per pixel (..., Y, X): border = the object's own rim, 4-connected."""
    rim = np.zeros(labels.shape, bool)
    for axis in (-2, -1):
        ahead = [slice(None)] * labels.ndim
        behind = [slice(None)] * labels.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(ahead)] != labels[tuple(behind)]
        rim[tuple(ahead)] |= differs
        rim[tuple(behind)] |= differs
    return np.where(labels == 0, 0, np.where(rim, 2, 1)).astype(np.uint8)


def median_diameter(labels: NDArray[Any]) -> float | None:
    """Median diameter, px, of the circles of equal area; None without objects."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else None


def _grown(box: tuple[slice, ...], by: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape, strict=True))
