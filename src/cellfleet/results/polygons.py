"""Outlines of labelled objects as polygons along pixel edges: filled again, they give exactly the label image.

Traced by GDAL (through rasterio), region by region: the objects of one batch of the table are sorted by place, and each
is traced from its whole bounding box, so that no polygon is ever cut at the border of a block. Knows no file format.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import OutputError
from cellfleet.results.labelled import Columns, LabelImage
from cellfleet.tiling.box import Box

_SIDE = 1024
"""Objects whose boxes begin in the same square of this side, px, are traced together."""

_one_at_a_time = threading.Lock()
"""rasterio silences its own warnings of missing geographic coordinates; in two threads at once some of them get out."""

Ring = NDArray[np.int32]
"""(n, 2) corners x, y in px, not closed. Corner (0, 0) is the outer corner of the first pixel, whose centre the table
has at (0, 0). Begins at the leftmost of its topmost corners."""


class Part(NamedTuple):
    """One polygon of an object: pixels that hang together by their edges."""

    exterior: Ring
    """Clockwise on the screen (y downwards), which is counter-clockwise in the sense of RFC 7946."""
    holes: tuple[Ring, ...]
    """The other way round."""


def outlines(labels: LabelImage, columns: Columns) -> list[tuple[Part, ...]]:
    """Return the polygons of the objects of one batch of the table, one item per row, in its order.

    An object has several parts where its pixels hang together only by corners. Parts and holes are sorted by their
    first corner, row before column. Holds a region of at most 2048 × 2048 px, or the bounding box of one object that
    is larger.

    Args:
        labels: The label image.
        columns: Rows with ``label``, the box ``y_min_px`` … ``x_max_px``, and ``t``, ``z`` where the image has them.

    Raises:
        OutputError: E333, an object of the table is not in the label image: one of them was changed since.
    """
    found: list[list[Part]] = [[] for _ in columns["label"]]
    boxes = np.stack([columns[f"{side}_px"] for side in ("y_min", "x_min", "y_max", "x_max")], axis=1)
    planes = plane_numbers(labels, columns)
    for group in _by_place(planes, boxes):
        box = Box(*boxes[group, :2].min(axis=0).tolist(), *boxes[group, 2:].max(axis=0).tolist())
        rows = dict(zip(columns["label"][group].tolist(), group.tolist(), strict=True))
        region = labels.read(int(planes[group[0]]), box)
        for label, part in _trace(region, np.isin(region, columns["label"][group]), box):
            found[rows[label]].append(part)
    for label, parts in zip(columns["label"], found, strict=True):
        if not parts:
            raise OutputError(
                "E333",
                f"object {label} of the table is not in the label image; one of the two was changed since",
                action="Run cellfleet segment again, with --overwrite",
            )
    return [tuple(sorted(parts, key=lambda part: _first(part.exterior))) for parts in found]


def plane_numbers(labels: LabelImage, columns: Columns) -> NDArray[np.int64]:
    """Return for each row of the table the plane of its object, counted over T, then Z."""
    planes = np.zeros(len(columns["label"]), np.int64)
    for axis, length in zip(labels.axes[:-2], labels.shape[:-2], strict=True):
        planes = planes * length + columns[axis.lower()]
    return planes


def _by_place(planes: NDArray[np.int64], boxes: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of the table whose objects are traced together."""
    large = ((boxes[:, 2:] - boxes[:, :2]) > _SIDE).any(axis=1)
    yield from np.flatnonzero(large)[:, None]
    small = np.flatnonzero(~large)
    places = np.column_stack([planes, boxes[:, :2] // _SIDE])[small]
    order = np.lexsort(places.T[::-1])
    changes = np.flatnonzero((np.diff(places[order], axis=0) != 0).any(axis=1)) + 1
    yield from (small[group] for group in np.split(order, changes) if len(group))


def _trace(region: NDArray[np.uint32], wanted: NDArray[np.bool_], box: Box) -> Iterator[tuple[int, Part]]:
    """Yield label and polygon of everything wanted in a region that stands at `box`."""
    from rasterio.features import shapes  # noqa: PLC0415 (GDAL is loaded by runs that want polygons)

    # GDAL knows no uint32 here; the same bits as int32 name the same objects.
    with _one_at_a_time:
        traced = list(shapes(np.ascontiguousarray(region).view(np.int32), mask=wanted, connectivity=4))
    for shape, value in traced:
        exterior, *holes = shape["coordinates"]
        inner = sorted((_ring(hole, box, clockwise=False) for hole in holes), key=_first)
        yield int(value) & 0xFFFFFFFF, Part(_ring(exterior, box, clockwise=True), tuple(inner))


def _ring(closed: list[tuple[float, float]], box: Box, *, clockwise: bool) -> Ring:
    corners = np.array(closed[:-1], np.int32)
    count = len(corners)
    start = int(np.lexsort(corners.T)[0])
    # From the leftmost of the topmost corners one way goes right, the other one down.
    goes_right = corners[(start + 1) % count, 1] == corners[start, 1]
    step = 1 if goes_right == clockwise else -1
    return corners[(start + step * np.arange(count)) % count] + np.array((box.x0, box.y0), np.int32)


def _first(ring: Ring) -> tuple[int, int]:
    return int(ring[0, 1]), int(ring[0, 0])
