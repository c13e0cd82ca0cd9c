"""Sizes that a strided network can take. Pure geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def padded(pixels: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """Mirror (R, Y, X) at its lower and right border until height and width are multiples of `multiple`."""
    height, width = pixels.shape[1:]
    return np.pad(pixels, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="reflect")
