"""What a reader finds in a source, before anybody decides what its dimensions mean.

A reader (TIFF, PNG, JPEG, array) returns a `Stored`; `read.py` turns it into an `Image`. This module knows
neither files nor the rules for axes and colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ImageError, InputError, Notice
from cellfleet.images.pixel_size import PixelSize

Read = Callable[[Mapping[int, int | slice]], NDArray[np.generic]]

LARGEST_PIECE_BYTES = 16 << 30
"""A tile, a strip or a whole picture is decoded at once, however small the region that is wanted."""
HARMLESS_BYTES = 64 << 20
"""Pixels of up to this size are decoded whatever the size of their file."""
DEFLATE_RATIO = 1100
"""Deflate, the densest codec of PNG and most TIFF, cannot shrink data by more than 1032 : 1."""
DENSE_RATIO = 100_000
"""Bound for codecs that can store a constant area in a few bytes (zstd, LZMA, JPEG 2000 …)."""

_largest_piece: ContextVar[int] = ContextVar("_largest_piece", default=LARGEST_PIECE_BYTES)

MOST_PLANE_PIXELS = 10**12
MOST_PLANES = 10**7


@dataclass(frozen=True, eq=False)
class Stored:
    """Dimensions and pixels as stored."""

    axes: str
    """One letter per dimension, as the source declares it; a letter outside ``TCZYXS`` means unknown."""
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    read: Read
    """Takes {dimension: index or slice}: an index drops the dimension, a slice (start and stop within it, step 1)
    restricts it, a dimension that is not named comes whole. Returns what is left, in stored order; perhaps read-only.
    Reads no more than the pieces that are touched; may be called by several threads."""
    colours: bool = False
    """Whether axis S holds red, green, blue (and alpha)."""
    channel_names: tuple[str, ...] = ()
    pixel_sizes: tuple[PixelSize, ...] = ()
    """Candidates, best first."""
    notices: tuple[Notice, ...] = ()
    small: NDArray[np.generic] | None = None
    """A small copy of one colour plane (Y, X, S), from a pyramid, to judge colours by."""
    unit: str = "pages"
    """What to call the entries of a dimension without a name."""
    region_bytes: int = 0
    """Bytes that reading even the smallest region holds: a tile, a strip, the whole plane; 0: only the region's own."""
    overview: Callable[[int], Stored] | None = None
    """Opens the smallest copy in a pyramid whose longer side has at least so many pixels; None: there is no pyramid."""


def check_dtype(dtype: np.dtype[np.generic], name: str) -> np.dtype[np.generic]:
    """Return the native dtype that pixels of `dtype` are read as, or refuse it.

    64-bit integers become float64: exact up to 2^53, far beyond any camera.
    """
    native = dtype.newbyteorder("=")
    if native.kind == "b" or (native.kind in "ui" and native.itemsize <= 4) or native in (np.float16, np.float32):
        return native
    if native == np.float64 or native.kind in "ui":
        return np.dtype(np.float64)
    raise ImageError(
        "E204",
        f"pixels of type {dtype} cannot be segmented",
        where=name,
        action="Convert the image to 8, 16 or 32-bit numbers, for example the magnitude of complex values",
    )


def check_claim(claimed_bytes: int, stored_bytes: int, ratio: int, name: str) -> None:
    """Refuse a header that claims more pixels than its data can hold, before anything is allocated."""
    if claimed_bytes > max(HARMLESS_BYTES, stored_bytes * ratio):
        raise InputError(
            "E107",
            f"its header claims {claimed_bytes / 1e6:.4g} MB of pixels but only {stored_bytes} bytes are stored for"
            " them",
            where=name,
            action="The file is damaged or cut short: copy or export it again",
        )


@contextmanager
def pieces_up_to(count: int) -> Iterator[None]:
    """Decode no larger pieces, in bytes, of images that are opened while the block runs, in this thread."""
    before = _largest_piece.set(count)
    try:
        yield
    finally:
        _largest_piece.reset(before)


def check_piece(piece_bytes: int, name: str) -> None:
    """Refuse a picture, tile or strip that is too large to be decoded as a whole, which is the only way."""
    largest = _largest_piece.get()
    if piece_bytes > largest:
        raise InputError(
            "E108",
            f"its header claims {piece_bytes / 1e9:.4g} GB that can only be unpacked at once, more than the"
            f" {largest / 1e9:.3g} GB that are read so",
            where=name,
            action="If the image is really that large, save it as a tiled TIFF; else export it again, the file is"
            " damaged",
        )


def check_sizes(shape: tuple[int, ...], name: str) -> None:
    """Refuse an image without pixels."""
    if not math.prod(shape):
        sizes = " × ".join(str(length) for length in shape)
        raise ImageError("E205", f"has no pixels (size {sizes})", where=name, action="Export or crop it again")


def check_extent(axes: str, shape: tuple[int, ...], name: str) -> None:
    """Refuse sizes that no microscope makes: where pixels may be missing, any claim can be made for free."""
    check_sizes(shape, name)
    plane = math.prod(length for letter, length in zip(axes, shape, strict=True) if letter in "YX")
    if plane > MOST_PLANE_PIXELS or math.prod(shape) > plane * MOST_PLANES:
        sizes = " × ".join(str(length) for length in shape)
        raise InputError(
            "E142",
            f"it claims to be {sizes} in size, more than any image",
            where=name,
            action="Its metadata are damaged: copy or export it again",
        )
