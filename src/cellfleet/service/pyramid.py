"""The pixels of an image as a multiscale OME-Zarr that stands nowhere: chunks are made when they are asked for.

So a viewer reads any format and any size by the same small requests, and no image is stored twice. A chunk of the full
size is a region of the file, and so is one of a level of which the file has a copy of its own; every other is the mean
of four of the level below. Chunks are kept for a while: those for which much was read longer than others.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ServiceError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.stored import pieces_up_to

SIDE = 512
"""Of a chunk, px."""
LONG = 256
"""Chunks of a file: where more are read for one, only one request at a time does so, and the others need not wait."""
MOST_SECONDS = 20.0
"""Of reading for one request. What was read is kept: whoever asks again goes on from there."""
LARGEST_PIECE_BYTES = 1 << 30
"""Of what can be unpacked only as a whole: a picture of 16 384 × 16 384 px, 32 bits."""
_AXES = "TCZYX"
_KEPT_BYTES = 64 << 20
_DEAR_BYTES = 128 << 20
"""Of chunks for which `_DEAR` or more were read: a hundred gigapixels have less than 110 MB of them, at 8 bits."""
_DEAR = 1024
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
    _copies: dict[int, Image | None] = field(default_factory=dict)
    _looking: threading.Lock = field(default_factory=threading.Lock)

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
            ServiceError: E948, so much has to be read for it that it takes longer; some of it is read now.
        """
        rows, columns = self.grid(level)
        if not (0 <= level < self.levels and 0 <= y < rows and 0 <= x < columns):
            raise IndexError(f"level {level} has {rows} × {columns} chunks")
        place = (self.number, level, t, c, z, y, x)
        found = self.kept.get(place)
        if found is not None:
            return found
        if self._to_read(level) <= LONG:
            return self._made(place, until=float("inf"))
        with self._alone() as until:
            return self._made(place, until)

    @contextmanager
    def _alone(self) -> Iterator[float]:
        """Let one request read much at a time; yield when it has to stop, s of the monotonic clock."""
        if not self.kept.reading.acquire(timeout=MOST_SECONDS):
            raise self._late()
        try:
            yield time.monotonic() + MOST_SECONDS
        finally:
            self.kept.reading.release()

    def _late(self) -> ServiceError:
        what = "so large an image takes a while to be read as a whole"
        action = "Ask again in a few seconds: it goes on where it was, and details can be looked at meanwhile"
        return ServiceError("E948", what, status=503, where=self.image.name, action=action)

    def _to_read(self, level: int) -> int:
        """Return how many chunks of the file are read for a chunk of this level."""
        finer = 0
        while self._copy(level - finer) is None:
            finer += 1
        tall, wide = (min(length, 1 << finer) for length in self.grid(level - finer))
        return tall * wide

    def _copy(self, level: int) -> Image | None:
        """Return what the file has of this level, if anything."""
        with self._looking:
            if level not in self._copies:
                self._copies[level] = self.image if level == 0 else self._small_copy(level)
            return self._copies[level]

    def _small_copy(self, level: int) -> Image | None:
        wanted = self.shape(level)
        # Some writers leave out the last pixel of an odd length.
        with pieces_up_to(LARGEST_PIECE_BYTES):
            found = self.image.overview and self.image.overview(max(wanted[3:]) - 1)
        if found is None or found.dtype != self.image.dtype:
            return None
        shape = [found.length(axis) for axis in _AXES]
        planes_fit = shape[:3] == list(wanted[:3])
        return (
            found if planes_fit and all(0 <= a - b <= 1 for a, b in zip(wanted[3:], shape[3:], strict=True)) else None
        )

    def _made(self, place: tuple[int, ...], until: float) -> Chunk:
        """Make a chunk and keep it. Raises E948 when it is not done by `until`."""
        found = self.kept.get(place)
        if found is not None:
            return found
        if time.monotonic() > until:
            raise self._late()
        _, level, t, c, z, y, x = place
        copy = self._copy(level)
        found = self._reduced(place, until) if copy is None else self._read(copy, level, (t, c, z, y, x))
        self.kept.put(place, found, dear=copy is None and self._to_read(level) >= _DEAR)
        return found

    def _read(self, copy: Image, level: int, at: tuple[int, int, int, int, int]) -> Chunk:
        t, c, z, y, x = at
        # A copy may lack the last row or column, which is the one before then.
        window = [slice(min(i * SIDE, copy.length(axis) - 1), (i + 1) * SIDE) for i, axis in ((y, "Y"), (x, "X"))]
        pixels = copy.read(t, z, channels=[c], y=window[0], x=window[1])[0]
        there = zip(self.plane_shape(level), (y, x), pixels.shape, strict=True)
        missing = [(0, max(0, min(SIDE, length - i * SIDE) - found)) for length, i, found in there]
        pixels = np.pad(pixels, missing, mode="edge")
        chunk = np.full((SIDE, SIDE), _FILL, stored_type(self.image.dtype))
        chunk[: pixels.shape[0], : pixels.shape[1]] = pixels
        return chunk

    def _reduced(self, place: tuple[int, ...], until: float) -> Chunk:
        number, level, t, c, z, y, x = place
        below = np.full((2 * SIDE, 2 * SIDE), _FILL, stored_type(self.image.dtype))
        rows, columns = self.grid(level - 1)
        for dy in range(min(2, rows - 2 * y)):
            for dx in range(min(2, columns - 2 * x)):
                part = self._made((number, level - 1, t, c, z, 2 * y + dy, 2 * x + dx), until)
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
class _Shelf:
    """Chunks up to a number of bytes, the least recently used given up first."""

    most_bytes: int
    chunks: OrderedDict[tuple[int, ...], Chunk] = field(default_factory=OrderedDict)
    bytes: int = 0

    def get(self, place: tuple[int, ...]) -> Chunk | None:
        found = self.chunks.get(place)
        if found is not None:
            self.chunks.move_to_end(place)
        return found

    def put(self, place: tuple[int, ...], chunk: Chunk) -> None:
        if place not in self.chunks:
            self.bytes += chunk.nbytes
        self.chunks[place] = chunk
        while self.bytes > self.most_bytes:
            self.bytes -= self.chunks.popitem(last=False)[1].nbytes


@dataclass(eq=False)
class Kept:
    """Chunks that were made last; may be used from several threads."""

    reading: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one that reads much."""
    _cheap: _Shelf = field(default_factory=lambda: _Shelf(_KEPT_BYTES))
    _dear: _Shelf = field(default_factory=lambda: _Shelf(_DEAR_BYTES))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, place: tuple[int, ...]) -> Chunk | None:
        """Return a chunk if it is kept."""
        with self._lock:
            found = self._cheap.get(place)
            return self._dear.get(place) if found is None else found

    def put(self, place: tuple[int, ...], chunk: Chunk, *, dear: bool) -> None:
        """Keep a chunk, and let the oldest go. Those that are `dear` are not pushed out by others."""
        with self._lock:
            (self._dear if dear else self._cheap).put(place, chunk)


@dataclass(eq=False)
class _Opened:
    """An image that somebody opens; others who want it wait, who want another do not."""

    pyramid: Pyramid | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False)
class Pyramids:
    """Images that were looked at last, opened once."""

    most: int = 8
    kept: Kept = field(default_factory=Kept)
    pieces: ChunkCache = field(default_factory=ChunkCache)
    """Unpacked tiles and strips of all of them."""
    _opened: OrderedDict[tuple[str, int], _Opened] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[str, int], opened: Callable[[ChunkCache], Image]) -> Pyramid:
        """Return the image with this key, opened by `opened` where it is not yet; it is told where pieces are kept."""
        with self._lock:
            found = self._opened.setdefault(key, _Opened())
            self._opened.move_to_end(key)
            if len(self._opened) > self.most:
                self._opened.popitem(last=False)
        with found.lock:
            if found.pyramid is None:
                with pieces_up_to(LARGEST_PIECE_BYTES):
                    found.pyramid = Pyramid(opened(self.pieces.apart()), self.kept)
            return found.pyramid


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
