"""LIF files of Leica's microscopes: every image, and every tile of a mosaic that was not merged, is an image.

The liffile library reads the XML header and finds the blocks of pixels. The header gives the distance in bytes from one
element to the next along every dimension; pixels are not compressed, so a region is a view of the mapped file and costs
its own bytes only. Knows nothing of what axes and colours mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.border import damaged, decoding
from cellfleet.images.pixel_size import PixelSize, microns_per_unit
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored, check_dtype, check_sizes
from cellfleet.images.vendor import check_local, missing_library, no_such_image

if TYPE_CHECKING:
    from liffile import LifFile, LifImageABC

KIND = "LIF"
LETTERS = {1: "X", 2: "Y", 3: "Z", 4: "T", 10: "M"}
"""By the DimID of the header; M counts the tiles of a mosaic."""
COLOUR_TAGS = (1, 2, 3)
"""ChannelTag of red, green and blue; 0 is grey."""


@dataclass(frozen=True)
class _Dimension:
    letter: str
    length: int
    stride: int
    """Bytes from one element to the next."""
    microns: float | None = None
    """From the middle of one element to the next; None where the header has no length."""


def list_lif_images(path: str) -> list[str]:
    """Return the number of every image, from 0; of a mosaic ``2/0``, ``2/1`` …; ``[""]`` where there is one in all.

    Raises:
        InputError: E104, E106, E140, E143.
    """
    found = []
    with decoding(path, path, KIND, part="header"), _open(path, path) as file:
        for number, image in enumerate(_images(file)):
            tiles = next((each.length for each in _dimensions(image.xml_element) if each.letter == "M"), 1)
            found += [f"{number}/{tile}" for tile in range(tiles)] if tiles > 1 else [str(number)]
    return found if len(found) > 1 else [""] * len(found)


def read_lif_header(source: Source, name: str) -> Stored:
    """Read the metadata of one image.

    Raises:
        InputError: E104, E106, E140, E143, E144.
        ImageError: E204, E205.
    """
    number, _, tile = source.inside.partition("/")
    with decoding(source.path, name, KIND, part="header"):
        with _open(source.path, name) as file:
            images = _images(file)
            if not 0 <= int(number or 0) < len(images):
                raise no_such_image(KIND, source.inside, name)
            image = images[int(number or 0)]
            element, block, dtype = image.xml_element, image.memory_block, image.dtype
        channels = element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
        offset, channel = _channel_dimension(channels, name)
        dimensions = [channel, *_dimensions(element)]
        offset += _tile_offset(dimensions, int(tile or 0), source.inside, name)
    kept = [each for each in dimensions if each.letter != "M"]
    pixels = _Pixels(source.path, name, block.offset + offset, dtype, tuple(kept))
    check_sizes(pixels.shape, name)
    pixels.check_within(block.offset, block.size)
    return Stored(
        axes="".join(each.letter for each in kept),
        shape=pixels.shape,
        dtype=check_dtype(dtype, name),
        read=pixels.read,
        colours=channel.letter == "S",
        channel_names=tuple(map(_channel_name, channels)) if channel.letter == "C" else (),
        pixel_sizes=_pixel_sizes(kept),
        unit="planes",
    )


@dataclass(frozen=True)
class _Pixels:
    """Where the pixels of one image lie in the file."""

    path: str
    name: str
    offset: int
    """Of the first element, bytes from the start of the file."""
    dtype: np.dtype[Any]
    dimensions: tuple[_Dimension, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(each.length for each in self.dimensions)

    def check_within(self, start: int, size: int) -> None:
        """Refuse distances that lead out of the block of bytes that belongs to the image."""
        ends = [(each.length - 1) * each.stride for each in self.dimensions]
        first = self.offset + sum(end for end in ends if end < 0)
        last = self.offset + sum(end for end in ends if end > 0) + self.dtype.itemsize
        if first < start or last > start + size:
            raise damaged(self.name, KIND, "its pixels lie beyond their place in the file")

    def read(self, fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        """Copy a selection from the file; see `Stored.read`."""
        index = tuple(fixed.get(i, slice(None)) for i in range(len(self.dimensions)))
        with decoding(self.path, self.name, KIND, part="pixels"):
            mapped = np.memmap(self.path, dtype=np.uint8, mode="r")
            strides = tuple(each.stride for each in self.dimensions)
            pixels: NDArray[np.generic] = np.ndarray(self.shape, self.dtype, mapped, self.offset, strides)
            return np.array(pixels[index])


def _open(path: str, name: str) -> LifFile:
    check_local(path, KIND, name)
    try:
        import liffile  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise missing_library(KIND, name) from error
    return liffile.LifFile(path)


def _images(file: LifFile) -> list[LifImageABC]:
    """Return the images whose pixels are in this file; histograms of lifetimes (FLIM) are no images."""
    return [image for image in file.images if image.parent is file and not image.is_flim]


def _dimensions(element: Element) -> list[_Dimension]:
    """Return the dimensions save that of the channels, outermost first."""
    found = []
    for each in element.findall("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        letter = LETTERS.get(int(each.attrib["DimID"]), "Q")
        length = int(each.attrib["NumberOfElements"])
        unit = microns_per_unit(each.get("Unit", ""))
        # The length is that from the middle of the first to the middle of the last element.
        microns = abs(float(each.attrib["Length"])) * unit / (length - 1) if unit and length > 1 else None
        found.append(_Dimension(letter, length, int(each.attrib["BytesInc"]), microns))
    return sorted(found, key=lambda each: each.stride, reverse=True)


def _channel_dimension(channels: Sequence[Element], name: str) -> tuple[int, _Dimension]:
    """Return the offset in bytes of the first channel, and the channels as a dimension.

    Red, green and blue are samples (S), in this order whatever the file's.
    """
    places = {int(each.get("ChannelTag", 0)): int(each.attrib["BytesInc"]) for each in channels}
    colours = tuple(sorted(places)) == COLOUR_TAGS and len(channels) == len(COLOUR_TAGS)
    offsets = [places[tag] for tag in COLOUR_TAGS] if colours else [int(each.attrib["BytesInc"]) for each in channels]
    strides = {after - before for before, after in itertools.pairwise(offsets)} or {0}
    if not offsets or len(strides) > 1:
        raise damaged(name, KIND, "its channels do not lie at equal distances")
    return offsets[0], _Dimension("S" if colours else "C", len(offsets), strides.pop())


def _tile_offset(dimensions: Sequence[_Dimension], tile: int, inside: str, name: str) -> int:
    mosaic = next((each for each in dimensions if each.letter == "M"), _Dimension("M", 1, 0))
    if not 0 <= tile < mosaic.length:
        raise no_such_image(KIND, inside, name)
    return tile * mosaic.stride


def _channel_name(channel: Element) -> str:
    """Return the dye, else the colour that the channel is shown in."""
    for each in channel.findall("./ChannelProperty"):
        if each.findtext("Key") == "DyeName" and each.findtext("Value"):
            return each.findtext("Value", "")
    return channel.get("LUTName", "")


def _pixel_sizes(dimensions: Sequence[_Dimension]) -> tuple[PixelSize, ...]:
    microns = {each.letter: each.microns for each in dimensions}
    y, x = microns.get("Y"), microns.get("X")
    return (PixelSize(y, x, "lif"),) if y and x else ()
