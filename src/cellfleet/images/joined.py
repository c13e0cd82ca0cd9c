"""Several images of one plane each, taken as one: its channels are theirs, read when asked for. Knows no formats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cellfleet.errors import ImageError
from cellfleet.images.image import Image, Plane


def planes_as_channels(image: Image) -> Image:
    """Return the image with its only axis beside Y and X as channels.

    Raises:
        ImageError: E055, it has several such axes.
    """
    extra = image.axes.removesuffix("YX")
    if extra in {"", "C"}:
        return image
    if len(extra) > 1:
        lengths = " × ".join(f"{length} {axis}" for axis, length in zip(image.axes, image.shape, strict=True))
        raise ImageError(
            "E055",
            f"has more than channels ({lengths})",
            where=image.name,
            action="Save one plane of it, with channels",
        )

    def read(_t: int, _z: int, channels: Sequence[int], y: slice, x: slice) -> Plane:
        at = [(channel, 0) if extra == "T" else (0, channel) for channel in channels]
        return np.concatenate([image.read(t, z, y=y, x=x) for t, z in at])

    return replace(image, axes="CYX", reader=read, channel_names=("",) * image.shape[0], overview=None)


def joined(parts: Sequence[tuple[Image, Sequence[int]]], name: str) -> Image:
    """Return one image whose channels are some of several images, one after the other.

    Args:
        parts: Images of the axes CYX or YX, and which of their channels, from 0.
        name: Of the result.

    Raises:
        ImageError: E055, an image has no such channel; E056, two differ in size.
    """
    first, _ = parts[0]
    for image, channels in parts:
        _require(image, channels, first)
    sources = [(image, channel) for image, channels in parts for channel in channels]

    def read(_t: int, _z: int, channels: Sequence[int], y: slice, x: slice) -> Plane:
        # Neighbours of one image are read at once: where colours are interleaved they cost as much as one.
        wanted = itertools.groupby((sources[channel] for channel in channels), key=lambda source: id(source[0]))
        its = [list(group) for _, group in wanted]
        return np.concatenate([group[0][0].read(channels=[c for _, c in group], y=y, x=x) for group in its])

    return Image(
        name=name,
        axes="CYX",
        shape=(len(sources), first.length("Y"), first.length("X")),
        dtype=np.result_type(*(image.dtype for image, _ in parts)),
        reader=read,
        channel_names=tuple(image.channel_names[channel] for image, channel in sources),
        microns_per_pixel=first.microns_per_pixel,
        microns_per_pixel_source=first.microns_per_pixel_source,
        region_bytes=max(image.region_bytes for image, _ in parts),
    )


def blank_like(image: Image) -> Image:
    """Return an image of the same size with one channel that shows nothing."""

    def read(_t: int, _z: int, channels: Sequence[int], y: slice, x: slice) -> Plane:
        return np.zeros((len(channels), y.stop - y.start, x.stop - x.start), image.dtype)

    size = (image.length("Y"), image.length("X"))
    return Image(name="blank", axes="YX", shape=size, dtype=image.dtype, reader=read)


def _require(image: Image, channels: Sequence[int], first: Image) -> None:
    missing = [channel for channel in channels if not 0 <= channel < image.channels]
    if missing:
        raise ImageError(
            "E055",
            f"has no channel {missing[0]}: it has {image.channels}, counted from 0",
            where=image.name,
            action="Choose another with --nuclear-channel or --membrane-channel",
        )
    sizes = [f"{one.length('Y')} × {one.length('X')} px" for one in (first, image)]
    if sizes[0] != sizes[1]:
        raise ImageError(
            "E056",
            f"is {sizes[1]}, and {first.name} is {sizes[0]}",
            where=image.name,
            action="Give images of the same field at the same size",
        )
