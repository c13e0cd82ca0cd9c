"""What is read of a plane before it is segmented: all of a small one, windows on an even grid of a large one.

Depends on the plane's size alone, so that contrast and scale, and with them every label, do not depend on how the
plane is cut into blocks or shared among machines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import SAMPLE_PIXELS, contrast_of, sampled
from cellfleet.tiling.box import Box

WHOLE_PIXELS = 1 << 24
"""Planes of up to 4096 × 4096 px are looked at as a whole."""
_WINDOWS, _WINDOW_PX = 16, 256
"""Of larger ones, 16 × 16 windows: as many pixels as a whole small plane, wherever the tissue lies."""


def sample_boxes(shape: tuple[int, int]) -> list[Box]:
    """Return what is read of a plane (Y, X)."""
    if shape[0] * shape[1] <= WHOLE_PIXELS:
        return [Box.whole(shape)]
    return [
        Box(y, x, y + min(_WINDOW_PX, shape[0]), x + min(_WINDOW_PX, shape[1]))
        for y in _starts(shape[0])
        for x in _starts(shape[1])
    ]


def _starts(length: int) -> list[int]:
    """Windows do not overlap: of a narrow plane there are fewer."""
    count = max(1, min(_WINDOWS, length // _WINDOW_PX))
    last = max(0, length - _WINDOW_PX)
    return [round(last * (index + 0.5) / count) for index in range(count)]


@dataclass(frozen=True, eq=False)
class Sample:
    """Windows of a plane with their pixels."""

    boxes: list[Box]
    windows: list[NDArray[np.float32]]
    """(R, height, width) each."""

    @classmethod
    def of(cls, plane: Plane) -> Sample:
        """Read the sample of `plane`."""
        boxes = sample_boxes(plane.shape)
        return cls(boxes, [plane.role_pixels(box) for box in boxes])

    def contrast(self) -> NDArray[np.float32]:
        """Return (R, 2): the raw values that become 0 and 1; see `preprocess.contrast`."""
        parts = [sampled(window, SAMPLE_PIXELS // len(self.windows)) for window in self.windows]
        return contrast_of(np.concatenate(parts, axis=1))

    def brightest(self, plane: Plane, side: int) -> Box:
        """Return the square of at most `side` px with the largest sum of all channels, as far as the sample tells."""
        if len(self.boxes) == 1:
            return _brightest(self.windows[0], side)
        means = [float(window.mean(dtype=np.float64)) for window in self.windows]
        box = self.boxes[int(np.argmax(means))]
        y0, y1 = _centred((box.y0 + box.y1) // 2, side, plane.shape[0])
        x0, x1 = _centred((box.x0 + box.x1) // 2, side, plane.shape[1])
        return Box(y0, x0, y1, x1)

    def pixels(self, plane: Plane, box: Box) -> NDArray[np.float32]:
        """Return the pixels of a region as the model takes them, from memory where all of them were read."""
        if len(self.boxes) == 1 and not plane.window:
            return self.windows[0][:, box.y, box.x]
        return plane.model_pixels(box)


def _centred(middle: int, side: int, length: int) -> tuple[int, int]:
    start = min(max(0, middle - side // 2), max(0, length - side))
    return start, min(start + side, length)


def _brightest(pixels: NDArray[np.float32], side: int) -> Box:
    """Look at squares on a half-overlapping grid."""
    height, width = pixels.shape[1:]
    if height <= side and width <= side:
        return Box.whole((height, width))
    best, chosen = -np.inf, Box(0, 0, min(side, height), min(side, width))
    # About 32 samples across a square are enough to tell where the signal is.
    step = max(1, side // 32)
    for top in _grid(height, side):
        for left in _grid(width, side):
            box = Box(top, left, min(top + side, height), min(left + side, width))
            signal = float(pixels[:, box.y, box.x][:, ::step, ::step].mean(dtype=np.float64))
            if signal > best:
                best, chosen = signal, box
    return chosen


def _grid(length: int, side: int) -> list[int]:
    last = max(0, length - side)
    # At most 16 squares along an axis, however long it is.
    return sorted({*range(0, last, max(1, side // 2, last // 15)), last})
