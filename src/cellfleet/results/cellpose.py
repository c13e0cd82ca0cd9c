"""Results for the Cellpose GUI, to correct masks there and train on them: a mask TIFF and a ``_seg.npy``.

Both hold all planes in memory by their nature. The ``_seg.npy`` is a pickle, as the GUI wants it; this package writes
such files and never reads any. Layout: Cellpose's documentation (outputs) and what its GUI looks for when it loads one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import OutputError
from cellfleet.results.labelled import Labelled, Rows, read_all

_MOST_PIXELS = 2**28
_ZLIB_LEVEL = 1


def require_cellpose_size(shape: Sequence[int]) -> None:
    """Raise OutputError E331 where the labels of an image of this shape do not fit the format."""
    pixels = math.prod(shape)
    if pixels > _MOST_PIXELS:
        raise OutputError(
            "E331",
            f"the image has {pixels} pixels; --format cellpose, made and opened in memory, ends at {_MOST_PIXELS}",
            action="Leave that format out for this image, or cut the image into parts",
        )


def write_cellpose(masks_path: Path, seg_path: Path, result: Labelled) -> None:
    """Write the masks as TIFF, and as the dictionary that the GUI opens.

    uint16 up to 65 535 objects, else uint32. Planes stand along the first axis, T and Z as one.

    Raises:
        OutputError: E331, there are too many pixels.
    """
    if math.prod(result.labels.shape) > _MOST_PIXELS:
        what = (
            f"{math.prod(result.labels.shape)} pixels are more than the {_MOST_PIXELS} that the Cellpose GUI is given"
        )
        raise OutputError("E331", what, where=result.name, action="Cut the image into parts, or use another --format")
    masks = read_all(result.labels).astype(np.uint16 if result.labels.count <= 0xFFFF else np.uint32, copy=False)
    if masks.ndim > 3:
        masks = masks.reshape(-1, *masks.shape[-2:])
    tifffile.imwrite(
        masks_path,
        masks,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": _ZLIB_LEVEL},
        software="cellfleet",
        maxworkers=1,
    )
    with open(seg_path, "wb") as file:
        # An open file: to a path without .npy numpy would add it.
        np.save(file, np.array(_seg(masks, result)), allow_pickle=True)


def _seg(masks: NDArray[Any], result: Labelled) -> dict[str, Any]:
    return {
        "filename": result.source,
        "masks": masks,
        "outlines": _inner_borders(masks),
        # Grey, and no second channel: the user chooses in the GUI.
        "chan_choose": [0, 0],
        "ismanual": np.zeros(result.labels.count, bool),
        "flows": [],
        "diameter": _median_diameter(result.rows),
    }


def _inner_borders(masks: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of the pixels that have a neighbour above, below, left or right outside of their object."""
    borders = masks.copy()
    height, width = borders.shape[-2:]
    for plane in borders.reshape(-1, height, width):
        # One pixel more on each side makes the image's border a border of objects, too.
        around = np.pad(plane, 1)
        inside = np.ones(plane.shape, bool)
        for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
            inside &= around[y : y + height, x : x + width] == plane
        plane[inside] = 0
    return borders


def _median_diameter(rows: Rows) -> float:
    diameters = np.concatenate([np.empty(0), *(batch["equivalent_diameter_px"] for batch in rows.batches())])
    return float(np.median(diameters)) if len(diameters) else math.nan
