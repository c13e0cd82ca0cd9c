"""From what is stored to an `Image`: settle axes, colours, channel names and pixel size.

Only a colour picture is decoded on opening, because whether it is grey can be seen in its pixels only; those
pixels are kept until they are asked for. Knows no file formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ImageError, Notice
from cellfleet.images.axes import DROPPED, settle_axes
from cellfleet.images.colour import COLOUR_NAMES, GREY_SAMPLE, Colours, is_grey, judge_colours
from cellfleet.images.image import Image, Plane
from cellfleet.images.pixel_size import settle_pixel_size
from cellfleet.images.stored import Stored, check_sizes

ALPHA_SAMPLES = (2, 4)
"""Colour pictures with this many samples end in transparency."""


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
    decoded: dict[tuple[int, int], NDArray[np.generic]] = {}
    channels = _settle_channels(stored, letters, lengths, decoded, colours_by_user="S" in (axes or "").upper())
    lengths["C"] = len(channels.names)
    image_axes = "".join(letter for letter in "TCZ" if lengths.get(letter, 1) > 1) + "YX"
    microns, source, size_notices = settle_pixel_size(stored.pixel_sizes)
    return Image(
        name=name,
        axes=image_axes,
        shape=tuple(lengths[letter] for letter in image_axes),
        dtype=stored.dtype,
        reader=_reader(stored, letters, channels, decoded, name),
        channel_names=channels.names,
        microns_per_pixel=microns,
        microns_per_pixel_source=source,
        notices=(*stored.notices, *notices, *channels.notices, *size_notices),
        blank_channels=channels.blank,
    )


def _read_samples(stored: Stored, letters: str, t: int, z: int) -> NDArray[np.generic]:
    """Return one plane as (C, S, Y, X)."""
    at = {DROPPED: 0, "T": t, "Z": z}
    pixels = stored.read({i: at[letter] for i, letter in enumerate(letters) if letter in at})
    left = [letter for letter in letters if letter not in at]
    wanted = [letter for letter in "CSYX" if letter in left]
    pixels = pixels.transpose([left.index(letter) for letter in wanted])
    for place, letter in enumerate("CS"):
        if letter not in wanted:
            pixels = np.expand_dims(pixels, place)
    return pixels.astype(stored.dtype, copy=False)


def _reader(
    stored: Stored,
    letters: str,
    channels: _Channels,
    decoded: dict[tuple[int, int], NDArray[np.generic]],
    name: str,
) -> Callable[[int, int], Plane]:
    """Return the function (t, z) → (C, Y, X); `decoded` holds planes read already, each handed out once."""

    def read(t: int, z: int) -> Plane:
        samples = decoded.pop((t, z), None)
        if samples is None:
            samples = _read_samples(stored, letters, t, z)
        if channels.grey and not all(is_grey(channel) for channel in samples):
            raise ImageError(
                "E207",
                f"plane t={t + 1}, z={z + 1} is in colour, but the middle plane is grey",
                where=name,
                action="Say that the colours are channels with --axes, with C in the place of S",
            )
        plane = samples[:, slice(*channels.samples)]
        return np.ascontiguousarray(plane.reshape(-1, *plane.shape[-2:]))

    return read


def _settle_channels(
    stored: Stored,
    letters: str,
    lengths: dict[str, int],
    decoded: dict[tuple[int, int], NDArray[np.generic]],
    *,
    colours_by_user: bool,
) -> _Channels:
    """Decide what samples mean; put a plane that had to be decoded for it into `decoded`."""
    count, samples = lengths.get("C", 1), lengths.get("S", 1)
    names = stored.channel_names if len(stored.channel_names) == count else ("",) * count
    if samples == 2 and stored.colours:
        return _Channels(names, (0, 1), (_transparency_ignored("greys"),))
    if samples not in (3, 4) or not (stored.colours or colours_by_user):
        return _Channels(names if samples == 1 else ("",) * (count * samples))
    if stored.small is not None and count == 1 and stored.small.shape[-1] == samples:
        planes = stored.small.transpose(2, 0, 1)[np.newaxis]
    else:
        # Of a stack, the middle is the plane most likely to show something.
        middle = (lengths.get("T", 1) // 2, lengths.get("Z", 1) // 2)
        planes = decoded[middle] = _read_samples(stored, letters, *middle)
    judged = [judge_colours(plane) for plane in planes]
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
