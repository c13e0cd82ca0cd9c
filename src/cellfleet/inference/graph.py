"""An ONNX graph as it is: tensors in, tensors out, by name, for classifiers and benchmarks. Knows no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.onnx import FAILURES, first_line, open_session
from cellfleet.spec.choices import Device

DATATYPES: Final[Mapping[str, str]] = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(double)": "FP64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}
"""ONNX Runtime's words → those of the Open Inference Protocol."""


@dataclass(frozen=True)
class Tensor:
    """What a graph takes or returns."""

    name: str
    datatype: str
    """As the Open Inference Protocol calls it; ONNX Runtime's word where that has none."""
    shape: tuple[int, ...]
    """−1: any."""


class Graph:
    """A loaded graph on one device. Safe to call from several threads at once; each call uses one processor thread."""

    def __init__(self, weights: bytes, where: str, *, device: Device = "auto") -> None:
        """Load it.

        Args:
            weights: Content of the ``.onnx`` file.
            where: Its name, for messages.
            device: As of `OnnxPredictor`.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file.
        """
        self._session, self.device = open_session(weights, where, device)
        self._where = where
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name. Raises `ModelError` E409: the inputs do not fit, or the device fails."""
        names = [tensor.name for tensor in self.outputs]
        try:
            values = self._session.run(names, dict(inputs))
        except FAILURES as error:
            raise ModelError(
                "E409",
                f"the graph fails ({first_line(error)})",
                where=self._where,
                action="Check the shapes of what it is given, and its memory",
            ) from error
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _tensor(node: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape)
    return Tensor(node.name, DATATYPES.get(node.type, node.type), shape)
