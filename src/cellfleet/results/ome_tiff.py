"""Labels of any size as OME-TIFF: BigTIFF in tiles with a pyramid, as QuPath, napari and Bio-Formats like them.

Knows TIFF; what is held in memory is a block for each level of the pyramid.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.results.labelled import LabelImage, plane_count
from cellfleet.results.pyramid import level_shapes, pieces

_TILE = 512
_BLOCK = 2048
_ZLIB_LEVEL = 1


def write_ome_tiff(path: Path, labels: LabelImage, *, microns_per_pixel: float | None = None) -> None:
    """Write `labels` with a pyramid in SubIFDs: every second pixel of the level below, to 512 px or less.

    uint16 up to 65 535 objects, else uint32; zlib in tiles of 512 × 512; the same labels are the same bytes.
    Tiles of a TIFF come level by level and row by row, blocks of labels do not: encoded tiles wait in a file without
    name in the folder of `path`, which takes as much disk as the result.

    Args:
        path: Is made or replaced.
        labels: What to write.
        microns_per_pixel: PhysicalSizeX and PhysicalSizeY, µm; None: not known.

    Raises:
        OSError: The file cannot be written.
    """
    stored = np.dtype("<u2" if labels.count <= 0xFFFF else "<u4")
    shapes = level_shapes(labels.shape)
    with tempfile.TemporaryFile(dir=path.parent) as waiting:
        places, digest = _encode_tiles(waiting, labels, stored)
        with tifffile.TiffWriter(path, bigtiff=True, byteorder="<", ome=True) as tiff:
            for level, (shape, tiles) in enumerate(zip(shapes, places, strict=True)):
                tiff.write(
                    _read_tiles(waiting, tiles),
                    shape=(*labels.shape[:-2], *shape),
                    dtype=stored,
                    tile=(_TILE, _TILE),
                    photometric="minisblack",
                    compression="zlib",
                    subifds=len(shapes) - 1 if level == 0 else None,
                    subfiletype=1 if level else 0,
                    metadata=_metadata(labels, microns_per_pixel, digest) if level == 0 else None,
                    software="cellfleet",
                )


def _encode_tiles(
    waiting: IO[bytes], labels: LabelImage, stored: np.dtype[Any]
) -> tuple[list[NDArray[np.int64]], bytes]:
    """Write all tiles of all levels to `waiting`.

    Returns:
        For each level offset and length of each tile (plane, row, column, 2); the SHA-256 of all that was written.
    """
    written = hashlib.sha256()
    shapes = level_shapes(labels.shape)
    places = [np.zeros((plane_count(labels), -(-h // _TILE), -(-w // _TILE), 2), np.int64) for h, w in shapes]
    for plane, level, box, pixels in pieces(labels, _BLOCK):
        for y in range(0, box.shape[0], _TILE):
            for x in range(0, box.shape[1], _TILE):
                tile = np.zeros((_TILE, _TILE), stored)
                part = pixels[y : y + _TILE, x : x + _TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                encoded = imagecodecs.deflate_encode(tile.tobytes(), level=_ZLIB_LEVEL)
                places[level][plane, (box.y0 + y) // _TILE, (box.x0 + x) // _TILE] = waiting.tell(), len(encoded)
                waiting.write(encoded)
                written.update(encoded)
    return places, written.digest()


def _read_tiles(waiting: IO[bytes], places: NDArray[np.int64]) -> Iterator[bytes]:
    for offset, length in places.reshape(-1, 2).tolist():
        waiting.seek(offset)
        yield waiting.read(length)


def _metadata(labels: LabelImage, microns_per_pixel: float | None, digest: bytes) -> dict[str, Any]:
    # tifffile would put the time and this machine's address into the UUID.
    told: dict[str, Any] = {"axes": labels.axes, "Creator": "cellfleet"}
    told["UUID"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}"
    if microns_per_pixel is not None:
        told |= {f"PhysicalSize{axis}": microns_per_pixel for axis in "XY"}
        told |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return told
