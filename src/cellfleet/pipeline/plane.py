"""The pixels of one plane by region, as the network and the measurements want them. Knows no files.

Sums of channels per role, and finite values everywhere: what is not a number or infinite becomes the lowest finite
value of its channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.tiling.box import Box

Read = Callable[[Box, Sequence[int]], NDArray[Any]]
"""(box, channels counted from 0) → pixels (channels, height, width) in the image's own type."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of an image."""

    shape: tuple[int, int]
    channels: int
    read: Read = field(repr=False)
    roles: tuple[tuple[int, ...], ...]
    """Per role of the model the channels that are summed."""
    lowest: Mapping[int, float] = field(default_factory=dict)
    """Channel → its lowest finite value, of channels that may hold values that are not finite."""
    window: tuple[Plane, ...] = field(default=(), repr=False)
    """The planes that a model of several frames is given to label this one, itself in the middle. Empty: itself."""

    @classmethod
    def of_array(cls, pixels: NDArray[Any], roles: Sequence[tuple[int, ...]] | None = None) -> Plane:
        """Take finite pixels (C, Y, X) that stand in memory; without `roles`, each channel is one."""
        return cls(
            shape=(pixels.shape[1], pixels.shape[2]),
            channels=len(pixels),
            read=lambda box, channels: pixels[list(channels), box.y, box.x],
            roles=tuple((channel,) for channel in range(len(pixels))) if roles is None else tuple(roles),
        )

    @property
    def used(self) -> tuple[int, ...]:
        """Channels that some role takes."""
        return tuple(sorted({channel for channels in self.roles for channel in channels}))

    def role_pixels(self, box: Box) -> NDArray[np.float32]:
        """Return float32 (R, height, width)."""
        used = self.used
        pixels = self._finite(self.read(box, used), used)
        planes = np.empty((len(self.roles), *box.shape), np.float32)
        for plane, channels in zip(planes, self.roles, strict=True):
            np.copyto(plane, pixels[used.index(channels[0])])
            for channel in channels[1:]:
                plane += pixels[used.index(channel)]
        return planes

    def model_pixels(self, box: Box) -> NDArray[np.float32]:
        """Return float32 (R · F, height, width): of each role the F planes of the window, side by side."""
        if not self.window:
            return self.role_pixels(box)
        frames = np.stack([plane.role_pixels(box) for plane in self.window], axis=1)
        return frames.reshape(-1, *box.shape)

    def channel_pixels(self, box: Box) -> NDArray[Any]:
        """Return all channels (C, height, width) in the image's own type."""
        every = range(self.channels)
        return self._finite(self.read(box, every), every)

    def unusable(self, box: Box) -> int:
        """Count the values that are not finite, over all channels."""
        if not self.lowest:
            return 0
        pixels = self.read(box, range(self.channels))
        return int(pixels.size - np.isfinite(pixels).sum())

    def _finite(self, pixels: NDArray[Any], channels: Sequence[int]) -> NDArray[Any]:
        if pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all()):
            return pixels
        cleaned = pixels.copy()
        for plane, channel in zip(cleaned, channels, strict=True):
            plane[~np.isfinite(plane)] = self.lowest.get(channel, 0)
        return cleaned


def lowest_finite(pixels: NDArray[Any]) -> list[float]:
    """Return the lowest finite value of each channel of (C, …), infinity where there is none."""
    return [float(plane[np.isfinite(plane)].min(initial=np.inf)) for plane in pixels]
