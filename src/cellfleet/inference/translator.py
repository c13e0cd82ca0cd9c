"""Planes → predicted channels, by an ONNX graph, in this process. Knows no image file and no tile.

The graph takes raw ``pixels`` (N, P, Y, X) float32 and ``contrast`` (N, P, 2) float32, applies the contrast, and
returns ``image`` (N, K, Y, X) uint16. One session serves any number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.graph import Graph
from cellfleet.spec.choices import Device
from cellfleet.spec.model import Tile
from cellfleet.tiling.pad import padded


class Translator:
    """A loaded graph on one device. Safe to call from several threads at once."""

    def __init__(
        self, weights: bytes, where: str, *, planes: int, outputs: int, tile: Tile, device: Device = "auto"
    ) -> None:
        """Load the graph.

        Args:
            weights: Content of the ``.onnx`` file.
            where: Its name, for messages.
            planes: How many it takes, as the manifest says.
            outputs: How many channels it predicts, as the manifest says.
            tile: Height and width of its input must be multiples; planes are mirrored up to that, and to its halo.
            device: As of `OnnxPredictor`.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file; E412 it is no such graph.
        """
        self._graph, self._tile, self._where = Graph(weights, where, device=device), tile, where
        self.device = self._graph.device
        found = {tensor.name: (tensor.datatype, tensor.shape) for tensor in (*self._graph.inputs, *self._graph.outputs)}
        wanted = {
            "pixels": ("FP32", (-1, planes, -1, -1)),
            "contrast": ("FP32", (-1, planes, 2)),
            "image": ("UINT16", (-1, outputs, -1, -1)),
        }
        if found.keys() != wanted.keys() or not all(_fits(found[name], wanted[name]) for name in wanted):
            said = ", ".join(f"{name} {kind} {list(shape)}" for name, (kind, shape) in found.items())
            raise ModelError(
                "E412",
                f"the graph has the tensors {said}; as its description says, it maps pixels FP32 [N, {planes}, Y, X] "
                f"and contrast FP32 [N, {planes}, 2] to image UINT16 [N, {outputs}, Y, X]",
                where=where,
                action="Correct planes and outputs in rdf.yaml, or export the graph with these tensors",
            )

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Predict one tile.

        Args:
            pixels: float32 (P, Y, X), raw finite values at model scale.
            contrast: float32 (P, 2), the raw values that become 0 and 1.

        Returns:
            uint16 (K, Y, X).

        Raises:
            ModelError: E409 the graph fails; E412 what it returns is not as large as what it is given.
        """
        height, width = pixels.shape[1:]
        # A network may mirror by as much as its halo, which a smaller image does not have.
        missing = [(0, 0), *((0, max(0, self._tile.halo + 1 - length)) for length in (height, width))]
        large_enough = padded(np.pad(pixels, missing, mode="symmetric"), self._tile.multiple)
        given = {"pixels": large_enough[np.newaxis], "contrast": contrast[np.newaxis]}
        image: NDArray[np.uint16] = self._graph.run(given)["image"][0]
        if image.shape[1:] != large_enough.shape[1:]:
            # Where it cuts off a border, everything would lie beside its place.
            raise ModelError(
                "E412",
                f"the graph returns {image.shape[1:]} px of {large_enough.shape[1:]}",
                where=self._where,
                action="Export a graph that returns as much as it is given",
            )
        return image[:, :height, :width]


def _fits(found: tuple[str, tuple[int, ...]], wanted: tuple[str, tuple[int, ...]]) -> bool:
    """Say whether type and shape are the wanted ones; −1 is any size."""
    kind, shape = found
    return (
        kind == wanted[0]
        and len(shape) == len(wanted[1])
        and all(-1 in {size, said} or size == said for size, said in zip(shape, wanted[1], strict=True))
    )
