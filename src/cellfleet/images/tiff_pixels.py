"""Photometric interpretations of TIFF: from stored numbers to light. Pure functions of pages and arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import InputError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
JPEG_CODES = frozenset({6, 7, 33007, 34892})
"""Compressions for which tifffile decodes YCbCr to RGB."""
COLOUR_MODELS = {5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}


@dataclass(frozen=True)
class Conversion:
    """What is done to a decoded page, and how that changes the image."""

    dtype: np.dtype[np.generic]
    apply: Callable[[NDArray[np.generic]], NDArray[np.generic]]
    colours: bool = False
    """Whether the samples (axis S) are red, green, blue."""
    added_axes: str = ""
    """``S`` where a palette turns each pixel into three samples."""
    added_shape: tuple[int, ...] = ()


def conversion_of(page: tifffile.TiffPage, *, is_imagej: bool, name: str) -> Conversion:
    """Choose the conversion for the pages of one series.

    ImageJ writes a colour table for display only; elsewhere a palette means that pixels are indices into it.

    Raises:
        InputError: E111, for colour models of print.
    """
    dtype = np.dtype(page.dtype)
    photometric = int(page.photometric)
    if photometric in COLOUR_MODELS or (photometric == YCBCR and int(page.compression) not in JPEG_CODES):
        model = COLOUR_MODELS.get(photometric, "YCbCr")
        raise InputError(
            "E111",
            f"its colours are stored as {model}, which is not read",
            where=name,
            action="Export it as RGB or grey",
        )
    if photometric == WHITE_IS_ZERO and dtype.kind in "bu":
        return Conversion(dtype, _inverter(dtype, page.bitspersample))
    if photometric == PALETTE and not is_imagej and page.colormap is not None and dtype.kind == "u":
        return _palette(page.colormap)
    # Two samples are grey and transparency only if the file says so; else they are two channels.
    grey_alpha = photometric == BLACK_IS_ZERO and tuple(page.extrasamples) in ((1,), (2,))
    return Conversion(dtype, lambda pixels: pixels, colours=photometric in (RGB, YCBCR) or grey_alpha)


def _inverter(dtype: np.dtype[np.generic], bits: int) -> Callable[[NDArray[np.generic]], NDArray[np.generic]]:
    if dtype.kind == "b":
        return np.logical_not
    largest = dtype.type((1 << bits) - 1)
    return lambda pixels: np.subtract(largest, pixels)


def _palette(colormap: NDArray[np.generic]) -> Conversion:
    """Return the look-up of a colour table (3, 2^bits) of 16-bit values, as 8 bit where it holds no more."""
    table = np.ascontiguousarray(colormap.T).astype(np.uint16)
    if np.array_equal(table % 257, np.zeros_like(table)) or np.array_equal(table % 256, np.zeros_like(table)):
        table = (table >> 8).astype(np.uint8)
    return Conversion(
        table.dtype, lambda pixels: table[pixels], colours=True, added_axes="S", added_shape=(table.shape[1],)
    )
