"""Contrast and scale: what an image needs before the network sees it. Knows no model file and no network.

Contrast is two numbers per channel, found once per image, so that it cannot change from tile to tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet import _native
from cellfleet.pipeline.readable import readable
from cellfleet.tiling.box import Box

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.8
SAMPLE_PIXELS = 1 << 18
"""A quarter of a million pixels place the 99.8th percentile within a fraction of a grey level."""


def contrast(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Find the raw values that become 0 and 1, per channel.

    Args:
        pixels: (R, Y, X), any real dtype, finite.

    Returns:
        float32 (R, 2): the 1st and the 99.8th percentile of (at least a quarter of a million) pixels (`contrast_of`).
    """
    return contrast_of(sampled(pixels, SAMPLE_PIXELS))


def sampled(pixels: NDArray[Any], at_least: int) -> NDArray[Any]:
    """Return about `at_least` pixels of each channel as (R, n); all where there are fewer."""
    # A regular grid with one step for both axes: deterministic, and independent of how the image was read.
    step = max(1, int(np.sqrt(pixels[0].size / at_least)))
    return pixels[:, ::step, ::step].reshape(len(pixels), -1)


def contrast_of(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 (R, 2) of samples (R, n): the 1st and the 99.8th percentile.

    Where they are equal, high is low + 1, or the next larger float32 where 1 is less than its precision: high > low
    always.
    """
    found = np.stack([np.percentile(plane, (LOW_PERCENTILE, HIGH_PERCENTILE)) for plane in values]).astype(np.float32)
    low, high = found.T
    found[:, 1] = np.where(high > low, high, low + np.maximum(np.spacing(np.abs(low)), np.float32(1)))
    return found


def scaled_shape(shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    """Return the size at model scale; never less than one pixel."""
    return max(1, round(shape[0] * zoom)), max(1, round(shape[1] * zoom))


def resampled(planes: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize planes so that their corners stay where they are.

    Linear interpolation whose support grows when the image shrinks (no aliasing), as Pillow's ``BILINEAR``.

    Args:
        planes: (K, Y, X), any real dtype.
        shape: New (Y, X).

    Returns:
        float32 (K, *shape).
    """
    full = (planes.shape[1], planes.shape[2])
    return resampled_region(planes, Box.whole(full), full, shape, Box.whole(shape))


def resampled_region(
    planes: NDArray[Any], have: Box, full: tuple[int, int], target: tuple[int, int], want: Box
) -> NDArray[np.float32]:
    """Return a region of resized planes, with the bits that it has in `resampled` of the whole planes.

    Args:
        planes: (K, *have.shape), any real dtype: region `have` of planes of shape `full`.
        have: At least what `want` depends on (`cellfleet.tiling.resample_span.source_span`).
        full: (Y, X) of the whole planes.
        target: (Y, X) of the whole planes when resized.
        want: Region of the resized planes.

    Returns:
        float32 (K, *want.shape).

    Raises:
        ValueError: `planes` are not of the shape of `have`, `have` is too small, or a box leaves its plane.
    """
    if planes.shape[1:] != have.shape:
        raise ValueError(f"planes of shape {planes.shape[1:]} given for {have}")
    out = np.empty((len(planes), *want.shape), np.float32)
    rows, columns = (full[0], target[0], have.y0, want.y0), (full[1], target[1], have.x0, want.x0)
    for plane, resized in zip(readable(planes, np.float32), out, strict=True):
        _native.resample(plane, resized, *rows, *columns)
    return out
