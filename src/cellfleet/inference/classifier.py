"""Images → a score per class, by an ONNX graph of one input and one output. Knows no image file and no class name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.graph import Graph, Tensor
from cellfleet.spec.choices import Device


class Classifier:
    """A loaded classifier on one device. Safe to call from several threads at once."""

    def __init__(
        self, weights: bytes, where: str, shape: tuple[int, int, int], classes: int, *, device: Device = "auto"
    ) -> None:
        """Load the graph.

        Args:
            weights: Content of the ``.onnx`` file.
            where: Its name, for messages.
            shape: Of one image, as the manifest says.
            classes: How many, as the manifest says.
            device: As of `OnnxPredictor`.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file; E766 it is no such classifier.
        """
        self._graph = Graph(weights, where, device=device)
        self.device = self._graph.device
        wanted = ((-1, *shape), (-1, classes))
        found = (self._graph.inputs, self._graph.outputs)
        if not all(_is_only(tensors, said) for tensors, said in zip(found, wanted, strict=True)):
            raise ModelError(
                "E766",
                f"the graph maps {_said(found[0])} to {_said(found[1])}, not FP32 {list(wanted[0])} to FP32 "
                f"{list(wanted[1])} as its description says",
                where=where,
                action="Correct size, axes, mean or classes in rdf.yaml, or export with one input and one output",
            )
        fixed = self._graph.inputs[0].shape[0]
        self._batch = None if fixed == -1 else fixed
        self.input = Tensor(self._graph.inputs[0].name, "FP32", wanted[0])
        self.output = Tensor(self._graph.outputs[0].name, "FP32", wanted[1])

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (N, classes) of images (N, …) as the graph takes them. Raises `ModelError` E409.

        One after the other, or by as many as the graph wants at a time: on a processor a batch gains nothing, and
        memory stays that of one.
        """
        step = self._batch or 1
        answers = []
        for first in range(0, len(images), step):
            given = images[first : first + step]
            lacking = step - len(given)
            whole = np.concatenate([given, np.repeat(given[-1:], lacking, axis=0)]) if lacking else given
            answers.append(self._graph.run({self.input.name: whole})[self.output.name][: len(given)])
        return np.concatenate(answers) if answers else np.zeros((0, self.output.shape[1]), np.float32)


def _is_only(tensors: tuple[Tensor, ...], wanted: tuple[int, ...]) -> bool:
    """Say whether there is one tensor, of this shape as far as the graph settles its own."""
    tensor = tensors[0] if tensors else Tensor("", "", ())
    return (
        len(tensors) == 1
        and tensor.datatype == "FP32"
        and len(tensor.shape) == len(wanted)
        and all(found in {-1, said} for found, said in zip(tensor.shape[1:], wanted[1:], strict=True))
    )


def _said(tensors: tuple[Tensor, ...]) -> str:
    return " and ".join(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in tensors) or "nothing"
