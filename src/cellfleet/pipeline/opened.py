"""A plane of an opened image, with finite pixels. Knows no file format and no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.image import Image
from cellfleet.pipeline.plane import Plane, lowest_finite
from cellfleet.pipeline.sample import sample_boxes
from cellfleet.tiling.box import Box


def open_plane(image: Image, t: int, z: int, roles: Sequence[tuple[int, ...]]) -> Plane:
    """Return a plane of an image; of float pixels the sample is read, for the lowest finite value of each channel.

    Args:
        image: The image.
        t: Time point, from 0.
        z: Depth, from 0.
        roles: Per role of the model the channels, from 0, that are summed.
    """

    def read(box: Box, channels: Sequence[int]) -> NDArray[Any]:
        return image.read(t, z, channels=channels, y=box.y, x=box.x)

    shape = (image.length("Y"), image.length("X"))
    every = range(image.channels)
    lowest: dict[int, float] = {}
    if image.dtype.kind == "f":
        found = np.min([lowest_finite(read(box, every)) for box in sample_boxes(shape)], axis=0)
        lowest = {channel: float(value) if np.isfinite(value) else 0 for channel, value in enumerate(found)}
    return Plane(shape, len(every), read, tuple(roles), lowest)
