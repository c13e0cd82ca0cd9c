"""TIFF files of all kinds (strip, tiled, BigTIFF, ImageJ, OME, pyramids): header first, pages when asked for.

tifffile finds the series; this module checks what a header claims and knows which pages hold which part of the image.
It does not know what nameless dimensions mean, nor how a page is stored (see `tiff_pages.py`).
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import ImageError, InputError, Notice
from cellfleet.images import tiff_metadata
from cellfleet.images.border import damaged, decoding, reading, unsupported_codec
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.content import Content
from cellfleet.images.stored import (
    DEFLATE_RATIO,
    DENSE_RATIO,
    Stored,
    check_claim,
    check_dtype,
    check_piece,
    check_sizes,
)
from cellfleet.images.tiff_pages import Box, Page, PageReader, cut_short, lengths
from cellfleet.images.tiff_pixels import Conversion, conversion_of

UNCOMPRESSED = 1
DEFLATE_LIKE = frozenset({5, 8, 32946, 32773})
"""LZW, deflate (both codes), PackBits."""


def read_tiff_header(content: Content, name: str, cache: ChunkCache, *, least_side: int | None = None) -> Stored:
    """Read the first image of a TIFF file up to its pixels; unpacked strips and tiles are kept in `cache`.

    Args:
        content: The file.
        name: Of the image.
        cache: Of this file alone.
        least_side: For the smallest copy in its pyramid with so many pixels along the longer side; None: the image.

    Raises:
        InputError: E104, E106 to E111: the file cannot be opened, is damaged, claims nonsense, or is of a kind
            that is not read.
        ImageError: E204, E205: its pixels are of no use.
    """
    with decoding(content.path, name, "TIFF", part="header") as records, content.open() as file:
        # _multifile=False: an OME file that is one of a set must not open the others, each is an input of its own.
        tif = tifffile.TiffFile(file, name=os.path.basename(content.path), _multifile=False)
        pages = _Series(tif, _first_series(tif, name, least_side), content, name, cache)
        has_pyramid = len(tif.series[0].levels) > 1
        if any(record.levelno >= logging.ERROR for record in records):
            # tifffile goes on with the pages that it found; an image without its other half is no image.
            raise damaged(name, "TIFF", "its list of pages or its metadata break off")
        ome = tiff_metadata.ome_image(tif)
        names = tiff_metadata.channel_names(tif, ome)
        sizes = tiff_metadata.pixel_sizes(tif, ome)
        notices = (*pages.notices, *tiff_metadata.other_series(tif))
        small = pages.small_colours()
    return Stored(
        axes=pages.axes,
        shape=pages.shape,
        dtype=check_dtype(pages.conversion.dtype, name),
        read=pages.read,
        colours=pages.conversion.colours,
        channel_names=names,
        pixel_sizes=sizes,
        notices=(*notices, *_complaints(records)),
        small=small,
        region_bytes=pages.region_bytes,
        overview=(lambda side: read_tiff_header(content, name, cache.apart(), least_side=side))
        if has_pyramid
        else None,
    )


def _first_series(tif: tifffile.TiffFile, name: str, least_side: int | None) -> tifffile.TiffPageSeries:
    if not len(tif.pages):
        raise InputError("E110", "this TIFF file holds no image", where=name, action="Export it again")
    tiff_metadata.refuse_unsafe_xml(tif, name)
    levels = tif.series[0].levels
    enough = [level for level in levels if least_side is not None and _longer_side(level) >= least_side]
    series = enough[-1] if enough else levels[0]
    check_sizes(series.shape, name)
    if series.keyframe.dtype is None:
        raise unsupported_codec(name, f"as {series.keyframe.bitspersample} bits per sample")
    return series


def _longer_side(series: tifffile.TiffPageSeries) -> int:
    return max((length for letter, length in zip(series.axes, series.shape, strict=True) if letter in "YX"), default=0)


def _complaints(records: list[logging.LogRecord]) -> tuple[Notice, ...]:
    """Turn the warnings of tifffile into one notice: it went on, but something about the file is odd."""
    texts = [" ".join(record.getMessage().split()) for record in records if record.levelno == logging.WARNING]
    texts = [text for text in texts if "Missing data are zeroed" not in text]  # told as W114: we read what is there
    if not texts:
        return ()
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return (Notice("W102", f"The file is not quite sound, look at the result: {texts[0][:160]}{more}"),)


class _Series:
    """One series of a file, read on request.

    The leading dimensions of the series count pages; the trailing ones lie within a page.
    """

    def __init__(
        self,
        tif: tifffile.TiffFile,
        series: tifffile.TiffPageSeries,
        content: Content,
        name: str,
        cache: ChunkCache,
    ) -> None:
        self.name = name
        self.notices: tuple[Notice, ...] = ()
        self._content = content
        self._series = series
        self._file_bytes: int = tif.filehandle.size
        keyframe = series.keyframe
        self._reader = PageReader(keyframe, content, name, cache)
        self._pages: list[Page | None] = []
        self.axes, self.shape, self._numbers = self._present(series, keyframe)
        self._leading = self._numbers.ndim
        self._page_shape = self.shape[self._leading :]
        self._dimensions = _dimensions(self._page_shape, self._reader.shape)
        self.conversion: Conversion = conversion_of(keyframe, is_imagej=tif.is_imagej, name=name)
        self.axes += self.conversion.added_axes
        self.shape += self.conversion.added_shape
        self._check_claims(keyframe)

    @property
    def region_bytes(self) -> int:
        """Bytes that must be held to read any small region."""
        if self._dimensions is None:
            return self._series.keyframe.nbytes
        return 0 if self._reader.is_plain else self._reader.piece_bytes

    def _present(
        self, series: tifffile.TiffPageSeries, keyframe: tifffile.TiffPage
    ) -> tuple[str, tuple[int, ...], NDArray[np.intp]]:
        """List the pages; return axes, shape, and the page's number for each index of the leading dimensions."""
        leading = _leading_dimensions(series.shape, math.prod(keyframe.shape))
        # Every plane takes at least a byte of the file; checked before anything is as long as the claim.
        if leading is None or math.prod(series.shape[:leading]) > self._file_bytes:
            raise damaged(self.name, "TIFF", "the size of its pages does not fit its metadata")
        numbers = np.arange(math.prod(series.shape[:leading]), dtype=np.intp).reshape(series.shape[:leading])
        self._pages = list(self._list_pages(series, keyframe, numbers.size))
        there = np.zeros(numbers.size, dtype=bool)
        there[[i for i, page in enumerate(self._pages) if page is not None]] = True
        if there.all():
            return series.axes, series.shape, numbers
        numbers = _full_block(numbers, there.reshape(numbers.shape), self.name)
        self.notices = (
            Notice(
                "W114",
                f"Its metadata announce {there.size} planes but {numbers.size} are there; those are read",
            ),
        )
        return series.axes, (*numbers.shape, *series.shape[leading:]), numbers

    def _list_pages(
        self, series: tifffile.TiffPageSeries, keyframe: tifffile.TiffPage, count: int
    ) -> Iterator[Page | None]:
        """Yield the planes of a series, None for those that are announced but not there."""
        if count > 1 and len(series.pages) == 1 and series.dataoffset is not None:
            # All planes follow the first page's data without pages of their own (ImageJ above 4 GB).
            end = series.dataoffset + count * keyframe.nbytes
            if end > self._file_bytes:
                raise cut_short(self.name, end, self._file_bytes)
            for number in range(count):
                offset = np.array([series.dataoffset + number * keyframe.nbytes], np.int64)
                yield Page(number, offset, np.array([keyframe.nbytes], np.int64))
            return
        for number, page in enumerate(series.pages[:count]):
            yield None if page is None else Page.of(page, number)

    def _check_claims(self, keyframe: tifffile.TiffPage) -> None:
        first = self._page(self._numbers.flat[0])
        pieces = int(np.count_nonzero(first.counts))
        stored = min(int(first.counts.sum()), self._file_bytes)
        if self._reader.is_plain:
            check_claim(keyframe.nbytes, stored, 1, self.name)
            return
        ratio = 1 if keyframe.compression == UNCOMPRESSED else DENSE_RATIO
        ratio = DEFLATE_RATIO if keyframe.compression in DEFLATE_LIKE else ratio
        # Packed bits (1 to 7, 12 …) grow when they are unpacked.
        unpacked = keyframe.dtype.itemsize * 8 / max(1, keyframe.bitspersample) if keyframe.dtype else 1
        claimed = max(min(keyframe.nbytes, pieces * self._reader.piece_bytes), self._reader.piece_bytes)
        check_claim(claimed, stored, math.ceil(ratio * unpacked), self.name)
        check_piece(self._reader.piece_bytes, self.name)
        if len(first.counts) < self._reader.pieces:
            raise damaged(self.name, "TIFF", "its list of strips or tiles breaks off")

    def small_colours(self) -> NDArray[np.generic] | None:
        """Return the smallest pyramid level of a one-page colour image (Y, X, S), None where there is no pyramid."""
        levels = self._series.levels if self.conversion.colours else []
        if len(levels) < 2 or len(levels[-1].pages) != 1 or not levels[-1].axes.endswith("YXS"):
            return None
        small: NDArray[np.generic] = levels[-1].asarray(maxworkers=1)
        return small.reshape(small.shape[-3:])

    def read(self, fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        """Unpack what holds a selection; see `Stored.read`."""
        wanted = [_part(fixed.get(i), length) for i, length in enumerate(self.shape)]
        numbers = self._numbers[tuple(wanted[: self._leading])]
        with reading(self._content.path, self.name), self._content.open() as file:
            blocks = [self._block(file, self._page(number), wanted[self._leading :]) for number in numbers.flat]
        pixels = blocks[0] if len(blocks) == 1 else np.stack(blocks)
        del blocks
        pixels = pixels.reshape(lengths(wanted))
        return pixels[tuple(0 if isinstance(fixed.get(i), int) else slice(None) for i in range(len(self.shape)))]

    def _page(self, number: np.intp) -> Page:
        page = self._pages[int(number)]
        assert page is not None, "numbers hold only pages that are there"
        return page

    def _block(self, file: BinaryIO, page: Page, wanted: Sequence[slice]) -> NDArray[np.generic]:
        """Return a part of one page in its trailing dimensions, converted; `wanted` includes those that are added."""
        if page.end > self._file_bytes:  # tifffile would return less or fill in zeros
            raise cut_short(self.name, page.end, self._file_bytes)
        stored, added = wanted[: len(self._page_shape)], tuple(wanted[len(self._page_shape) :])
        if self._dimensions is None:
            whole = _box({}, self._reader.shape)
            pixels = self._reader.read(file, page, whole).reshape(self._page_shape)[tuple(stored)]
        else:
            parts = {at: part for at, part in zip(self._dimensions, stored, strict=True) if at is not None}
            pixels = self._reader.read(file, page, _box(parts, self._reader.shape)).reshape(lengths(stored))
        with decoding(self._content.path, self.name, "TIFF", part="pixels"):  # a colour table may be too short
            pixels = self.conversion.apply(pixels)
        return pixels[(slice(None),) * len(stored) + added]


def _part(wanted: int | slice | None, length: int) -> slice:
    """Return a selection along one dimension as a slice with both ends."""
    if isinstance(wanted, int):
        return slice(wanted, wanted + 1)
    return slice(0, length) if wanted is None else slice(*wanted.indices(length)[:2])


def _box(parts: Mapping[int, slice], shape: tuple[int, ...]) -> Box:
    s, d, y, x, c = (parts.get(i, slice(0, length)) for i, length in enumerate(shape))
    return s, d, y, x, c


def _dimensions(trailing: tuple[int, ...], page: tuple[int, ...]) -> list[int | None] | None:
    """Return which dimension of a page each trailing one is (None for one of length 1); None if they do not match."""
    longer = [i for i, length in enumerate(page) if length > 1]
    if [length for length in trailing if length > 1] != [page[i] for i in longer]:
        return None
    left = iter(longer)
    return [next(left) if length > 1 else None for length in trailing]


def _leading_dimensions(shape: tuple[int, ...], page_size: int) -> int | None:
    """Return how many leading dimensions count pages of `page_size` pixels."""
    for leading in range(len(shape) + 1):
        if math.prod(shape[leading:]) == page_size:
            return leading
    return None


def _full_block(numbers: NDArray[np.intp], there: NDArray[np.bool_], name: str) -> NDArray[np.intp]:
    """Return the page numbers of the rectangular block of pages that are in the file."""
    kept = [
        np.flatnonzero(there.any(axis=tuple(other for other in range(there.ndim) if other != axis)))
        for axis in range(there.ndim)
    ]
    block = np.ix_(*kept)
    if not there.any() or not there[block].all():
        raise ImageError(
            "E206",
            f"holds only {int(there.sum())} of the {there.size} planes that its metadata announce, with gaps",
            where=name,
            action="Export the whole image into one file",
        )
    return numbers[block]
