"""What the pipeline calls to turn pixels into heads, or into detections. Knows neither how it is done nor where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Predictor(Protocol):
    """One loaded model. Safe to call from several threads at once."""

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[Any]:
        """Predict the heads of one tile, or of an image that is small enough to be one.

        Args:
            pixels: float32 (R, Y, X), raw finite pixel values at model scale, one channel per role; of a model of
                several frames, as many side by side for each role.
            contrast: float32 (R, 2), the raw values (low, high) that become 0 and 1.

        Returns:
            uint8 (H, Y, X): round(255 · head), heads in the order of the manifest. Of a model that detects objects:
            one record for each, with its box in px of the tile (`cellfleet.inference.detections`).
        """
        ...

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        """Return the predictor for one image, of which a sample is given: windows (R, height, width).

        A network returns itself. What a method learns from the whole image it has to learn here, once: tiles must
        not differ in it.
        """
        ...
