"""A small picture of an image of any size, within bounds of time and memory. Knows arrays and `Image`s, no files."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.images.colour import COLOUR_NAMES
from cellfleet.images.image import Image
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import SAMPLE_PIXELS, contrast_of, resampled, sampled
from cellfleet.results.picture import jpeg, outlined
from cellfleet.tiling.box import Box

SIDE_PX: Final = 512
_MOST_CHANNELS: Final = 3
"""What blue, green and red can show."""
_LARGEST_WHOLE_BYTES: Final = 128 << 20
"""Larger planes are looked at in windows."""
_WINDOWS: Final = 8
"""Along the longer side."""
_WINDOW_PX: Final = 256
_MOST_SECONDS: Final = 10.0
"""Windows that are not read by then stay dark."""


def thumbnail(image: Image) -> tuple[bytes, tuple[Notice, ...]]:
    """Return a JPEG of the middle plane, at most 512 px wide and high, and what is to be said of it.

    Raises:
        InputError, ImageError: The pixels cannot be read.
    """
    if image.overview is not None:
        image = image.overview(SIDE_PX)
    plane = _middle_plane(image)
    size = math.prod(plane.shape) * len(plane.used) * image.dtype.itemsize
    if size <= _LARGEST_WHOLE_BYTES:
        pixels = plane.role_pixels(Box.whole(plane.shape))
        return _jpeg(pixels, contrast_of(sampled(pixels, SAMPLE_PIXELS))), ()
    what = "The file has no small copy of the image: the picture shows windows of it, not what lies between them"
    return _of_windows(plane), (Notice("W920", what),)


def data_address(content: bytes, kind: str) -> str:
    """Return content as an address that browsers show; `kind` is ``jpeg`` or ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _middle_plane(image: Image) -> Plane:
    planes = image.planes()
    t, z = planes[len(planes) // 2]

    def read(box: Box, channels: Sequence[int]) -> NDArray[Any]:
        return image.read(t, z, channels=channels, y=box.y, x=box.x)

    shown = range(min(image.channels, _MOST_CHANNELS))
    # The first is shown in blue, which is right for nuclei; a picture in colour begins with red.
    in_colour = all(map(str.endswith, image.channel_names, COLOUR_NAMES)) and len(shown) == len(COLOUR_NAMES)
    roles = tuple((channel,) for channel in (reversed(shown) if in_colour else shown))
    return Plane((image.length("Y"), image.length("X")), image.channels, read, roles)


def _of_windows(plane: Plane) -> bytes:
    """Show each part of a plane by the window in its middle."""
    height, width = plane.shape
    rows = max(1, round(_WINDOWS * height / max(plane.shape)))
    columns = max(1, round(_WINDOWS * width / max(plane.shape)))
    cell = SIDE_PX // _WINDOWS
    mosaic = np.zeros((len(plane.roles), rows * cell, columns * cell), np.float32)
    until = time.monotonic() + _MOST_SECONDS
    seen: list[NDArray[np.float32]] = []
    for row in range(rows):
        for column in range(columns):
            if time.monotonic() > until and seen:
                break
            (y0, y1), (x0, x1) = _window(row, rows, height), _window(column, columns, width)
            pixels = plane.role_pixels(Box(y0, x0, y1, x1))
            seen.append(sampled(pixels, SAMPLE_PIXELS // (rows * columns)))
            mosaic[:, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = resampled(
                pixels, (cell, cell)
            )
    return _jpeg(mosaic, contrast_of(np.concatenate(seen, axis=1)))


def _window(number: int, count: int, length: int) -> tuple[int, int]:
    start = max(0, (2 * number + 1) * length // (2 * count) - _WINDOW_PX // 2)
    return start, min(start + _WINDOW_PX, length)


def _jpeg(pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> bytes:
    nothing = np.zeros(pixels.shape[1:], np.uint32)
    return jpeg(outlined(pixels, contrast, nothing, longest=SIDE_PX))
