"""What the pipeline calls to turn pixels into heads. Knows neither how it is done nor where."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Predictor(Protocol):
    """One loaded model. Safe to call from several threads at once."""

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Predict the heads of one plane of any size.

        Args:
            pixels: float32 (R, Y, X), raw finite pixel values at model scale, one channel per role.
            contrast: float32 (R, 2), the raw values (low, high) that become 0 and 1.

        Returns:
            uint8 (H, Y, X): round(255 · head), heads in the order of the manifest.
        """
        ...
