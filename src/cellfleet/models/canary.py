"""A canary: a prediction of a model's own test tensors by a server, which shows that the server really answers.

What a Triton says of itself does not: a model whose process has died stays "ready" (docs/decisions/0024-split.md).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.inference.model_server import DATATYPES
from cellfleet.inference.served import PixelType, narrowest
from cellfleet.inference.server_trouble import Trouble, trouble_of
from cellfleet.inference.triton_client import library
from cellfleet.models.check import MOST_ELSEWHERE, share_elsewhere
from cellfleet.models.package import Package


@dataclass(frozen=True)
class Canary:
    """One request whose answer is known."""

    name: str
    """Of the model on the server."""
    pixels: NDArray[Any]
    """(1, R, Y, X), of the type that the model takes."""
    contrast: NDArray[np.float32]
    """(1, R, 2)."""
    heads: NDArray[np.uint8] | None
    """(1, K, Y, X); None where the test tensors do not tell them for pixels of this type."""

    def ask(self, client: Any, seconds: float) -> Trouble | None:
        """Predict; return what is wrong."""
        inputs = []
        for name, array in (("pixels", self.pixels), ("contrast", self.contrast)):
            tensor = library().InferInput(name, array.shape, DATATYPES[array.dtype.name])
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        try:
            heads = client.infer(self.name, inputs, client_timeout=seconds).as_numpy("heads")
        except library().InferenceServerException as error:
            return trouble_of(error)
        if self.heads is not None and share_elsewhere(heads, self.heads) > MOST_ELSEWHERE:
            return Trouble("failed", "it predicts something else than its test tensors say")
        return None


def make_canary(name: str, package: Package, tensors: Mapping[str, bytes], kind: PixelType) -> Canary:
    """Return the canary of a model for pixels of one type.

    Args:
        name: Of the model on the server.
        package: What it was made from.
        tensors: The content of its test tensors; where there are none, an empty tile is predicted.
        kind: Type of the pixels. Where it cannot hold those of the test tensor, they are cut to what it can.
    """
    manifest = package.manifest
    if {"pixels", "contrast", "heads"} <= tensors.keys():
        read = {one: np.load(io.BytesIO(content), allow_pickle=False)[:1] for one, content in tensors.items()}
        given, contrast = read["pixels"].astype(np.float32), read["contrast"].astype(np.float32)
        fits = np.can_cast(narrowest(given).dtype, kind)
        heads = read["heads"][:, list(manifest.heads_read)] if fits else None
    else:
        channels, side = (
            manifest.channels,
            manifest.tile.multiple * (2 * manifest.tile.halo // manifest.tile.multiple + 1),
        )
        given = np.zeros((1, channels, side, side), np.float32)
        contrast, heads = np.tile(np.array([0, 1], np.float32), (1, channels, 1)), None
    if kind != "float32":
        given = np.clip(given, 0, np.iinfo(kind).max)
    return Canary(name, np.ascontiguousarray(given.astype(kind)), contrast, heads)
