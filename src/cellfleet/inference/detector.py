"""Tiles → objects by ONNX Runtime, in this process. Knows no image file and no job.

The graph takes raw ``pixels`` (1, R, Y, X) float32 and ``contrast`` (1, R, 2) float32, applies the contrast, and
returns ``boxes`` (1, n, 4) float32, ``scores`` (1, n) float32 and ``masks`` (1, n, 28, 28) uint8 of the n objects that
it finds (`cellfleet.inference.detections`). One session serves any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.detections import MASK_PX, Detections, detections
from cellfleet.inference.graph import Graph
from cellfleet.spec.choices import Device

OUTPUTS: Final = ("boxes", "scores", "masks")


class Detector:
    """A loaded graph on one device. Safe to call from several threads at once."""

    def __init__(self, weights: bytes, where: str, channels: int, multiple: int, *, device: Device = "auto") -> None:
        """Load the graph.

        Args:
            weights: Content of the ``.onnx`` file.
            where: Its name, for messages.
            channels: How many channels it takes, as the manifest says.
            multiple: Of which height and width of its input must be.
            device: As of `OnnxPredictor`.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file; E420 it is no such graph.
        """
        self._graph, self._multiple = Graph(weights, where, device=device), multiple
        self.device = self._graph.device
        found = {tensor.name: (tensor.datatype, tensor.shape) for tensor in (*self._graph.inputs, *self._graph.outputs)}
        wanted = {
            "pixels": ("FP32", (1, channels, -1, -1)),
            "contrast": ("FP32", (1, channels, 2)),
            "boxes": ("FP32", (1, -1, 4)),
            "scores": ("FP32", (1, -1)),
            "masks": ("UINT8", (1, -1, MASK_PX, MASK_PX)),
        }
        if found.keys() != wanted.keys() or any(found[name][0] != wanted[name][0] for name in wanted):
            raise _another(where, found)
        if any(not _fits(found[name][1], wanted[name][1]) for name in wanted):
            raise _another(where, found)

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> Detections:
        """Return the objects of one tile, best first: as `Predictor.predict`, their boxes in px of the tile.

        Raises:
            ModelError: E409, the graph fails.
        """
        height, width = pixels.shape[1:]
        missing = (0, -height % self._multiple), (0, -width % self._multiple)
        # Dark, as what a convolution sees beyond the image. A mirrored half of an object would be a whole one.
        large_enough = [
            np.pad(plane, missing, constant_values=low) for plane, low in zip(pixels, contrast[:, 0], strict=True)
        ]
        found = self._graph.run({"pixels": np.stack(large_enough)[np.newaxis], "contrast": contrast[np.newaxis]})
        return detections(*(found[name][0] for name in OUTPUTS))

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        """Return itself: a network learns nothing from the image."""
        return self


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Say whether a shape is the wanted one; −1 is any size."""
    return len(found) == len(wanted) and all(
        -1 in {size, said} or size == said for size, said in zip(found, wanted, strict=True)
    )


def _another(where: str, found: dict[str, tuple[str, tuple[int, ...]]]) -> ModelError:
    said = ", ".join(f"{name} {kind} {list(shape)}" for name, (kind, shape) in found.items())
    return ModelError(
        "E420",
        f"the graph has the tensors {said}, which are not those of a model of the method detection",
        where=where,
        action="Correct the roles in rdf.yaml, or export the graph with the tensors of docs/reference/detection.md",
    )
