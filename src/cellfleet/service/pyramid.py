"""The pixels of an image as a multiscale OME-Zarr that stands nowhere: chunks are made when they are asked for.

So a viewer reads any format and any size by the same small requests, and no image is stored twice. A chunk of the full
size is a region of the file; every coarser one is the mean of four of the level below, which are kept for a while.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ServiceError
from cellfleet.images.image import Image

SIDE = 512
"""Of a chunk, px."""
MOST_READ = 4096
"""Chunks of the full size that are read for one chunk: a gigapixel."""
_AXES = "TCZYX"
_KEPT_BYTES = 64 << 20
_FILL = 0
_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "00FF00", "FF4040", "4080FF")
"""Of several channels, told apart also by those who do not see red and green as different."""
_PERCENTILES = (1, 99.8)

Chunk = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """An opened image as levels of chunks; may be used from several threads."""

    image: Image
    kept: Kept
    number: int = field(default_factory=itertools.count().__next__)
    """Tells its chunks from those of others."""

    @property
    def levels(self) -> int:
        """Return how many there are: the last one is a single chunk."""
        longest = max(self.image.length("Y"), self.image.length("X"))
        return 1 + max(0, int(np.ceil(np.log2(longest / SIDE))))

    def plane_shape(self, level: int) -> tuple[int, int]:
        """Return (Y, X) of a level, px."""
        height, width = self.image.length("Y"), self.image.length("X")
        return -(-height >> level) or 1, -(-width >> level) or 1

    def shape(self, level: int) -> tuple[int, ...]:
        """Return (T, C, Z, Y, X) of a level."""
        return tuple(self.image.length(axis) for axis in "TCZ") + self.plane_shape(level)

    def grid(self, level: int) -> tuple[int, int]:
        """Return how many chunks a plane of a level has along Y and X."""
        height, width = self.plane_shape(level)
        return -(-height // SIDE), -(-width // SIDE)

    def chunk(self, level: int, t: int, c: int, z: int, y: int, x: int) -> Chunk:
        """Return (SIDE, SIDE) pixels, filled up with 0 beyond the image's edge.

        Raises:
            IndexError: There is no such chunk.
            InputError: The file is damaged or gone.
            ServiceError: E948, so much would have to be read for it that nobody else would be served.
        """
        rows, columns = self.grid(level)
        if not (0 <= level < self.levels and 0 <= y < rows and 0 <= x < columns):
            raise IndexError(f"level {level} has {rows} × {columns} chunks")
        self._require_bounded(level)
        place = (self.number, level, t, c, z, y, x)
        found = self.kept.get(place)
        if found is None:
            found = self._read(t, c, z, y, x) if level == 0 else self._reduced(level, t, c, z, y, x)
            self.kept.put(place, found)
        return found

    def _require_bounded(self, level: int) -> None:
        tall, wide = (min(length, 2**level) for length in self.grid(0))
        if tall * wide > MOST_READ:
            action = "Look at a part of it, or open the results in napari or QuPath"
            what = "the image is too large to be shown as a whole"
            raise ServiceError("E948", what, status=422, where=self.image.name, action=action)

    def _read(self, t: int, c: int, z: int, y: int, x: int) -> Chunk:
        window = slice(y * SIDE, (y + 1) * SIDE), slice(x * SIDE, (x + 1) * SIDE)
        pixels = self.image.read(t, z, channels=[c], y=window[0], x=window[1])[0]
        chunk = np.full((SIDE, SIDE), _FILL, stored_type(self.image.dtype))
        chunk[: pixels.shape[0], : pixels.shape[1]] = pixels
        return chunk

    def _reduced(self, level: int, t: int, c: int, z: int, y: int, x: int) -> Chunk:
        below = np.full((2 * SIDE, 2 * SIDE), _FILL, stored_type(self.image.dtype))
        rows, columns = self.grid(level - 1)
        for dy in range(min(2, rows - 2 * y)):
            for dx in range(min(2, columns - 2 * x)):
                part = self.chunk(level - 1, t, c, z, 2 * y + dy, 2 * x + dx)
                below[dy * SIDE : (dy + 1) * SIDE, dx * SIDE : (dx + 1) * SIDE] = part
        height, width = self.plane_shape(level - 1)
        return _halved(below, (height - 2 * y * SIDE, width - 2 * x * SIDE))


def _halved(pixels: Chunk, inside: tuple[int, int]) -> Chunk:
    """Return the mean of squares of 2 × 2; at the edge of the image (`inside`) of those that are there."""
    height, width = (min(length, size) for length, size in zip(inside, pixels.shape, strict=True))
    if height % 2 and height < pixels.shape[0]:
        pixels[height] = pixels[height - 1]
    if width % 2 and width < pixels.shape[1]:
        pixels[:, width] = pixels[:, width - 1]
    squares = pixels.reshape(SIDE, 2, SIDE, 2)
    if pixels.dtype.kind == "f":
        return np.asarray(squares.mean((1, 3), dtype=pixels.dtype))
    total = squares.sum((1, 3), dtype=np.int64)
    return np.asarray((total + 2) // 4, pixels.dtype)


def stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of the chunks, little-endian; viewers know neither bool nor float16."""
    wider = {"b1": "u1", "f2": "f4"}
    return np.dtype("<" + wider.get(dtype.str[1:], dtype.str[1:]))


@dataclass(eq=False)
class Kept:
    """Chunks that were made last; may be used from several threads."""

    _chunks: OrderedDict[tuple[int, ...], Chunk] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, place: tuple[int, ...]) -> Chunk | None:
        """Return a chunk if it is kept."""
        with self._lock:
            found = self._chunks.get(place)
            if found is not None:
                self._chunks.move_to_end(place)
            return found

    def put(self, place: tuple[int, ...], chunk: Chunk) -> None:
        """Keep a chunk, and let the oldest go."""
        with self._lock:
            if place not in self._chunks:
                self._bytes += chunk.nbytes
            self._chunks[place] = chunk
            while self._bytes > _KEPT_BYTES:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes


@dataclass(eq=False)
class Pyramids:
    """Images that were looked at last, opened once."""

    most: int = 8
    kept: Kept = field(default_factory=Kept)
    _opened: OrderedDict[tuple[str, int], Pyramid] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[str, int], opened: Callable[[], Image]) -> Pyramid:
        """Return the image with this key, opened by `opened` where it is not yet."""
        with self._lock:
            if key not in self._opened:
                self._opened[key] = Pyramid(opened(), self.kept)
            self._opened.move_to_end(key)
            if len(self._opened) > self.most:
                self._opened.popitem(last=False)
            return self._opened[key]


def group_metadata(pyramid: Pyramid, windows: Sequence[tuple[float, float] | None]) -> dict[str, Any]:
    """Return zarr.json of the group: OME-Zarr 0.5, with a contrast window for each channel that has one."""
    image = pyramid.image
    size = image.microns_per_pixel
    spatial: dict[str, Any] = {"type": "space"} if size is None else {"type": "space", "unit": "micrometer"}
    kinds = {"T": {"type": "time"}, "C": {"type": "channel"}}
    axes = [{"name": axis.lower(), **kinds.get(axis, spatial if axis in "YX" else {"type": "space"})} for axis in _AXES]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, *[(size or 1) * 2**level] * 2]}],
        }
        for level in range(pyramid.levels)
    ]
    channels = [
        {
            "label": name or f"Channel {number + 1}",
            "color": _COLOURS[number % len(_COLOURS)] if image.channels > 1 else "FFFFFF",
            "window": _window(pyramid, number, window),
        }
        for number, (name, window) in enumerate(zip(image.channel_names, windows, strict=True))
    ]
    multiscale = {"name": image.name, "axes": axes, "datasets": datasets, "type": "mean"}
    ome = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": channels}}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}


def _window(pyramid: Pyramid, channel: int, window: tuple[float, float] | None) -> dict[str, float]:
    """Return the contrast of a channel: as given, else from the chunk in the middle of the image."""
    dtype = stored_type(pyramid.image.dtype)
    rows, columns = pyramid.grid(0)
    t, _, z = (length // 2 for length in pyramid.shape(0)[:3])
    pixels = pyramid.chunk(0, t, channel, z, rows // 2, columns // 2)
    finite = pixels[np.isfinite(pixels)] if dtype.kind == "f" else pixels
    seen = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if window is None:
        low, high = np.percentile(finite, _PERCENTILES) if finite.size else seen
        window = (float(low), float(max(high, low + 1)))
    least, most = seen if dtype.kind == "f" else (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
    return {"start": window[0], "end": window[1], "min": min(least, window[0]), "max": max(most, window[1])}


def array_metadata(pyramid: Pyramid, level: int) -> dict[str, Any]:
    """Return zarr.json of a level: uncompressed chunks; the connection may compress them."""
    names = {"u": "uint", "i": "int", "f": "float"}
    dtype = stored_type(pyramid.image.dtype)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(pyramid.shape(level)),
        "data_type": f"{names[dtype.kind]}{8 * dtype.itemsize}",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1, SIDE, SIDE]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _FILL,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": list(_AXES.lower()),
        "attributes": {},
    }
