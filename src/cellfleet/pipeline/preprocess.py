"""Contrast and scale: what an image needs before the network sees it. Knows no model file and no network.

Contrast is two numbers per channel, found once per image, so that it cannot change from tile to tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.8
_SAMPLE_PIXELS = 1 << 18
"""A quarter of a million pixels place the 99.8th percentile within a fraction of a grey level."""


def contrast(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Find the raw values that become 0 and 1, per channel.

    Args:
        pixels: (R, Y, X), any real dtype, finite.

    Returns:
        float32 (R, 2): the 1st and the 99.8th percentile of (at least a quarter of a million) pixels. Where equal,
        high is low + 1, or the next larger float32 where 1 is less than its precision: high > low always.
    """
    found = np.empty((len(pixels), 2), np.float32)
    # A regular grid with one step for both axes: deterministic, and independent of how the image was read.
    step = max(1, int(np.sqrt(pixels[0].size / _SAMPLE_PIXELS)))
    for channel, plane in enumerate(pixels):
        found[channel] = np.percentile(plane[::step, ::step], (LOW_PERCENTILE, HIGH_PERCENTILE))
    low, high = found.T
    found[:, 1] = np.where(high > low, high, low + np.maximum(np.spacing(np.abs(low)), np.float32(1)))
    return found


def scaled_shape(shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    """Return the size at model scale; never less than one pixel."""
    return max(1, round(shape[0] * zoom)), max(1, round(shape[1] * zoom))


def resampled(planes: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize planes so that their corners stay where they are.

    Linear interpolation whose support grows when the image shrinks (no aliasing).

    Args:
        planes: (K, Y, X), any real dtype.
        shape: New (Y, X).

    Returns:
        float32 (K, *shape).
    """
    height, width = shape
    out = np.empty((len(planes), height, width), np.float32)
    for index, plane in enumerate(planes):
        image = Pillow.fromarray(np.ascontiguousarray(plane, np.float32))
        out[index] = np.asarray(image.resize((width, height), Pillow.Resampling.BILINEAR))
    return out
