"""The image that a workflow predicted, as OME-TIFF: 16-bit intensities with axes, channel names and pixel size.

Knows TIFF; what is held in memory is a row of tiles.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import UsageError
from cellfleet.images.image import Image
from cellfleet.results.labelled import Labelled

_TILE = 512


def write_predicted(path: Path, result: Labelled) -> None:
    """Write the predicted image of a workflow: zlib in tiles of 512 × 512, BigTIFF. The same pixels are the same bytes.

    Raises:
        UsageError: E418, nothing was predicted.
        InputError, ModelError: What it is predicted from cannot be read, or not predicted.
        OSError: The file cannot be written.
    """
    image = result.predicted
    if image is None:
        raise nothing_predicted(result.model)
    axes = image.axes if "C" in image.axes else image.axes.replace("YX", "CYX")
    # tifffile would put the time and this machine's address into the UUID.
    same = uuid.uuid5(uuid.NAMESPACE_OID, f"{result.key} {result.name}")
    told: dict[str, Any] = {"axes": axes, "Channel": {"Name": list(image.channel_names)}, "UUID": f"urn:uuid:{same}"}
    told["Creator"] = "cellfleet"
    if result.microns_per_pixel is not None:
        told |= {f"PhysicalSize{axis}": result.microns_per_pixel for axis in "XY"}
        told |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    with tifffile.TiffWriter(path, bigtiff=True, byteorder="<", ome=True) as tiff:
        tiff.write(
            _tiles(image),
            shape=tuple(image.length(axis) for axis in axes),
            dtype=image.dtype,
            tile=(_TILE, _TILE),
            photometric="minisblack",
            compression="zlib",
            metadata=told,
            software="cellfleet",
        )


def nothing_predicted(model: str) -> UsageError:
    """Return the error of a predicted image that is asked of a model that predicts none."""
    return UsageError(
        "E418",
        f"the model {model} predicts no image, so there is none to write",
        where="--format predicted-tiff",
        action="Leave this format out, choose a workflow, or segment again: it cannot be exported later",
    )


def _tiles(image: Image) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes in the order of a TIFF: T, C, Z, rows, columns."""
    height, width = image.length("Y"), image.length("X")
    for t, c, z in itertools.product(*(range(image.length(axis)) for axis in "TCZ")):
        for y in range(0, height, _TILE):
            for x in range(0, width, _TILE):
                part = image.read(t, z, channels=[c], y=slice(y, y + _TILE), x=slice(x, x + _TILE))[0]
                tile = np.zeros((_TILE, _TILE), image.dtype)
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile
