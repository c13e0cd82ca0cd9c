"""Objects for QuPath: compressed GeoJSON with outline, measurements and a lasting UUID per object.

Written batch by batch, so memory does not grow with the number of objects. Names and layout are those that QuPath
itself reads and writes; what an object *is* (a class) is left to the user.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.results.columns import NUCLEUS
from cellfleet.results.labelled import Columns, Labelled
from cellfleet.results.polygons import Part, Ring, outlines

_GZIP_LEVEL = 6
_OBJECT_TYPES = {"nuclear": "detection", "whole-cell": "cell"}
_SHAPES = {
    "area": "Area",
    "perimeter": "Length",
    "circularity": "Circularity",
    "solidity": "Solidity",
    "major_axis": "Major axis",
    "minor_axis": "Minor axis",
    "equivalent_diameter": "Equivalent diameter",
    "eccentricity": "Eccentricity",
    "orientation": "Orientation",
    "extent": "Extent",
}
_UNITS = {"um2": "µm^2", "um": "µm", "px": "px"}
_SIDES = ("y_min", "x_min", "y_max", "x_max")
_STATISTICS = {"mean": "Mean", "std": "Std.Dev.", "min": "Min", "max": "Max", "sum": "Sum"}


def write_geojson(path: Path, result: Labelled) -> None:
    """Write a FeatureCollection, one feature per object, ascending label.

    A cell with a nucleus has it as its ``nucleusGeometry``. Further nuclei of a cell, for which a cell of QuPath has no
    place, and nuclei without a cell are features of their own, of the type ``detection``.

    Coordinates are px of the image at full size; pixel (0, 0) reaches from 0 to 1. A feature's `id` follows from the
    run's key, the image's name and the label, so that it is the same in every export. Measurements have seven digits;
    missing ones are left out.
    """
    # No file name and no time in the header, so that equal objects give equal bytes.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        packed.write(b'{"type":"FeatureCollection","features":[')
        separator = b"\n"
        for feature in _features(result):
            packed.write(separator + feature.encode())
            separator = b",\n"
        packed.write(b"\n]}\n")


def _features(result: Labelled) -> Iterator[str]:
    object_type = _OBJECT_TYPES[result.compartment]
    names = measurement_names(result.rows.types, "Cell: " if object_type == "cell" else "")
    for columns in result.rows.batches():
        yield from _of_batch(result, columns, names, object_type)
    if result.nuclei is not None:
        nuclei = result.of_nuclei()
        names = measurement_names(nuclei.rows.types, "Nucleus: ")
        for columns in nuclei.rows.batches():
            own = columns["label"] > result.labels.count
            yield from _of_batch(nuclei, {name: values[own] for name, values in columns.items()}, names, "detection")


def _of_batch(result: Labelled, columns: Columns, names: Mapping[str, str], object_type: str) -> Iterator[str]:
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"cellfleet:{result.key}/{result.name}")
    drawn = zip(outlines(result.labels, columns), _nuclei(result, columns), strict=True)
    for row, ((parts, nucleus), told) in enumerate(zip(drawn, _measurements(columns, names), strict=True)):
        label, plane = str(columns["label"][row]), _plane(columns, row)
        inner = f'"nucleusGeometry":{_geometry(nucleus, plane)},' if nucleus else ""
        yield (
            f'{{"type":"Feature","id":"{uuid.uuid5(namespace, label)}",'
            f'"geometry":{_geometry(parts, plane)},{inner}'
            f'"properties":{{"objectType":"{object_type}","name":"{label}","measurements":{told}}}}}'
        )


def _nuclei(result: Labelled, columns: Columns) -> list[tuple[Part, ...]]:
    """Return the polygons of the nucleus of each cell, none of one that has none."""
    found: list[tuple[Part, ...]] = [()] * len(columns["label"])
    if result.nuclei is not None:
        has = np.flatnonzero(columns["nuclei"] > 0)
        boxes = {f"{side}_px": columns[f"{NUCLEUS}{side}_px"][has].astype(np.int64) for side in _SIDES}
        places = {name: columns[name][has] for name in ("label", "t", "z") if name in columns}
        for row, parts in zip(has, outlines(result.nuclei.labels, places | boxes), strict=True):
            found[row] = parts
    return found


def measurement_names(columns: Mapping[str, object], compartment: str = "") -> dict[str, str]:
    """Return column → name in QuPath, for the columns that QuPath does not find out by itself.

    Lengths are in µm where the table has them, else in px.

    Args:
        columns: The columns of the table.
        compartment: ``"Cell: "`` where an object is a cell with compartments, else empty.
    """
    metric = "area_um2" in columns
    names = {}
    nucleus = {column.removeprefix(NUCLEUS): column for column in columns if column.startswith(NUCLEUS)}
    for column in [column for column in columns if not column.startswith(NUCLEUS)]:
        shape, _, unit = column.rpartition("_")
        statistic, _, channel = column.partition("_")
        if column in _SHAPES:
            names[column] = compartment + _SHAPES[column]
        elif shape in _SHAPES and unit in _UNITS and (unit != "px") == metric:
            square = "^2" if column == "area_px" else ""
            names[column] = f"{compartment}{_SHAPES[shape]} {_UNITS[unit]}{square}"
        elif statistic in _STATISTICS and channel:
            names[column] = f"{channel}: {compartment}{_STATISTICS[statistic]}"
        elif column == "nuclei":
            names[column] = "Number of nuclei"
    its = measurement_names(nucleus, "Nucleus: ") if nucleus else {}
    return names | {nucleus[column]: name for column, name in its.items()}


def _measurements(columns: Columns, names: Mapping[str, str]) -> Iterator[str]:
    """Yield the measurements of each object as the text of a JSON object."""
    texts = [_texts(json.dumps(name, ensure_ascii=False), columns[column]) for column, name in names.items()]
    return (f"{{{','.join(filter(None, row))}}}" for row in zip(*texts, strict=True))


def _texts(name: str, values: NDArray[Any]) -> Iterator[str]:
    form = f"{name}:%d" if values.dtype.kind in "ui" else f"{name}:%.7g"
    # JSON has no NaN and no infinity.
    return (form % value if finite else "" for value, finite in zip(values.tolist(), np.isfinite(values), strict=True))


def _geometry(parts: tuple[Part, ...], plane: str) -> str:
    polygons = [f"[{','.join(map(_closed, (part.exterior, *part.holes)))}]" for part in parts]
    if len(polygons) == 1:
        return f'{{"type":"Polygon","coordinates":{polygons[0]}{plane}}}'
    return f'{{"type":"MultiPolygon","coordinates":[{",".join(polygons)}]{plane}}}'


def _closed(ring: Ring) -> str:
    corners = [f"[{x},{y}]" for x, y in ring.tolist()]
    return f"[{','.join(corners)},{corners[0]}]"


def _plane(columns: Columns, row: int) -> str:
    if not {"t", "z"} & set(columns):
        return ""
    t, z = (int(columns[axis][row]) if axis in columns else 0 for axis in "tz")
    return f',"plane":{{"c":-1,"z":{z},"t":{t}}}'
