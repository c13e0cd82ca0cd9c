"""Labels and pixels to a table: one row per object, one column per measurement, units in the column names.

Definitions are those of skimage.measure.regionprops, against which every column is tested; the sums are made in C
(native/measure.c). Columns in µm stand beside those in px where the pixel size is known. A row depends on the object's
own pixels and their places alone, to the last bit: an object can be measured in any piece of the image that holds it
whole. This module knows no file and no table format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet import _native
from cellfleet.pipeline.readable import readable

Table = dict[str, NDArray[Any]]

_SHAPE_COLUMNS = (
    "area",
    "y",
    "x",
    "y_min",
    "x_min",
    "y_max",
    "x_max",
    "var_yy",
    "var_xx",
    "var_yx",
    "perimeter",
    "hull",
)
_STATISTICS = ("mean", "std", "min", "max", "sum")


def measure(
    labels: NDArray[np.uint32],
    channels: NDArray[Any],
    channel_names: Sequence[str],
    microns_per_pixel: float | None,
    origin: tuple[int, int] = (0, 0),
) -> Table:
    """Measure every object.

    Args:
        labels: (Y, X) uint32, 0 = background. Labels need not be gapless.
        channels: (C, Y, X), any integer or floating type. NaN pixels are left out of the statistics.
        channel_names: One per channel; an empty name becomes the channel's number counted from 1.
        microns_per_pixel: Pixel size, µm; None: no columns in µm.
        origin: Place (y, x) of the first pixel in the image that `labels` and `channels` are a piece of.

    Returns:
        Columns in a fixed order, one value per object, ascending label: place (pixel centres, so that the first pixel
        has its centre at 0, 0; boxes half open), size, shape, and mean, std, min, max and sum per channel.
    """
    labels = np.ascontiguousarray(labels, np.uint32)
    names, labels = _gapless(labels)
    shapes = _rows(_native.measure_shapes(labels, *origin), _SHAPE_COLUMNS)
    present = shapes["area"] > 0
    shapes = {key: values[present] for key, values in shapes.items()}
    found = np.flatnonzero(present) + 1
    table: Table = {"label": (found if names is None else names[found]).astype(np.uint32)}
    table |= _place(shapes, microns_per_pixel) | _size(shapes, microns_per_pixel) | _shape(shapes)
    for name, pixels in zip(_unique_names(channel_names), channels, strict=True):
        table |= _intensity(labels, pixels, name, present)
    return table


def first_pixels(labels: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Return the linear index ``y * X + x`` of the first pixel, in raster order, of each label 1…count.

    −1 stands for a label that is not there; labels beyond `count` are passed over.
    """
    return np.frombuffer(_native.first_pixels(np.ascontiguousarray(labels, np.uint32), count), np.int64)


def relabelled(labels: NDArray[np.uint32], numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return ``numbers[labels]``, (Y, X); 0 for labels that `numbers` is too short for."""
    out = np.empty(labels.shape, np.uint32)
    numbers = np.ascontiguousarray(numbers, np.uint32)
    _native.relabel(np.ascontiguousarray(labels, np.uint32), numbers, out)
    return out


def _gapless(labels: NDArray[np.uint32]) -> tuple[NDArray[np.uint32] | None, NDArray[np.uint32]]:
    """Renumber labels only where their largest would make tables longer than the image."""
    if labels.max(initial=0) <= labels.size:
        return None, labels
    names, positions = np.unique(np.append(np.uint32(0), labels), return_inverse=True)
    return names, positions[1:].astype(np.uint32).reshape(labels.shape)


def _rows(values: bytes, columns: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    table = np.frombuffer(values, np.float64).reshape(-1, len(columns))
    return {name: table[:, i].copy() for i, name in enumerate(columns)}


def _place(shapes: Table, microns_per_pixel: float | None) -> Table:
    place: Table = {"x_px": shapes["x"], "y_px": shapes["y"]}
    if microns_per_pixel is not None:
        place |= {"x_um": shapes["x"] * microns_per_pixel, "y_um": shapes["y"] * microns_per_pixel}
    boxes = ("y_min", "x_min", "y_max", "x_max")
    return place | {f"{side}_px": shapes[side].astype(np.int64) for side in boxes}


def _size(shapes: Table, microns_per_pixel: float | None) -> Table:
    area = shapes["area"]
    major, minor = _variances(shapes)
    lengths = {
        "equivalent_diameter": np.sqrt(4 * area / np.pi),
        "major_axis": 4 * np.sqrt(major),
        "minor_axis": 4 * np.sqrt(minor),
        "perimeter": shapes["perimeter"],
    }
    size: Table = {"area_px": area.astype(np.int64)}
    if microns_per_pixel is not None:
        size["area_um2"] = area * microns_per_pixel**2
    for name, pixels in lengths.items():
        size[f"{name}_px"] = pixels
        if microns_per_pixel is not None:
            size[f"{name}_um"] = pixels * microns_per_pixel
    return size


def _shape(shapes: Table) -> Table:
    area, perimeter = shapes["area"], shapes["perimeter"]
    box = (shapes["y_max"] - shapes["y_min"]) * (shapes["x_max"] - shapes["x_min"])
    major, minor = _variances(shapes)
    with np.errstate(divide="ignore", invalid="ignore"):
        eccentricity = np.where(major > 0, np.sqrt(1 - minor / major), 0.0)
        circularity = np.where(perimeter > 0, 4 * np.pi * area / perimeter**2, np.nan)
    return {
        "eccentricity": eccentricity,
        "orientation": _orientation(shapes),
        "circularity": circularity,
        "solidity": area / shapes["hull"],
        "extent": area / box,
    }


def _variances(shapes: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances of the pixels along the two principal axes, larger first, px²."""
    yy, xx, yx = shapes["var_yy"], shapes["var_xx"], shapes["var_yx"]
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return middle + spread, np.maximum(middle - spread, 0)


def _orientation(shapes: Table) -> NDArray[np.float64]:
    """Angle between the rows' axis (y) and the major axis, −π/2 … π/2, counter-clockwise, radians."""
    yy, xx, yx = shapes["var_yy"], shapes["var_xx"], shapes["var_yx"]
    angle: NDArray[np.float64] = np.arctan2(2 * yx, yy - xx) / 2
    return np.where(xx == yy, np.where(yx > 0, np.pi / 4, -np.pi / 4), angle)


def _unique_names(names: Sequence[str]) -> list[str]:
    unique: list[str] = []
    for number, name in enumerate(names, start=1):
        name = name.strip() or str(number)
        unique.append(f"{name}_{number}" if name in unique else name)
    return unique


def _intensity(labels: NDArray[np.uint32], pixels: NDArray[Any], name: str, present: NDArray[np.bool_]) -> Table:
    pixels = readable(pixels, np.float64)
    statistics = _rows(_native.measure_intensity(labels, pixels), _STATISTICS)
    table: Table = {f"{key}_{name}": values[present] for key, values in statistics.items()}
    if pixels.dtype.kind in "ui":
        table |= {f"{key}_{name}": table[f"{key}_{name}"].astype(np.int64) for key in ("min", "max", "sum")}
    return table
