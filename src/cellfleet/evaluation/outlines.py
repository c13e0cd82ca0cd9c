"""Outlines drawn in QuPath or napari → label images. Filled by the rule that a pixel belongs where its centre lies.

So polygons along pixel edges, as `results/polygons.py` writes them, give back exactly the label image that they came
from. Knows no image.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError

_WITHIN = 0.9
"""Share of an object under another one from which on it lies within."""
_CORNERS = 64
"""Of the polygon that stands for an ellipse."""


class Outline(NamedTuple):
    """One object."""

    plane: int
    """Of a stack, from 0."""
    geometry: dict[str, Any]
    """GeoJSON ``Polygon`` or ``MultiPolygon``; x before y, pixel (0, 0) reaches from 0 to 1."""


def read_outlines(path: Path, shape: tuple[int, int, int], *, nuclei: bool = False) -> NDArray[np.int32]:
    """Read a file of outlines as labels: 1, 2, … in the order of the file, the later on top where two overlap.

    Args:
        path: GeoJSON of QuPath (``.geojson``, ``.geojson.gz``), or a CSV of a napari shapes layer.
        shape: (P, Y, X) of the image.
        nuclei: Take the nuclei of cells, where the file has cells with nuclei.

    Returns:
        int32 (P, Y, X).

    Raises:
        TrainingError: E621 no such file, or no outlines in it; E623 an outline holds other objects.
    """
    try:
        found = list(_napari(path) if path.suffix.lower() == ".csv" else _qupath(path, nuclei=nuclei))
        labels = _filled(found, shape)
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    if not found:
        raise _unusable(path, "there is no polygon in it")
    under = _filled(found[::-1], shape)
    # The same objects counted from the other end.
    under = np.where(under > 0, len(found) + 1 - under, 0)
    if holding := _holding(labels, under, len(found)):
        raise TrainingError(
            "E623",
            f"outline {holding} holds several others: a region, not an object?",
            where=str(path),
            action="Leave it out of the export, or give it a class that QuPath ignores (its name ends in *)",
        )
    return labels


def _unusable(path: Path, why: str) -> TrainingError:
    return TrainingError(
        "E621",
        f"holds no outlines that can be read ({' '.join(why.split())[:200]})",
        where=str(path),
        action="Export again: from QuPath as GeoJSON, from napari a shapes layer of polygons, rectangles or ellipses",
    )


def _qupath(path: Path, *, nuclei: bool) -> Iterator[Outline]:
    """Yield the objects of a ``FeatureCollection``, or of the bare list of features that older versions wrote."""
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
        content = json.load(file)
    for feature in content["features"] if isinstance(content, dict) else content:
        told = feature.get("properties") or {}
        ignored = str((told.get("classification") or {}).get("name", "")).endswith("*")
        geometry = feature.get("nucleusGeometry") if nuclei and "nucleusGeometry" in feature else feature["geometry"]
        # Points and lines have no inside; tiles and cores are no cells.
        if ignored or not geometry or told.get("objectType") in {"tile", "tmaCore", "root"}:
            continue
        if geometry["type"] in {"Polygon", "MultiPolygon"}:
            place = geometry.get("plane") or {}
            yield Outline(int(place.get("z", 0)) + int(place.get("t", 0)), geometry)


def _napari(path: Path) -> Iterator[Outline]:
    """Yield the shapes of a layer: a row per corner, y and x last, whole numbers at the centres of pixels."""
    corners: dict[str, list[list[float]]] = defaultdict(list)
    kinds: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            axes = sorted((name for name in row if name.startswith("axis-")), key=lambda name: int(name[5:]))
            corners[row["index"]].append([float(row[axis]) for axis in axes])
            kinds[row["index"]] = row["shape-type"]
    for index, places in corners.items():
        *stack, y, x = np.array(places).T
        ring = np.stack([x, y], axis=1) + 0.5
        if kinds[index] not in {"polygon", "rectangle", "ellipse"}:
            raise ValueError(f"shape {index} is a {kinds[index]}, which has no inside")
        closed = _ellipse(ring) if kinds[index] == "ellipse" else [*ring.tolist(), ring[0].tolist()]
        yield Outline(round(float(stack[0][0])) if stack else 0, {"type": "Polygon", "coordinates": [closed]})


def _ellipse(box: NDArray[np.float64]) -> list[list[float]]:
    """Return the ellipse in a rectangle of four corners, one after the other, as a closed ring."""
    middle, along, across = box.mean(axis=0), (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    ring = [(middle + np.cos(angle) * along + np.sin(angle) * across).tolist() for angle in angles]
    return [*ring, ring[0]]


def _filled(outlines: Sequence[Outline], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    from rasterio.features import rasterize  # noqa: PLC0415 (GDAL is loaded by those that need it)

    labels = np.zeros(shape, np.int32)
    by_plane: dict[int, list[tuple[dict[str, Any], int]]] = defaultdict(list)
    for number, outline in enumerate(outlines, start=1):
        if not 0 <= outline.plane < shape[0]:
            raise ValueError(f"outline {number} lies on plane {outline.plane}, the image has {shape[0]}")
        by_plane[outline.plane].append((outline.geometry, number))
    for plane, shapes in by_plane.items():
        labels[plane] = rasterize(shapes, out_shape=shape[1:], fill=0, dtype="int32", skip_invalid=False)
    return labels


def _holding(over: NDArray[np.int32], under: NDArray[np.int32], count: int) -> int | None:
    """Return an outline in which two or more others lie.

    Args:
        over: Labels with later objects on top.
        under: The same with earlier objects on top.
        count: Of objects.
    """
    areas = np.bincount(over.ravel(), minlength=count + 1)
    both = over != under
    areas += np.bincount(under[both], minlength=count + 1)
    pairs, shared = np.unique(np.stack([over[both], under[both]], axis=1), axis=0, return_counts=True)
    held = np.zeros(count + 1, np.int64)
    for (one, other), pixels in zip(pairs.tolist(), shared.tolist(), strict=True):
        inner, outer = (one, other) if areas[one] <= areas[other] else (other, one)
        held[outer] += pixels >= _WITHIN * areas[inner]
    return int(np.argmax(held)) if held.max(initial=0) > 1 else None
