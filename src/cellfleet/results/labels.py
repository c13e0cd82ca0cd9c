"""Label images as TIFF: integers that name objects, stored so that plain ImageJ shows them in colour.

Knows TIFF as ImageJ reads it (classic, strips, zlib without predictor); knows no tables and no pipeline. Labels too
large for that form become an OME-TIFF. What is held in memory is a band of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.results.labelled import LabelImage, plane_count
from cellfleet.results.ome_tiff import write_ome_tiff
from cellfleet.results.palette import label_colours
from cellfleet.tiling.box import Box

_FLOAT32_EXACT = 2**24
_LARGEST_OFFSET = 2**32 - 1
_COLOR_MAP = 320
_ZLIB_LEVEL = 1
_STRIP_BYTES = 1 << 18
"""Of a strip before compression: small enough for every reader, large enough to compress well."""
_BAND_BYTES, _BAND_ROWS = 1 << 25, 512
"""What is read at a time, at most."""


def label_tiff_kind(labels: LabelImage) -> Literal["imagej", "ome"]:
    """Return in which form `write_label_tiff` writes: decided by shape and count alone, so before any work.

    ``imagej`` where a classic TIFF holds the labels even if they do not compress (so a Java array of 2³¹ − 1 items
    holds a plane), and 32-bit floating point numbers, which is what ImageJ makes of 32 bits, tell the labels apart.
    """
    fits = _most_bytes(labels) <= _LARGEST_OFFSET and labels.count <= _FLOAT32_EXACT
    return "imagej" if fits else "ome"


def write_label_tiff(path: Path, labels: LabelImage, *, microns_per_pixel: float | None = None) -> tuple[Notice, ...]:
    """Write `labels` as a TIFF that ImageJ, Fiji, napari, QuPath and CellProfiler open as it is.

    uint16 up to 65 535 objects, else uint32 (ImageJ shows 32-bit numbers). Pixel values are the labels; the colours
    are only a display table. ImageJ has 256 display colours: up to 255 objects each has its own, beyond that
    consecutive labels share one. The same labels are the same bytes, whatever their blocks.

    Args:
        path: Is made or replaced.
        labels: What to write.
        microns_per_pixel: Calibration in y and x, µm; None: ImageJ shows pixels.

    Returns:
        W302 when the labels are too large for ImageJ (`label_tiff_kind`) and were written by `write_ome_tiff`.

    Raises:
        OSError: The file cannot be written.
    """
    if label_tiff_kind(labels) == "ome":
        write_ome_tiff(path, labels, microns_per_pixel=microns_per_pixel)
        return (_too_large(labels),)
    stored = _stored_type(labels)
    rows = _strip_rows(labels, stored)
    per_micron = None if microns_per_pixel is None else 1 / microns_per_pixel
    tifffile.imwrite(
        path,
        (_encoded(strip) for plane in range(plane_count(labels)) for strip in _strips(labels, plane, rows, stored)),
        shape=labels.shape,
        dtype=stored,
        rowsperstrip=rows,
        bigtiff=False,
        byteorder="<",
        photometric="minisblack",
        compression="zlib",
        predictor=False,
        description=_imagej_description(labels, stored, microns_per_pixel),
        metadata=None,
        software="cellfleet",
        extratags=[(_COLOR_MAP, "H", 768, _colour_map(), True)],
        resolution=None if per_micron is None else (per_micron, per_micron),
        resolutionunit="NONE",
    )
    return ()


def _stored_type(labels: LabelImage) -> np.dtype[Any]:
    return np.dtype("<u2" if labels.count <= 0xFFFF else "<u4")


def _most_bytes(labels: LabelImage) -> int:
    """Return what the file has at most: deflate adds under 1/500 to noise, a page has some 3 kB of tags."""
    height, width = labels.shape[-2:]
    return plane_count(labels) * (height * width * _stored_type(labels).itemsize * 501 // 500 + 4096)


def _strip_rows(labels: LabelImage, stored: np.dtype[Any]) -> int:
    height, width = labels.shape[-2:]
    return max(1, min(height, _STRIP_BYTES // (width * stored.itemsize)))


def _strips(labels: LabelImage, plane: int, rows: int, stored: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield a plane in strips of `rows`, the last one shorter. Read in bands, which need not end where strips do."""
    height, width = labels.shape[-2:]
    band = max(rows, min(_BAND_ROWS, _BAND_BYTES // (width * 4)))
    left = np.empty((0, width), stored)
    for y0 in range(0, height, band):
        y1 = min(y0 + band, height)
        left = np.concatenate([left, labels.read(plane, Box(y0, 0, y1, width))], dtype=stored, casting="unsafe")
        ready = len(left) if y1 == height else len(left) // rows * rows
        yield from (left[y : y + rows] for y in range(0, ready, rows))
        # A copy: a view would keep the whole band.
        left = left[ready:].copy()


def _encoded(strip: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.deflate_encode(strip.tobytes(), level=_ZLIB_LEVEL))


def _too_large(labels: LabelImage) -> Notice:
    size = " x ".join(map(str, labels.shape))
    text = (
        f"{labels.count} labels in {size} pixels are more than ImageJ can open, so the label image is a tiled OME-TIFF "
        "(BigTIFF). Open it with QuPath, napari or Bio-Formats; --format ome-zarr is quicker to view"
    )
    return Notice("W302", text)


def _imagej_description(labels: LabelImage, stored: np.dtype[Any], microns_per_pixel: float | None) -> str:
    low, high = _display_range(stored, labels.count)
    told: dict[str, Any] = {} if microns_per_pixel is None else {"unit": "um"}
    text: str = tifffile.imagej_description(labels.shape, axes=labels.axes, loop=False, min=low, max=high, **told)
    return text


def _display_range(stored: np.dtype[Any], largest: int) -> tuple[float, float]:
    """Return the values that ImageJ maps to the first and last colour.

    ImageJ 1.53 computes the colour index as ``int((value − low) · 256 / (high − low + 1) + 0.5)`` for 16 bits and as
    ``int((value − low) · 255 / (high − low) + 0.5)`` for 32 bits. There `low` is chosen so that label 1 is the first
    value of index 1. For 16 bits `low` cannot be negative: of n > 511 objects the first n / 512 are shown as black.
    """
    if stored.itemsize == 2:
        return 0, max(255, largest)
    return (0.5 - largest / 510) * 510 / 509, largest


def _colour_map() -> bytes:
    # 768 entries, as ImageJ itself writes for 16 bits; the TIFF standard's 3 · 2^16 would be ignored by it.
    # Readers of indexed colour ask for photometric "palette", which this is not: they see plain integers.
    return (label_colours().T.astype("<u2") * 257).tobytes()
