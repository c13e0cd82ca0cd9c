"""Label images as files: integers that name objects, stored so that plain ImageJ shows them in colour.

Knows TIFF as ImageJ reads it (classic, strips, zlib without predictor); knows no tables and no pipeline.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cellfleet.errors import Notice, OutputError
from cellfleet.results.atomic import replacing
from cellfleet.results.palette import label_colours

_JAVA_ARRAY_ITEMS = 2**31 - 1
_FLOAT32_EXACT = 2**24
_COLOR_MAP = 320
_ZLIB_LEVEL = 1
_OME_ZARR = "Cut the image into parts; labels of this size come with the OME-Zarr format of a later version"


def write_label_tiff(
    path: Path, labels: np.ndarray, *, axes: str, microns_per_pixel: float | None = None
) -> tuple[Notice, ...]:
    """Write `labels` as a TIFF that ImageJ, Fiji, napari, QuPath and CellProfiler open as it is.

    uint16 up to 65 535 objects, else uint32 (ImageJ shows 32-bit numbers). Pixel values are the labels; the colours
    are only a display table. ImageJ has 256 display colours: up to 255 objects each has its own, beyond that
    consecutive labels share one.

    Args:
        path: Final name of the file.
        labels: Non-negative integers, axes as in `axes`, 0 = background.
        axes: ``YX``, ``TYX``, ``ZYX`` or ``TZYX``.
        microns_per_pixel: Calibration in y and x, µm; None: ImageJ shows pixels.

    Returns:
        W301 when there are more labels than ImageJ can tell apart.

    Raises:
        OutputError: E301–E308 when the file cannot be written, E309 when ImageJ could not open it.
        ValueError: `labels` and `axes` do not fit each other.
    """
    if axes not in {"YX", "TYX", "ZYX", "TZYX"} or labels.ndim != len(axes) or labels.dtype.kind not in "ui":
        raise ValueError(f"labels of shape {labels.shape} and type {labels.dtype} do not fit the axes {axes!r}")
    _refuse_plane_too_large(path, labels.shape)
    largest = int(labels.max(initial=0))
    stored = labels.astype(np.uint16 if largest <= 0xFFFF else np.uint32, copy=False)
    per_micron = None if microns_per_pixel is None else 1 / microns_per_pixel
    try:
        with replacing(path, needed_bytes=stored.nbytes // 20) as temporary:
            tifffile.imwrite(
                temporary,
                stored,
                bigtiff=False,
                byteorder="<",
                photometric="minisblack",
                compression="zlib",
                compressionargs={"level": _ZLIB_LEVEL},
                predictor=False,
                description=_imagej_description(stored, axes, largest, microns_per_pixel),
                metadata=None,
                software="cellfleet",
                extratags=[(_COLOR_MAP, "H", 768, _colour_map(), True)],
                resolution=None if per_micron is None else (per_micron, per_micron),
                resolutionunit="NONE",
                maxworkers=1,
            )
    except struct.error as error:
        # tifffile finds out by an offset that does not fit 32 bits.
        raise _too_large(path, "needs more than 4 GB, which a classic TIFF cannot hold") from error
    return _notices(largest)


def _refuse_plane_too_large(path: Path, shape: tuple[int, ...]) -> None:
    if shape[-1] * shape[-2] > _JAVA_ARRAY_ITEMS:
        raise _too_large(path, f"has {shape[-2]} x {shape[-1]} pixels in one plane, more than ImageJ can open")


def _too_large(path: Path, what: str) -> OutputError:
    return OutputError("E309", what, where=str(path), action=_OME_ZARR)


def _notices(largest: int) -> tuple[Notice, ...]:
    if largest <= _FLOAT32_EXACT:
        return ()
    text = (
        f"{largest} labels are more than the 16 777 216 that ImageJ tells apart; the file itself is exact. "
        "Open it with napari, QuPath or Python"
    )
    return (Notice("W301", text),)


def _imagej_description(labels: np.ndarray, axes: str, largest: int, microns_per_pixel: float | None) -> str:
    low, high = _display_range(labels.dtype, largest)
    told: dict[str, Any] = {} if microns_per_pixel is None else {"unit": "um"}
    return tifffile.imagej_description(labels.shape, axes=axes, loop=False, min=low, max=high, **told)


def _display_range(dtype: np.dtype, largest: int) -> tuple[float, float]:
    """Return the values that ImageJ maps to the first and last colour.

    ImageJ 1.53 computes the colour index as ``int((value − low) · 256 / (high − low + 1) + 0.5)`` for 16 bits and as
    ``int((value − low) · 255 / (high − low) + 0.5)`` for 32 bits. There `low` is chosen so that label 1 is the first
    value of index 1. For 16 bits `low` cannot be negative: of n > 511 objects the first n / 512 are shown as black.
    """
    if dtype == np.uint16:
        return 0, max(255, largest)
    return (0.5 - largest / 510) * 510 / 509, largest


def _colour_map() -> bytes:
    # 768 entries, as ImageJ itself writes for 16 bits; the TIFF standard's 3 · 2^16 would be ignored by it.
    # Readers of indexed colour ask for photometric "palette", which this is not: they see plain integers.
    return (label_colours().T.astype("<u2") * 257).tobytes()
