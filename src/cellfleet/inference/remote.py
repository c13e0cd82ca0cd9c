"""Tiles → heads by a model server. Knows neither how it is reached nor what it does.

What is sent are the pixels in the narrowest type that has them exactly, and what returns are the heads that the
pipeline reads, one byte per pixel each: the same numbers in the same graph as in one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellfleet.inference.model_server import ModelServer, ServedModel
from cellfleet.inference.served import narrowest
from cellfleet.tiling.pad import padded


@dataclass(frozen=True)
class RemotePredictor:
    """One model of a server. Every call is one request; several threads have several under way."""

    server: ModelServer
    model: ServedModel
    heads: int
    """How many the graph returns."""
    multiple: int
    """Of which height and width of the graph's input must be; images are mirrored as in one process."""

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the heads of one tile; see `Predictor.predict`. Those that the pipeline does not read are 0.

        Waits for a server that is full or away.

        Raises:
            DeviceError: E521, E523–E525, as `ModelServer.infer`.
        """
        height, width = pixels.shape[1:]
        places, maps = self.server.infer(self.model, narrowest(padded(pixels, self.multiple)), contrast)
        found = np.zeros((self.heads, height, width), np.uint8)
        for place, part in zip(places, maps, strict=True):
            found[place] = part[:height, :width]
        return found

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        """Return itself: a network learns nothing from the image."""
        return self
