"""One opened image: what is known about it before its pixels are read, and a way to read them region by region.

Every source (a file of any format, an array in memory) ends here, so the rest of the program meets one kind of
image. This module knows no file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice

Plane = NDArray[np.generic]
Reader = Callable[[int, int, Sequence[int], slice, slice], Plane]
"""(t, z, channels, rows, columns) → pixels (C', Y', X'); everything lies within the image, no slice has a step."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image whose axes are settled; pixels are decoded by `read` only.

    Notice texts do not repeat the image's name: who tells them puts `name` before.
    """

    name: str
    """Printable name, with ``/``; unique in a run."""
    axes: str
    """Subset of ``TCZYX`` in that order, always ending in ``YX``; axes of length 1 other than Y and X are left out."""
    shape: tuple[int, ...]
    """One length per letter of `axes`."""
    dtype: np.dtype[np.generic]
    """bool, uint8/16/32, int8/16/32 or float16/32/64, in native byte order."""
    reader: Reader = field(repr=False)
    """Use `read`."""
    channel_names: tuple[str, ...] = ("",)
    """One per channel, ``""`` where the file has no name."""
    microns_per_pixel: float | None = None
    """Mean of y and x where they differ; None where the file does not say."""
    microns_per_pixel_source: str = ""
    """``ome``, ``imagej`` or ``tiff``; empty where unknown."""
    notices: tuple[Notice, ...] = ()
    blank_channels: frozenset[int] = frozenset()
    """Colours (0-based) that are seen to be one constant value; found only in colour images."""
    region_bytes: int = 0
    """Bytes that reading even the smallest region of a plane holds for each channel or colour picture, beside the
    region itself: a tile, a strip, or the whole plane where the format can only be unpacked as a whole."""
    overview: Callable[[int], Image] | None = field(default=None, repr=False)
    """Opens the smallest copy in the file's pyramid whose longer side has at least so many pixels (itself, if there is
    no such copy); None where there is no pyramid. Only its pixels are of use."""

    def length(self, axis: str) -> int:
        """Return the length along one of ``TCZYX``, 1 where the image lacks that axis."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.length("C")

    def planes(self) -> list[tuple[int, int]]:
        """Return (t, z) of every plane, in order of time, then depth."""
        return [(t, z) for t in range(self.length("T")) for z in range(self.length("Z"))]

    def read(
        self,
        t: int = 0,
        z: int = 0,
        *,
        channels: Sequence[int] | None = None,
        y: slice = slice(None),
        x: slice = slice(None),
    ) -> Plane:
        """Decode a region of one plane. May be called by several threads at once.

        Args:
            t: Time point, from 0.
            z: Depth, from 0.
            channels: Numbers of the channels, from 0, in the order wanted; None means all.
            y: Rows; like any slice it is cut off at the borders. Without step.
            x: Columns.

        Returns:
            Array (C', Y', X'), C-contiguous, native byte order, dtype `dtype`. May share memory with the array that
            the image was made from: do not write into it.

        Raises:
            InputError: The file is damaged or was changed since it was opened.
            IndexError: The image has no such plane or channel.
        """
        wanted = range(self.channels) if channels is None else channels
        if not (0 <= t < self.length("T") and 0 <= z < self.length("Z")):
            raise IndexError(f"{self.name} has no plane t={t}, z={z}")
        if not all(0 <= channel < self.channels for channel in wanted):
            raise IndexError(f"{self.name} has {self.channels} channels, not {list(wanted)}")
        rows, columns = _within(y, self.length("Y")), _within(x, self.length("X"))
        shape = (len(wanted), rows.stop - rows.start, columns.stop - columns.start)
        return self.reader(t, z, wanted, rows, columns) if all(shape) else np.zeros(shape, self.dtype)

    def read_plane(self, t: int = 0, z: int = 0) -> Plane:
        """Decode one plane whole, (C, Y, X); see `read`."""
        return self.read(t, z)


def _within(wanted: slice, length: int) -> slice:
    start, stop, step = wanted.indices(length)
    if step != 1:
        raise ValueError(f"regions have no step, this has {step}")
    return slice(start, max(start, stop))
