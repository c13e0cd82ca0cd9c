"""CZI files of Zeiss' microscopes, read by Zeiss' own library: every scene is an image.

The library stitches the tiles of a mosaic and reads any rectangle of a plane. Its coordinates are those of the stage:
they may be negative. Places without a tile are black. Knows nothing of what axes and colours mean.
"""

from __future__ import annotations

import functools
import itertools
import os
import struct
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.border import damaged, decoding, unsupported_codec
from cellfleet.images.pixel_size import PixelSize
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored, check_extent
from cellfleet.images.vendor import OpenLater, check_local, missing_library, no_such_image

if TYPE_CHECKING:
    from pylibCZIrw.czi import CziReader, Rectangle

KIND = "CZI"
DTYPES: dict[str, np.dtype[Any]] = {
    "Gray8": np.dtype(np.uint8),
    "Gray16": np.dtype(np.uint16),
    "Gray32Float": np.dtype(np.float32),
    "Bgr24": np.dtype(np.uint8),
    "Bgr48": np.dtype(np.uint16),
    "Bgr96Float": np.dtype(np.float32),
}
"""Pixel types that the library hands out."""
MICRONS_PER_METRE = 1e6
MOST_CHANNELS = 1000
KEPT_BYTES = 64 << 20
"""Unpacked tiles that the library keeps."""
MAGIC = b"ZISRAWFILE"
SEGMENT_BYTES = 32
"""Header of a segment."""
DIMENSION_BYTES = 20
MOST_DIMENSIONS = 40


def list_czi_images(path: str) -> list[str]:
    """Return the number of every scene; ``[""]`` where there is one.

    Raises:
        InputError: E104, E106, E140, E143.
    """
    with decoding(path, path, KIND, part="header"), closing(_open(path, path)) as file:
        scenes = sorted(file.scenes_bounding_rectangle_no_pyramid)
    return [str(scene) for scene in scenes] if len(scenes) > 1 else [""]


def read_czi_header(source: Source, name: str) -> Stored:
    """Read the metadata of one scene.

    Raises:
        InputError: E104, E106, E109, E140, E142 to E144.
        ImageError: E205.
    """
    with decoding(source.path, name, KIND, part="header"), closing(_open(source.path, name)) as file:
        scene = _Scene(file, source, name)
        document = ElementTree.fromstring(file.raw_metadata)
    check_extent(scene.axes, scene.shape, name)
    return Stored(
        axes=scene.axes,
        shape=scene.shape,
        dtype=scene.dtype,
        read=scene.read,
        colours=scene.axes.endswith("S"),
        channel_names=_channel_names(document),
        pixel_sizes=_pixel_sizes(document),
        unit="planes",
    )


class _Scene:
    """The planes of one scene, cut to the rectangle that its tiles lie in."""

    def __init__(self, file: CziReader, source: Source, name: str) -> None:
        self._name = name
        self._path = source.path
        self._file = OpenLater(functools.partial(_open, source.path, name))
        self._number, self._place = _find_scene(file, source.inside, name)
        self.dtype, samples = _pixel_type(file, name)
        self._dimensions = {
            dimension: end for dimension, (_, end) in file.total_bounding_box.items() if dimension not in "YX"
        }
        self.axes = "".join(letter if letter in "TZC" else "Q" for letter in self._dimensions) + "YXS"
        self.shape = (*self._dimensions.values(), self._place.h, self._place.w, samples)
        if samples == 1:
            self.axes, self.shape = self.axes[:-1], self.shape[:-1]

    def read(self, fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        """Read the rectangle of the planes that are wanted; see `Stored.read`."""
        index = [fixed.get(i, slice(0, length)) for i, length in enumerate(self.shape)]
        parts = [slice(part, part + 1) if isinstance(part, int) else part for part in index]
        planes, (y, x, *samples) = parts[: len(self._dimensions)], parts[len(self._dimensions) :]
        sample = samples[0] if samples else 0
        regions = [
            self._region(dict(zip(self._dimensions, place, strict=True)), y, x)[..., sample]
            for place in itertools.product(*(range(part.start, part.stop) for part in planes))
        ]
        pixels = np.stack(regions).reshape(*(part.stop - part.start for part in planes), *regions[0].shape)
        return pixels[tuple(0 if isinstance(part, int) else slice(None) for part in index)]

    def _region(self, plane: dict[str, int], y: slice, x: slice) -> NDArray[np.generic]:
        """Return a rectangle of one plane, (Y, X, 1) or (Y, X, 3) as red, green, blue."""
        roi = (self._place.x + x.start, self._place.y + y.start, x.stop - x.start, y.stop - y.start)
        with decoding(self._path, self._name, KIND, part="pixels"), self._file.opened() as file:
            pixels: NDArray[np.generic] = file.read(roi=roi, plane=plane, scene=self._number)
        return pixels[..., ::-1].astype(self.dtype)


def _open(path: str, name: str) -> CziReader:
    check_local(path, KIND, name)
    try:
        from pylibCZIrw.czi import CacheOptions, CziReader  # noqa: PLC0415 (an extra, and slow to import)
    except ImportError as error:
        raise missing_library(KIND, name) from error
    _check_directory(path, name)
    # Without it every region unpacks again the tiles that it touches.
    return CziReader(path, cache_options=CacheOptions(max_memory_usage=KEPT_BYTES))


def _check_directory(path: str, name: str) -> None:
    """Refuse a list of tiles with more dimensions than the library has room for: it would crash the whole program.

    Layout: Zeiss' CZI file format 1.2.2. Reading it here also tells why a file cannot be opened; the library has one
    error for every reason.
    """
    with Path(path).open("rb") as file:
        start, place = struct.unpack("<10s74xq", file.read(92))
        if start != MAGIC or not 0 <= place < os.fstat(file.fileno()).st_size:
            raise damaged(name, KIND, "its header makes no sense")
        file.seek(place + SEGMENT_BYTES)
        entries, _ = struct.unpack("<i124s", file.read(128))
        for _ in range(entries):
            schema, dimensions = struct.unpack("<2s26xi", file.read(32))
            if schema != b"DV":
                return  # the older kind of entry has a fixed length
            if not 0 <= dimensions <= MOST_DIMENSIONS:
                raise damaged(name, KIND, "its list of tiles makes no sense")
            file.seek(dimensions * DIMENSION_BYTES, 1)


def _find_scene(file: CziReader, inside: str, name: str) -> tuple[int | None, Rectangle]:
    """Return a scene's number (None in a file without scenes) and the rectangle that it fills."""
    scenes = file.scenes_bounding_rectangle_no_pyramid
    if not scenes and not inside:
        return None, file.total_bounding_rectangle_no_pyramid
    number = int(inside) if inside else min(scenes)
    if number not in scenes:
        raise no_such_image(KIND, inside, name)
    return number, scenes[number]


def _pixel_type(file: CziReader, name: str) -> tuple[np.dtype[Any], int]:
    """Return the type that holds all channels, and the samples of a pixel."""
    if file.total_bounding_box["C"][1] > MOST_CHANNELS:  # each would be looked for among all tiles
        raise damaged(name, KIND, "its number of channels makes no sense")
    types = set(file.pixel_types.values())
    samples = {3 if pixel_type.startswith("Bgr") else 1 for pixel_type in types}
    if not types <= DTYPES.keys() or len(samples) != 1:
        raise unsupported_codec(name, f"as pixels of type {', '.join(sorted(types))}")
    return np.result_type(*[DTYPES[pixel_type] for pixel_type in types]), samples.pop()


def _channel_names(document: ElementTree.Element) -> tuple[str, ...]:
    channels = document.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
    return tuple(channel.get("Name", "") for channel in channels)


def _pixel_sizes(document: ElementTree.Element) -> tuple[PixelSize, ...]:
    """Return the size of a pixel; empty where it is 0, which is what programs write that do not know it."""
    texts = {
        distance.get("Id"): distance.findtext("Value", "")
        for distance in document.findall("./Metadata/Scaling/Items/Distance")
    }
    try:
        y, x = (float(texts[axis]) * MICRONS_PER_METRE for axis in "YX")
    except (KeyError, ValueError):
        return ()
    return (PixelSize(y, x, "czi"),) if y and x else ()
