"""Boxes of pixels out of the pages of a TIFF file: only the strips or tiles that a box touches are read and unpacked.

tifffile unpacks one strip or tile; this module knows which ones are needed and puts them together. Files without
compression are read by rows. Does not know what pages mean.
"""

from __future__ import annotations

import functools
import io
import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import InputError
from cellfleet.images.border import damaged, decoding
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.content import Content
from cellfleet.images.picture import announced_size

BAND_BYTES = 4 << 20
"""Rows without compression are read in bands of about this size and cut to the columns wanted."""
FEW_COLUMNS = 4
"""Where less than a quarter of the columns is wanted, rows are read in parts."""

PADDING = 64
"""Rows and columns by which a tile packed as a picture may be larger than the tile."""

Box = tuple[slice, slice, slice, slice, slice]
"""Part of a page in tifffile's order: planar samples, depth, rows, columns, interleaved samples."""


@dataclass(frozen=True, eq=False)
class Page:
    """Where the pixels of one page are."""

    number: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    """Bytes of each strip or tile; 0 where it is missing, which means pixels of the value `nodata`."""
    jpeg_tables: bytes | None = None

    @classmethod
    def of(cls, page: tifffile.TiffPage | tifffile.TiffFrame, number: int) -> Page:
        """Take over the tables of a page, so that tifffile need not read them again."""
        offsets, counts = (np.array(table, np.int64) for table in (page.dataoffsets, page.databytecounts))
        least = min(len(offsets), len(counts))
        counts = np.where(offsets[:least] > 0, counts[:least], 0)
        return cls(number, offsets[:least], counts, page.jpegtables)

    @property
    def end(self) -> int:
        """First byte behind the pixels."""
        return int(np.where(self.counts > 0, self.offsets + self.counts, 0).max(initial=0))


class PageReader:
    """Reads pages of the same size, type and compression as `keyframe`."""

    def __init__(self, keyframe: tifffile.TiffPage, content: Content, name: str, cache: ChunkCache) -> None:
        """Prepare reading from `content` while `keyframe`'s file is open; `name` is the image's, for messages.

        Raises:
            InputError: E106, E109.
        """
        self._keyframe = keyframe
        self._content = content
        self._name = name
        self._cache = cache
        self._identity = object()
        self.shape: tuple[int, ...] = keyframe.shaped
        """Lengths of a page in the order of `Box`."""
        depth, rows = (keyframe.tiledepth, keyframe.tilelength) if keyframe.is_tiled else (1, keyframe.rowsperstrip)
        columns = keyframe.tilewidth if keyframe.is_tiled else keyframe.imagewidth
        self._piece: tuple[int, ...] = (1, max(1, depth), rows, columns, self.shape[4])
        self.is_plain = keyframe.is_final
        """Whether the pixels of a page follow one another in the file as they are."""
        if not self.is_plain:
            with decoding(content.path, name, "TIFF", part="pixels"):
                keyframe.init_decode()  # may read tags, so while the file is open

    @property
    def piece_bytes(self) -> int:
        """Bytes of one strip or tile when it is unpacked."""
        return math.prod(self._piece) * self._dtype.itemsize

    @property
    def pieces(self) -> int:
        """Number of strips or tiles of a page."""
        return math.prod(self._grid)

    def read(self, file: BinaryIO, page: Page, box: Box) -> NDArray[np.generic]:
        """Return the pixels of a box of one page, in five dimensions and native byte order.

        Raises:
            InputError: E106, E109, naming the place of a damaged strip or tile.
        """
        return self._read_plain(file, page, box) if self.is_plain else self._read_pieces(file, page, box)

    @property
    def _dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self._keyframe.dtype)

    @property
    def _grid(self) -> tuple[int, ...]:
        return tuple(math.ceil(length / size) for length, size in zip(self.shape, self._piece, strict=True))

    def _read_pieces(self, file: BinaryIO, page: Page, box: Box) -> NDArray[np.generic]:
        pixels = np.empty(lengths(box), self._dtype)
        whole = pixels.shape == self.shape
        strides = [math.prod(self._grid[i + 1 :]) for i in range(len(box))]
        for cuts in itertools.product(*map(_cuts, box, self._piece)):
            target = tuple(cut.target for cut in cuts)
            number = sum(cut.at * stride for cut, stride in zip(cuts, strides, strict=True))
            if not page.counts[number]:
                pixels[target] = self._keyframe.nodata
                continue
            if whole:  # nobody will ask for this piece again
                piece = self._decode(file, page, number)
            else:
                key = (self._identity, page.number, number)
                piece = self._cache.get(key, functools.partial(self._decode, file, page, number))
            pixels[target] = piece[tuple(cut.source for cut in cuts[1:])]
        return pixels

    def _decode(self, file: BinaryIO, page: Page, number: int) -> NDArray[np.generic]:
        """Return strip or tile `number` as (depth, rows, columns, interleaved samples)."""
        data = self._exactly(file, int(page.offsets[number]), int(page.counts[number]))
        height, width = announced_size(data, self._name)
        if height > self._piece[2] + PADDING or width > self._piece[3] + PADDING:
            rows, columns = self._piece[2:4]
            why = f"{height} × {width} pixels were stored in a part of {rows} × {columns}"
            raise damaged(self._name, "TIFF", why)
        tables = {"jpegtables": page.jpeg_tables, "jpegheader": self._keyframe.jpegheader}
        place = functools.partial(self._place, page, number)
        with decoding(self._content.path, self._name, "TIFF", part="pixels", place=place) as records:
            piece, *_ = self._keyframe.decode(data, number, **tables)
        if piece is None or any(record.levelno >= logging.WARNING for record in records):
            raise damaged(self._name, "TIFF", f"its pixels{place()} cannot be unpacked")
        return piece

    def _place(self, page: Page, number: int) -> str:
        """Say where a piece is, as ImageJ counts; nothing where it is all there is."""
        of_page = f" of page {page.number + 1}" if page.number else ""
        if self.pieces == 1:
            return of_page
        row, column = np.unravel_index(number, self._grid)[2:4]
        return f" at x={column * self._piece[3]}, y={row * self._piece[2]}{of_page}"

    def _read_plain(self, file: BinaryIO, page: Page, box: Box) -> NDArray[np.generic]:
        pixels = np.empty(lengths(box), self._dtype.newbyteorder(self._keyframe.parent.byteorder))
        samples, depths, *rest = box
        for s, d in itertools.product(range(samples.start, samples.stop), range(depths.start, depths.stop)):
            start = int(page.offsets[0]) + (s * self.shape[1] + d) * math.prod(self.shape[2:]) * pixels.itemsize
            self._read_rows(file, start, rest, pixels[s - samples.start, d - depths.start])
        return pixels.astype(self._dtype, copy=False)

    def _read_rows(self, file: BinaryIO, start: int, box: Sequence[slice], pixels: NDArray[np.generic]) -> None:
        """Fill `pixels` (rows, columns, samples) from the plane that begins at byte `start`."""
        y, x, c = box
        width, samples = self.shape[3:]
        pixel_bytes = samples * pixels.itemsize
        if (x, c) == (slice(0, width), slice(0, samples)):
            self._fill(file, start + y.start * width * pixel_bytes, pixels)
            return
        few = (x.stop - x.start) * FEW_COLUMNS < width
        columns = x if few else slice(0, width)
        rows = 1 if few else max(1, BAND_BYTES // (width * pixel_bytes))
        for top in range(y.start, y.stop, rows):
            height = min(rows, y.stop - top)
            band = np.empty((height, columns.stop - columns.start, samples), pixels.dtype)
            self._fill(file, start + (top * width + columns.start) * pixel_bytes, band)
            pixels[top - y.start :][:height] = band[:, x.start - columns.start : x.stop - columns.start, c]

    def _fill(self, file: BinaryIO, start: int, pixels: NDArray[np.generic]) -> None:
        file.seek(start)
        count = cast("io.RawIOBase", file).readinto(pixels.data.cast("B")) or 0
        if count < pixels.nbytes:
            raise cut_short(self._name, start + pixels.nbytes, start + count)

    def _exactly(self, file: BinaryIO, start: int, count: int) -> bytes:
        file.seek(start)
        data = file.read(count)
        if len(data) < count:
            raise cut_short(self._name, start + count, start + len(data))
        return data


def cut_short(name: str, needed: int, there: int) -> InputError:
    """Return the error for pixels that lie beyond the end of the file."""
    return damaged(name, "TIFF", f"its pixels need {needed} bytes but it has {there}")


def lengths(box: Sequence[slice]) -> tuple[int, ...]:
    """Return the shape of a box."""
    return tuple(part.stop - part.start for part in box)


class _Cut(NamedTuple):
    """What a box and a piece have in common along one dimension."""

    at: int
    """Which piece along this dimension."""
    target: slice
    """Its place in the box."""
    source: slice
    """Its place in the piece."""


def _cuts(part: slice, size: int) -> list[_Cut]:
    found = []
    for at in range(part.start // size, math.ceil(part.stop / size)):
        low, high = max(at * size, part.start), min((at + 1) * size, part.stop)
        found.append(_Cut(at, slice(low - part.start, high - part.start), slice(low - at * size, high - at * size)))
    return found
