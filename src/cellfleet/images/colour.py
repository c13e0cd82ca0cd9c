"""Whether a colour picture is really one grey channel, one stain shown in a colour, or three channels.

Cameras and export dialogs store grey images as RGB or RGBA. What they mean can be seen only in the pixels.
Pure functions of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLOUR_NAMES = ("red", "green", "blue")
LOSSY_LEVELS = 4
"""8-bit levels by which JPEG's colour conversion may set equal colours apart."""
LOSSY_LEAST_SIGNAL = 32
"""Darker pictures must have exactly equal colours to be called grey: there, 4 levels can be signal."""
GREY_SAMPLE = 1
"""Green stands for grey: it carries most of what JPEG keeps."""


@dataclass(frozen=True)
class Colours:
    """What was seen in the colours of a picture."""

    grey: bool
    """All three colours are equal."""
    blank: frozenset[int]
    """Colours (0 = red) that are one constant value."""


def judge_colours(plane: NDArray[np.generic]) -> Colours:
    """Look at a plane (S, Y, X) whose first three samples are red, green and blue."""
    if is_grey(plane):
        return Colours(grey=True, blank=frozenset())
    blank = frozenset(i for i in range(3) if plane[i].min() == plane[i].max())
    return Colours(grey=False, blank=blank if len(blank) < 3 else frozenset())


def is_grey(plane: NDArray[np.generic]) -> bool:
    """Tell whether red, green and blue of a plane (S, Y, X) are equal, or for 8 bit as near as JPEG leaves them."""
    red, green, blue = plane[0], plane[1], plane[2]
    if _same(red, green) and _same(green, blue):
        return True
    if plane.dtype != np.uint8 or int(plane[:3].max()) < LOSSY_LEAST_SIGNAL:
        return False
    high = np.maximum(np.maximum(red, green), blue).astype(np.int16)
    low = np.minimum(np.minimum(red, green), blue).astype(np.int16)
    return int((high - low).max()) <= LOSSY_LEVELS


def _same(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
