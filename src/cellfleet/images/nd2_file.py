"""ND2 files of Nikon's microscopes, read by the nd2 library: every stage position is an image.

A frame holds all channels of one plane. Frames that are not compressed are mapped into memory, so that a region costs
its own bytes only. Knows nothing of what axes and colours mean.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.images.border import DAMAGE, damaged, decoding
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.pixel_size import PixelSize
from cellfleet.images.source import Source
from cellfleet.images.stored import DEFLATE_RATIO, DENSE_RATIO, Stored, check_claim, check_dtype, check_piece
from cellfleet.images.vendor import OpenLater, check_local, missing_library, no_such_image, numbers

if TYPE_CHECKING:
    from nd2 import ND2File

KIND = "ND2"
POSITION = "P"
KNOWN_LOOPS = "TZ"
FRAME_LETTERS = "CYXS"


def list_nd2_images(path: str) -> list[str]:
    """Return the number of every stage position, from 0; ``[""]`` where there is one.

    Raises:
        InputError: E104, E106, E140, E143.
    """
    with decoding(path, path, KIND, part="header"), _open(path, path) as file:
        return numbers(int(file.sizes.get(POSITION, 1)))


def read_nd2_header(source: Source, name: str, cache: ChunkCache) -> Stored:
    """Read the metadata of one stage position; unpacked frames are kept in `cache`.

    Raises:
        InputError: E104, E106 to E108, E140, E143, E144.
        ImageError: E204.
    """
    with decoding(source.path, name, KIND, part="header"), _open(source.path, name) as file:
        frames = _Frames(file, source, name, cache)
        names, sizes, notices = _describe(file)
    return Stored(
        axes=frames.axes,
        shape=frames.shape,
        dtype=frames.dtype,
        read=frames.read,
        colours=frames.axes.endswith("S"),
        channel_names=names,
        pixel_sizes=sizes,
        notices=(*frames.notices, *notices),
        unit="planes",
        region_bytes=frames.frame_bytes if frames.packed else 0,
    )


class _Frames:
    """The frames of one stage position. The leading dimensions count frames, the others are those of a frame."""

    def __init__(self, file: ND2File, source: Source, name: str, cache: ChunkCache) -> None:
        self.notices: tuple[Notice, ...] = ()
        self._name = name
        self._path = source.path
        self._cache = cache
        self._file = OpenLater(functools.partial(_open, source.path, name))
        attributes = file.attributes
        channels = attributes.channelCount or 1
        samples, rest = divmod(attributes.componentCount, channels)
        if rest or not samples:
            raise damaged(name, KIND, f"{attributes.componentCount} values a pixel do not make {channels} channels")
        self._frame_shape = (channels, attributes.heightPx, attributes.widthPx or 0, samples)
        self.dtype = check_dtype(file.dtype, name)
        self.packed = attributes.compressionType is not None or file.is_legacy
        self.frame_bytes = math.prod(self._frame_shape) * file.dtype.itemsize
        stored_bytes = Path(source.path).stat().st_size
        ratio = (DENSE_RATIO if file.is_legacy else DEFLATE_RATIO) if self.packed else 1
        check_claim(self.frame_bytes, stored_bytes, ratio, name)
        if self.packed:
            check_piece(self.frame_bytes, name)
        self._numbers, loops = self._frame_numbers(file, source.inside, stored_bytes)
        self.axes = loops + ("CYXS" if samples > 1 else "CYX")
        self.shape = (*self._numbers.shape, *self._frame_shape[: 4 if samples > 1 else 3])

    def _frame_numbers(self, file: ND2File, inside: str, stored_bytes: int) -> tuple[NDArray[np.intp], str]:
        """Return the frame number for each index of the leading dimensions, and those dimensions' letters."""
        loops = {letter: length for letter, length in file.sizes.items() if letter not in FRAME_LETTERS}
        count, there = math.prod(loops.values()), file.attributes.sequenceCount
        if count > stored_bytes:
            raise damaged(self._name, KIND, f"it announces {count} frames")
        if there < count:
            self.notices = (
                Notice("W141", f"Its metadata announce {count} frames but {there} are there; the others are read as 0"),
            )
        numbers = np.arange(count, dtype=np.intp).reshape(tuple(loops.values()))
        position = int(inside or 0)
        if not 0 <= position < loops.get(POSITION, 1):
            raise no_such_image(KIND, inside, self._name)
        if POSITION in loops:
            numbers = np.moveaxis(numbers, list(loops).index(POSITION), 0)[position]
        letters = "".join(letter if letter in KNOWN_LOOPS else "Q" for letter in loops if letter != POSITION)
        return numbers, letters

    def read(self, fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        """Read the frames that hold a selection; see `Stored.read`."""
        index = tuple(fixed.get(i, slice(None)) for i in range(len(self.shape)))
        leading = self._numbers.ndim
        numbers = self._numbers[index[:leading]]
        regions = [self._region(int(number), index[leading:]) for number in np.ravel(numbers)]
        if np.ndim(numbers) == 0:
            return regions[0]
        return np.stack(regions).reshape(*numbers.shape, *regions[0].shape)

    def _region(self, number: int, index: tuple[int | slice, ...]) -> NDArray[np.generic]:
        if self.packed:
            frame = self._cache.get(number, lambda: self._frame(number, ()))
            return frame[index]
        return self._frame(number, index)

    def _frame(self, number: int, index: tuple[int | slice, ...]) -> NDArray[np.generic]:
        """Return a copy of a part of a frame: the file may be closed while it is in use."""
        with decoding(self._path, self._name, KIND, part="pixels"), self._file.opened() as file:
            frame = file.read_frame(number).reshape(self._frame_shape)
            if self._frame_shape[-1] == 1:
                frame = frame[..., 0]
            return np.array(frame[index])


def _open(path: str, name: str) -> ND2File:
    check_local(path, KIND, name)
    try:
        import nd2  # noqa: PLC0415 (an extra, and slow to import)
    except ImportError as error:
        raise missing_library(KIND, name) from error
    return nd2.ND2File(path)


def _describe(file: ND2File) -> tuple[tuple[str, ...], tuple[PixelSize, ...], tuple[Notice, ...]]:
    """Return the names of the channels, the size of a pixel, and a notice where the library cannot tell."""
    try:
        channels = file.metadata.channels or []
    except (*DAMAGE, UnboundLocalError):  # nd2 0.12 stumbles over channels without a dye
        return (), (), (Notice("W140", "Its channel names and pixel size cannot be made out and are ignored"),)
    names = tuple(channel.channel.name for channel in channels)
    # Of a camera that was not calibrated nd2 says 1 µm.
    if not channels or not all(channels[0].volume.axesCalibrated[:2]):
        return names, (), ()
    x, y, _ = channels[0].volume.axesCalibration
    return names, (PixelSize(y, x, "nd2"),), ()
