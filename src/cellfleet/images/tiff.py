"""TIFF files of all kinds (strip, tiled, BigTIFF, ImageJ, OME, pyramids): header first, pages when asked for.

tifffile finds the series and decodes pages; this module checks what a header claims and knows which pages hold
which part of the image. It does not know what nameless dimensions mean.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import ImageError, InputError, Notice
from cellfleet.images import tiff_metadata
from cellfleet.images.border import damaged, decoding, unsupported_codec
from cellfleet.images.stored import (
    DEFLATE_RATIO,
    DENSE_RATIO,
    Stored,
    check_claim,
    check_dtype,
    check_sizes,
)
from cellfleet.images.tiff_pixels import Conversion, conversion_of

UNCOMPRESSED = 1
DEFLATE_LIKE = frozenset({5, 8, 32946, 32773})
"""LZW, deflate (both codes), PackBits."""

Page = tifffile.TiffPage | tifffile.TiffFrame


def read_tiff_header(path: Path, name: str) -> Stored:
    """Read the first image of a TIFF file up to its pixels.

    Raises:
        InputError: E104, E106 to E111: the file cannot be opened, is damaged, claims nonsense, or is of a kind
            that is not read.
        ImageError: E204, E205: its pixels are of no use.
    """
    with decoding(path, name, "TIFF", part="header") as records:
        # _multifile=False: an OME file that is one of a set must not open the others, each is an input of its own.
        tif = tifffile.TiffFile(path, _multifile=False)
        try:
            pages = _first_series(tif, path, name)
            if any(record.levelno >= logging.ERROR for record in records):
                # tifffile goes on with the pages that it found; an image without its other half is no image.
                raise damaged(name, "TIFF", "its list of pages or its metadata break off")
            ome = tiff_metadata.ome_image(tif)
            names = tiff_metadata.channel_names(tif, ome)
            sizes = tiff_metadata.pixel_sizes(tif, ome)
            notices = (*pages.notices, *tiff_metadata.other_series(tif))
            small = pages.small_colours()
        finally:
            tif.filehandle.close()
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
    )


def _first_series(tif: tifffile.TiffFile, path: Path, name: str) -> _Pages:
    if not len(tif.pages):
        raise InputError("E110", "this TIFF file holds no image", where=name, action="Export it again")
    tiff_metadata.refuse_unsafe_xml(tif, name)
    series = tif.series[0].levels[0]
    check_sizes(series.shape, name)
    if series.keyframe.dtype is None:
        raise unsupported_codec(name, f"as {series.keyframe.bitspersample} bits per sample")
    return _Pages(tif, series, path, name)


def _complaints(records: list[logging.LogRecord]) -> tuple[Notice, ...]:
    """Turn the warnings of tifffile into one notice: it went on, but something about the file is odd."""
    texts = [" ".join(record.getMessage().split()) for record in records if record.levelno == logging.WARNING]
    texts = [text for text in texts if "Missing data are zeroed" not in text]  # told as W114: we read what is there
    if not texts:
        return ()
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return (Notice("W102", f"The file is not quite sound, look at the result: {texts[0][:160]}{more}"),)


class _Pages:
    """The pages of one series, read on request.

    The leading dimensions of the series count pages; the trailing ones lie within a page.
    """

    def __init__(self, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.notices: tuple[Notice, ...] = ()
        self._tif = tif
        self._series = series
        self._lock = threading.Lock()
        keyframe = series.keyframe
        self.axes, self.shape, self._numbers = self._present(series, keyframe)
        self._leading = self._numbers.ndim
        self.conversion: Conversion = conversion_of(keyframe, is_imagej=tif.is_imagej, name=name)
        self.axes += self.conversion.added_axes
        self.shape += self.conversion.added_shape
        self._check_claims(keyframe)

    def _present(
        self, series: tifffile.TiffPageSeries, keyframe: tifffile.TiffPage
    ) -> tuple[str, tuple[int, ...], NDArray[np.intp]]:
        """Return axes, shape, and the page number for each index of the leading dimensions."""
        leading = _leading_dimensions(series.shape, math.prod(keyframe.shape))
        # Every plane takes at least a byte of the file; checked before anything is as long as the claim.
        if leading is None or math.prod(series.shape[:leading]) > self._tif.filehandle.size:
            raise damaged(self.name, "TIFF", "the size of its pages does not fit its metadata")
        lead_shape = series.shape[:leading]
        numbers = np.arange(math.prod(lead_shape), dtype=np.intp).reshape(lead_shape)
        if self._is_one_run(series, numbers.size):
            return series.axes, series.shape, numbers
        there = np.zeros(numbers.size, dtype=bool)
        there[[i for i, page in enumerate(series.pages[: numbers.size]) if page is not None]] = True
        if there.all():
            return series.axes, series.shape, numbers
        numbers = _full_block(numbers, there.reshape(lead_shape), self.name)
        self.notices = (
            Notice(
                "W114",
                f"Its metadata announce {there.size} planes but {numbers.size} are there; those are read",
            ),
        )
        return series.axes, (*numbers.shape, *series.shape[leading:]), numbers

    def _is_one_run(self, series: tifffile.TiffPageSeries, count: int) -> bool:
        """Tell whether all planes follow the first page's data without pages of their own (ImageJ above 4 GB)."""
        return count > 1 and len(series.pages) == 1 and series.dataoffset is not None

    def _check_claims(self, keyframe: tifffile.TiffPage) -> None:
        size = self._tif.filehandle.size
        if self._is_one_run(self._series, self._numbers.size):
            offset = self._series.dataoffset or 0
            self._check_end(offset + self._numbers.size * keyframe.nbytes, size)
        stored = min(sum(keyframe.databytecounts), size)
        ratio = 1 if keyframe.compression == UNCOMPRESSED else DENSE_RATIO
        ratio = DEFLATE_RATIO if keyframe.compression in DEFLATE_LIKE else ratio
        # Packed bits (1 to 7, 12 …) grow when they are unpacked.
        unpacked = keyframe.dtype.itemsize * 8 / max(1, keyframe.bitspersample) if keyframe.dtype else 1
        chunk = math.prod(keyframe.chunks) * (keyframe.dtype.itemsize if keyframe.dtype else 1)
        check_claim(max(keyframe.nbytes, chunk), stored, math.ceil(ratio * unpacked), self.name)

    def _check_end(self, end: int, size: int) -> None:
        if end > size:
            raise damaged(self.name, "TIFF", f"its pixels need {end} bytes but it has {size}")

    def small_colours(self) -> NDArray[np.generic] | None:
        """Return the smallest pyramid level of a one-page colour image (Y, X, S), None where there is no pyramid."""
        levels = self._series.levels if self.conversion.colours else []
        if len(levels) < 2 or len(levels[-1].pages) != 1 or not levels[-1].axes.endswith("YXS"):
            return None
        small: NDArray[np.generic] = levels[-1].asarray(maxworkers=1)
        return small.reshape(small.shape[-3:])

    def read(self, fixed: Mapping[int, int]) -> NDArray[np.generic]:
        """Decode the pages that hold a selection; see `Stored.read`."""
        index = tuple(fixed.get(i, slice(None)) for i in range(len(self.shape)))
        numbers = self._numbers[index[: self._leading]]
        with self._lock, decoding(self.path, self.name, "TIFF", part="pixels") as records:
            self._tif.filehandle.open()
            try:
                blocks = [self._page(int(number))[index[self._leading :]] for number in np.ravel(numbers)]
            finally:
                self._tif.filehandle.close()
        if any(record.levelno >= logging.WARNING for record in records):
            raise damaged(self.name, "TIFF", "its pixels cannot be unpacked")
        if np.ndim(numbers) == 0:
            return blocks[0]
        return np.stack(blocks).reshape(*numbers.shape, *blocks[0].shape)

    def _page(self, number: int) -> NDArray[np.generic]:
        """Return one page in the shape of the trailing dimensions, converted."""
        keyframe = self._series.keyframe
        shape = self._series.shape[self._leading :]
        if self._is_one_run(self._series, self._numbers.size):
            self._tif.filehandle.seek((self._series.dataoffset or 0) + number * keyframe.nbytes)
            dtype = np.dtype(keyframe.dtype).newbyteorder(self._tif.byteorder)
            pixels = self._tif.filehandle.read_array(dtype, math.prod(shape)).reshape(shape)
        else:
            page = self._series.pages[number]
            assert page is not None
            self._check_data(page)
            pixels = page.asarray(maxworkers=1).reshape(shape)
        return self.conversion.apply(pixels)

    def _check_data(self, page: Page) -> None:
        """Refuse data that lies beyond the end of the file: tifffile would return less or fill in zeros."""
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False) if count)
        self._check_end(max(ends, default=0), self._tif.filehandle.size)


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
