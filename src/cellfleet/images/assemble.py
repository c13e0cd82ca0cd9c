"""From what is stored to an `Image`: settle axes, colours, channel names and pixel size.

Only a colour picture is decoded on opening, because whether it is grey can be seen in its pixels only; those
pixels are kept until they are asked for. A large one is judged by its small copy, where the file has one, or by
windows. Knows no file formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ImageError, Notice
from cellfleet.images.axes import DROPPED, settle_axes
from cellfleet.images.colour import COLOUR_NAMES, GREY_SAMPLE, Colours, is_grey, judge_colours
from cellfleet.images.image import Image, Plane, Reader
from cellfleet.images.pixel_size import settle_pixel_size
from cellfleet.images.stored import Stored, check_sizes

ALPHA_SAMPLES = (2, 4)
"""Colour pictures with this many samples end in transparency."""
LARGEST_JUDGED_WHOLE = 4096 * 4096
"""Pixels of a colour plane that are all looked at; larger ones are judged by windows."""
WINDOWS, WINDOW = 4, 256
"""Windows along each side, on an even grid, and their side in pixels."""


@dataclass(frozen=True)
class _Channels:
    """How the samples (S) of each stored channel become channels."""

    names: tuple[str, ...]
    samples: tuple[int, int | None] = (0, None)
    """First and end of the samples that are channels."""
    notices: tuple[Notice, ...] = ()
    grey: bool = False
    """Whether planes must have equal colours."""
    blank: frozenset[int] = frozenset()


def assemble(stored: Stored, name: str, axes: str | None) -> Image:
    """Make an image of `stored`; `axes` are the user's.

    Raises:
        InputError: A colour picture is damaged.
        ImageError: E201, E202, E203, E205.
    """
    check_sizes(stored.shape, name)
    letters, notices = settle_axes(stored.axes, stored.shape, override=axes, name=name, unit=stored.unit)
    lengths = dict(zip(letters, stored.shape, strict=True))
    planes = _Planes(stored, letters, lengths)
    channels = _settle_channels(planes, colours_by_user="S" in (axes or "").upper())
    lengths = {**lengths, "C": len(channels.names)}
    image_axes = "".join(letter for letter in "TCZ" if lengths.get(letter, 1) > 1) + "YX"
    smaller = stored.overview
    microns, source, size_notices = settle_pixel_size(stored.pixel_sizes)
    return Image(
        name=name,
        axes=image_axes,
        shape=tuple(lengths[letter] for letter in image_axes),
        dtype=stored.dtype,
        reader=_reader(planes, channels, name),
        channel_names=channels.names,
        microns_per_pixel=microns,
        microns_per_pixel_source=source,
        notices=(*stored.notices, *notices, *channels.notices, *size_notices),
        blank_channels=channels.blank,
        region_bytes=stored.region_bytes,
        overview=smaller and (lambda side: assemble(smaller(side), name, axes)),
    )


@dataclass(frozen=True)
class _Planes:
    """Regions of what is stored, as (C, S, Y, X)."""

    stored: Stored
    letters: str
    lengths: dict[str, int]
    decoded: dict[tuple[int, int], NDArray[np.generic]] = field(default_factory=dict)
    """(t, z) → a whole plane that was decoded already, handed out once."""

    def read(self, t: int, z: int, c: slice, y: slice, x: slice) -> NDArray[np.generic]:
        whole = all(self._is_whole(letter, part) for letter, part in zip("CYX", (c, y, x), strict=True))
        kept = self.decoded.pop((t, z), None) if whole else self.decoded.get((t, z))
        if kept is not None:
            return kept[c, :, y, x]
        at: dict[str, int | slice] = {DROPPED: 0, "T": t, "Z": z, "C": c, "Y": y, "X": x}
        pixels = self.stored.read({i: at[letter] for i, letter in enumerate(self.letters) if letter in at})
        left = [letter for letter in self.letters if letter in "CSYX"]
        wanted = [letter for letter in "CSYX" if letter in left]
        pixels = pixels.transpose([left.index(letter) for letter in wanted])
        for place, letter in enumerate("CS"):
            if letter not in wanted:
                pixels = np.expand_dims(pixels, place)
        return pixels.astype(self.stored.dtype, copy=False)

    def samples(self) -> NDArray[np.generic]:
        """Return pixels to judge the colours by, (C, S, Y, X): a small copy, or the middle plane, or windows of it."""
        small = self.stored.small
        if small is not None and self.count == 1 and small.shape[-1] == self.lengths["S"]:
            return small.transpose(2, 0, 1)[np.newaxis]
        # Of a stack, the middle is the plane most likely to show something.
        middle = (self.lengths.get("T", 1) // 2, self.lengths.get("Z", 1) // 2)
        height, width = self.lengths["Y"], self.lengths["X"]
        if height * width <= LARGEST_JUDGED_WHOLE:
            pixels = self.read(*middle, slice(0, self.count), slice(0, height), slice(0, width))
            self.decoded[middle] = pixels
            return pixels
        windows = [
            self.read(*middle, slice(0, self.count), y, x).reshape(self.count, self.lengths["S"], 1, -1)
            for y in _windows(height)
            for x in _windows(width)
        ]
        return np.concatenate(windows, axis=-1)

    @property
    def count(self) -> int:
        """Number of stored channels."""
        return self.lengths.get("C", 1)

    def _is_whole(self, letter: str, part: slice) -> bool:
        return part == slice(0, self.lengths.get(letter, 1))


def _windows(length: int) -> Iterator[slice]:
    for i in range(WINDOWS):
        start = max(0, (2 * i + 1) * length // (2 * WINDOWS) - WINDOW // 2)
        yield slice(start, min(start + WINDOW, length))


def _reader(planes: _Planes, channels: _Channels, name: str) -> Reader:
    """Return the function that reads channels, which may be samples of stored channels, of a region."""
    samples = range(planes.lengths.get("S", 1))[slice(*channels.samples)]

    def read(t: int, z: int, wanted: Sequence[int], y: slice, x: slice) -> Plane:
        stored = sorted({channel // len(samples) for channel in wanted})
        blocks = [planes.read(t, z, run, y, x) for run in _runs(stored)]
        if channels.grey and not all(is_grey(channel) for block in blocks for channel in block):
            raise ImageError(
                "E207",
                f"plane t={t + 1}, z={z + 1} is in colour, but what was looked at first is grey",
                where=name,
                action="Say that the colours are channels with --axes, with C in the place of S",
            )
        found = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
        found = found[:, samples.start : samples.stop].reshape(-1, *found.shape[-2:])
        order = [stored.index(channel // len(samples)) * len(samples) + channel % len(samples) for channel in wanted]
        return np.ascontiguousarray(found if order == list(range(len(found))) else found[order])

    return read


def _runs(numbers: Sequence[int]) -> Iterator[slice]:
    """Yield the runs of consecutive numbers in an ascending list: each is read in one go."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield slice(numbers[start], numbers[i - 1] + 1)
            start = i


def _settle_channels(planes: _Planes, *, colours_by_user: bool) -> _Channels:
    """Decide what samples mean."""
    stored, count, samples = planes.stored, planes.count, planes.lengths.get("S", 1)
    names = stored.channel_names if len(stored.channel_names) == count else ("",) * count
    if samples == 2 and stored.colours:
        return _Channels(names, (0, 1), (_transparency_ignored("greys"),))
    if samples not in (3, 4) or not (stored.colours or colours_by_user):
        return _Channels(names if samples == 1 else ("",) * (count * samples))
    judged = [judge_colours(plane) for plane in planes.samples()]
    alpha = samples in ALPHA_SAMPLES
    if all(colours.grey for colours in judged):
        return _Channels(names, (GREY_SAMPLE, GREY_SAMPLE + 1), (_read_as_grey(alpha),), grey=True)
    return _Channels(
        tuple(f"{channel} {colour}".strip() for channel in names for colour in COLOUR_NAMES),
        (0, 3),
        (_transparency_ignored("colours"),) if alpha else (),
        blank=_blank(judged),
    )


def _blank(judged: list[Colours]) -> frozenset[int]:
    return frozenset(3 * i + colour for i, colours in enumerate(judged) for colour in colours.blank)


def _transparency_ignored(what: str) -> Notice:
    return Notice("W110", f"Its transparency (alpha) is ignored, only its {what} are read")


def _read_as_grey(alpha: bool) -> Notice:
    ignored = ", its transparency (alpha) is ignored" if alpha else ""
    return Notice("W111", f"Stored in colour with red, green and blue equal: read as one grey channel{ignored}")
