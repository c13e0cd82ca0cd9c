"""The physical size of a pixel: from the texts and tags of a file to one number in µm, or none.

Precedence (FORMATS): the user's option (not known here), then what the format itself says (OME ``PhysicalSize``,
OME-Zarr ``scale``, the metadata of ND2, CZI and LIF), ImageJ ``unit`` with the resolution tags, then the resolution
tags alone where they are in cm or inch and fall in the range of microscopes. PNG and JPEG carry a print density only,
which says nothing about the specimen: it is not read. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cellfleet.errors import Notice

Source = Literal["ome", "imagej", "tiff", "slide", "ome-zarr", "nd2", "czi", "lif"]

SOURCE_NAMES: dict[Source, str] = {
    "ome": "OME metadata",
    "imagej": "ImageJ metadata",
    "tiff": "TIFF resolution",
    "slide": "slide scanner's metadata",
    "ome-zarr": "OME-Zarr metadata",
    "nd2": "ND2 metadata",
    "czi": "CZI metadata",
    "lif": "LIF metadata",
}

MICRONS_PER_UNIT = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "Å": 1e-4,
    "A": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "nanometers": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micrometers": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "dm": 1e5,
    "m": 1e6,
    "meter": 1e6,
    "in": 25_400.0,
    "inch": 25_400.0,
    "inches": 25_400.0,
    "ft": 304_800.0,
    "mil": 25.4,
    "thou": 25.4,
}
"""µm in one unit, for the units of OME-XML and those that ImageJ users type."""

PRINT_UNITS = ("cm", "centimeter", "in", "inch", "inches")
"""Units that programs fill in for printing (72 dpi); trusted only in `PRINT_RANGE`."""
PRINT_RANGE = (0.05, 10.0)
"""µm per pixel of usual microscopes."""
POSSIBLE_RANGE = (1e-4, 1e3)
"""µm per pixel; beyond is a mistake (a forgotten unit, a placeholder)."""


@dataclass(frozen=True)
class PixelSize:
    """µm per pixel along y and x, as one source claims; any float."""

    y: float
    x: float
    source: Source
    for_print: bool = False
    """Whether the number may be a print density: ignored without a word outside `PRINT_RANGE`."""


def microns_per_unit(unit: str) -> float | None:
    """Return the µm in one `unit`, None for ``pixel``, an empty or an unknown unit."""
    text = unit.replace("\\u00B5", "µ").replace("\u03bc", "µ").strip().strip("\x00")
    return MICRONS_PER_UNIT.get(text, MICRONS_PER_UNIT.get(text.lower()))


def from_unit(y: float, x: float, unit: str, source: Source) -> PixelSize | None:
    """Return the size for lengths `y`, `x` in `unit`; None where the unit says nothing."""
    factor = microns_per_unit(unit)
    if factor is None:
        return None
    for_print = source != "ome" and unit.strip().lower() in PRINT_UNITS
    return PixelSize(y=y * factor, x=x * factor, source=source, for_print=for_print)


def settle_pixel_size(candidates: Sequence[PixelSize]) -> tuple[float | None, str, tuple[Notice, ...]]:
    """Take the first candidate that can be true.

    Returns:
        µm per pixel or None, the source (``""`` where None), and notices on what was ignored or averaged.
    """
    notices: list[Notice] = []
    for size in candidates:
        low, high = PRINT_RANGE if size.for_print else POSSIBLE_RANGE
        if all(math.isfinite(value) and low <= value <= high for value in (size.y, size.x)):
            if abs(size.y - size.x) > 0.01 * max(size.y, size.x):
                notices.append(_unequal(size))
            return (size.y + size.x) / 2, size.source, tuple(notices)
        if not size.for_print:
            notices.append(_impossible(size))
    return None, "", tuple(notices)


def _unequal(size: PixelSize) -> Notice:
    mean = (size.y + size.x) / 2
    return Notice(
        "W106",
        f"Pixels are not square: {size.y:.4g} µm high, {size.x:.4g} µm wide. The mean, {mean:.4g} µm, is used",
    )


def _impossible(size: PixelSize) -> Notice:
    high, wide = f"{size.y:.4g}", f"{size.x:.4g}"
    value = high if high == wide else f"{high} by {wide}"
    return Notice(
        "W105",
        f"The pixel size in its {SOURCE_NAMES[size.source]}, {value} µm, cannot be true and is ignored."
        " --pixel-size sets it",
    )
