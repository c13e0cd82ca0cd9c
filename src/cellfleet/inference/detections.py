"""What a detector says of a tile: one record per object that it finds. Knows no image, no tile and no runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MASK_PX = 28
"""Side of a mask, whatever the size of its object."""
RECORD = np.dtype([("box", np.float64, 4), ("score", np.float32), ("mask", np.uint8, (MASK_PX, MASK_PX))])
"""``box``: y0, x0, y1, x1, px. ``score``: 0…1. ``mask``: 255 × the probability that a cell of it is the object."""

Detections = NDArray[Any]
"""(n,) of `RECORD`."""


def detections(boxes: NDArray[Any], scores: NDArray[Any], masks: NDArray[Any]) -> Detections:
    """Put together boxes (n, 4), scores (n,) and masks (n, 28, 28)."""
    found = np.empty(len(boxes), RECORD)
    found["box"], found["score"], found["mask"] = boxes, scores, masks
    return found


def none() -> Detections:
    """Return what is found where there is nothing."""
    return np.empty(0, RECORD)
