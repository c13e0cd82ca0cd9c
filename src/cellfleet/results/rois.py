"""Outlines for ImageJ's ROI Manager: a zip with one ROI per object, whose name is the object's number.

A ROI is the object's outline along pixel edges, as ImageJ's wand traces it; filled in ImageJ it gives exactly the
object's pixels. Equal objects give equal bytes. Knows ImageJ's ROI format through roifile.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellfleet.errors import Notice
from cellfleet.results.labelled import Labelled
from cellfleet.results.polygons import Part, outlines

if TYPE_CHECKING:
    from roifile import ImagejRoi

_SLOW = 50_000
_MOVE_TO, _LINE_TO, _CLOSE = 0.0, 1.0, 4.0
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def write_rois(path: Path, result: Labelled) -> tuple[Notice, ...]:
    """Write the ROIs of all objects, ascending label.

    An object with holes, or whose pixels hang together only by corners, becomes a composite ROI.

    Returns:
        W330 when there are so many that ImageJ, whose ROI Manager keeps all in memory, is slow with them.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for columns in result.rows.batches():
            for row, parts in enumerate(outlines(result.labels, columns)):
                roi = _roi(parts)
                roi.name = str(columns["label"][row])
                _place(roi, {axis: int(columns[axis][row]) for axis in "tz" if axis in columns})
                # A fixed date, so that equal objects give equal bytes.
                entry = zipfile.ZipInfo(f"{roi.name}.roi", _FIRST_DAY)
                archive.writestr(entry, roi.tobytes(), zipfile.ZIP_DEFLATED, compresslevel=6)
    if result.rows.count <= _SLOW:
        return ()
    text = f"ImageJ is slow with {result.rows.count} ROIs; the label image, or QuPath with its GeoJSON, is quicker"
    return (Notice("W330", text),)


def _roi(parts: tuple[Part, ...]) -> ImagejRoi:
    from roifile import ROI_TYPE, ImagejRoi  # noqa: PLC0415 (imported by runs that want ROIs)

    if len(parts) == 1 and not parts[0].holes:
        roi = ImagejRoi.frompoints(parts[0].exterior)
        roi.roitype = ROI_TYPE.TRACED
    else:
        path = _path(parts)
        roi = ImagejRoi(roitype=ROI_TYPE.RECT, multi_coordinates=path, shape_roi_size=len(path))
    corners = np.concatenate([part.exterior for part in parts])
    (roi.left, roi.top), (roi.right, roi.bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return roi


def _path(parts: tuple[Part, ...]) -> np.ndarray:
    """Return ImageJ's path of a composite ROI: a command and its corner each, a closing command after each ring."""
    path: list[np.ndarray] = []
    for ring in (ring for part in parts for ring in (part.exterior, *part.holes)):
        commands = np.full(len(ring), _LINE_TO)
        commands[0] = _MOVE_TO
        path += [np.column_stack([commands, ring]).ravel(), np.array([_CLOSE])]
    return np.concatenate(path).astype(np.float32)


def _place(roi: ImagejRoi, at: dict[str, int]) -> None:
    """Put a ROI on its plane; `at` holds t and z where the image has them, counted from 0. ImageJ counts from 1."""
    if len(at) == 2:
        roi.c_position, roi.z_position, roi.t_position = 1, at["z"] + 1, at["t"] + 1
    else:
        # A stack with one axis is no hyperstack: ImageJ counts its planes.
        roi.position = sum(at.values()) + len(at)
