"""Pixels to write into files, and all planes of what was read from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.image import Image


def pixels(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).integers(0, 120, shape)
    return (values > 60) if dtype == "bool" else values.astype(dtype)


def whole(image: Image) -> NDArray[Any]:
    """Every plane, (planes, C, Y, X); checks what `read_plane` promises of each."""
    planes = [image.read_plane(t, z) for t, z in image.planes()]
    for plane in planes:
        assert plane.dtype == image.dtype and plane.dtype.isnative
        assert plane.flags.c_contiguous
        assert plane.shape == (image.channels, image.length("Y"), image.length("X"))
    assert len(image.channel_names) == image.channels
    assert len(image.axes) == len(image.shape)
    return np.stack(planes)
