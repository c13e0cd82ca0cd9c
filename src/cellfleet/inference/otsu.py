"""The classical predictor: one threshold for the whole image, and the distance of every pixel to the border.

It needs no weights, serves as the yardstick that a trained model has to beat, and keeps the tests independent of
training. Heads: ``outer_distance``, ``foreground``. It knows no files, no tiles and no watershed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SMOOTHING_SIGMA_PX = 1.0
"""Light Gaussian before the threshold: one noisy pixel is no object."""
LONGEST_DISTANCE_PX = 255
"""Distances are cut off here; half the diameter of the largest object that is told apart by its shape."""
_FOREGROUND_WIDTH = 0.05
"""Contrast units around the threshold over which the foreground head rises."""
_CONTRAST_HEADROOM = 4.0
"""Values above this many contrast ranges are cut, so that one hot pixel cannot stretch the histogram."""


class OtsuPredictor:
    """Otsu's threshold and a Euclidean distance transform behind the interface of a network."""

    def __init__(self, threshold: float | None = None) -> None:
        """Take the threshold of an image in units of its contrast; None: each tile's own."""
        self._threshold = threshold

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        """Return a predictor with the threshold of the image."""
        values = [_smoothed(window, contrast).ravel() for window in windows]
        return type(self)(otsu_threshold(np.concatenate(values)))

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Predict ``outer_distance`` and ``foreground`` of the first role; see `Predictor.predict`."""
        values = _smoothed(pixels, contrast)
        threshold = otsu_threshold(values) if self._threshold is None else self._threshold
        distance = np.sqrt(squared_distance(values > threshold))
        heads = np.empty((2, *values.shape), np.uint8)
        # The logarithm makes a prominence (peak − saddle) a ratio of widths: touching nuclei part where they are,
        # say, a quarter narrower than the smaller of them, whatever the magnification.
        heads[0] = np.rint(np.log2(1 + distance) * (255 / np.log2(1 + LONGEST_DISTANCE_PX)))
        # Rounded down: a value at the threshold stays below one half.
        heads[1] = 255 * np.clip((values - threshold) / _FOREGROUND_WIDTH + 0.5, 0, 1)
        return heads


def _smoothed(pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = (float(value) for value in contrast[0])
    values = np.clip((pixels[0] - low) / (high - low), 0, _CONTRAST_HEADROOM).astype(np.float32)
    return gaussian(values, SMOOTHING_SIGMA_PX)


def otsu_threshold(values: NDArray[np.float32], bins: int = 256) -> float:
    """Find the value that separates two classes best (Otsu, IEEE Trans. SMC 9, 1979).

    Args:
        values: Array of any shape, finite.
        bins: Number of histogram bins; as in scikit-image the threshold is the centre of one of them.

    Returns:
        Values above it are foreground. For a constant array its value, so that nothing is foreground.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return highest
    counts, edges = np.histogram(values, bins, range=(lowest, highest))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    mean_below = sums / np.maximum(below, 1)
    mean_above = (sums[-1] - sums) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(centres[int(np.argmax(between))])


def gaussian(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth a (Y, X) plane with a Gaussian cut at 4 sigma; the border pixel is repeated."""
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (reach, reach)
        padded = np.pad(values, padding, mode="edge")
        smooth = np.zeros_like(values)
        for index, weight in enumerate(kernel):
            part = padded[index : index + values.shape[0]] if axis == 0 else padded[:, index : index + values.shape[1]]
            smooth += weight * part
        values = smooth
    return values


def squared_distance(mask: NDArray[np.bool_], longest_px: int = LONGEST_DISTANCE_PX) -> NDArray[np.float32]:
    """Squared Euclidean distance of every pixel to the nearest False pixel, px².

    Outside the array nothing is known, so its edge is no border.
    Exact: first along the columns, then the minimum over dx of column² + dx², which can stop at the largest
    distance that is left.

    Args:
        mask: bool (Y, X).
        longest_px: Distances are cut here.

    Returns:
        float32 (Y, X); 0 outside the mask.
    """
    along = _column_distance(mask, longest_px)
    squared = along * along
    best = squared.copy()
    width = mask.shape[1]
    shift = 1
    while shift < width and shift * shift < best.max(initial=0):
        np.minimum(best[:, shift:], squared[:, :-shift] + shift * shift, out=best[:, shift:])
        np.minimum(best[:, :-shift], squared[:, shift:] + shift * shift, out=best[:, :-shift])
        shift += 1
    return best


def _column_distance(mask: NDArray[np.bool_], longest_px: int) -> NDArray[np.float32]:
    rows = np.arange(mask.shape[0], dtype=np.float32)[:, None]
    far: Any = np.float32(-2 * longest_px - mask.shape[0])
    above = np.maximum.accumulate(np.where(mask, far, rows), axis=0)
    below = np.minimum.accumulate(np.where(mask, -far + mask.shape[0], rows)[::-1], axis=0)[::-1]
    return np.minimum(np.minimum(rows - above, below - rows), np.float32(longest_px))
