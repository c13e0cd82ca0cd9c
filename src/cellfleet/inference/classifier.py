"""Images → a score per class, by an ONNX graph of one input and one output. Knows no image file and no class name."""

from __future__ import annotations

import functools
import weakref

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.batching import Batcher
from cellfleet.inference.graph import Graph, Tensor
from cellfleet.spec.choices import Device

_LARGEST_BATCH = 32
"""Images that a GPU is given at a time: of some 0.2 megapixels each, as networks take them."""


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

        # It may not hold this object: when that goes, the graph has to leave the memory of the device at once.
        self._run = functools.partial(_run, self._graph, self.input.name, self.output.name)
        self._batcher = None
        if self.device == "cuda" and self._batch is None:
            self._batcher = Batcher(self._run, _LARGEST_BATCH)
            weakref.finalize(self, self._batcher.close).atexit = False

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (N, classes) of images (N, …) as the graph takes them. Raises `ModelError` E409.

        On a GPU the images of all threads that ask go in batches. On a processor a batch gains nothing: they go one
        after the other, or by as many as the graph wants, memory stays that of one, and scores depend on no neighbour.
        """
        if self._batcher is not None:
            asked = [self._batcher.ask(image) for image in images]
            answers = [future.result()[np.newaxis] for future in asked]
        else:
            answers = [self._scored(images[first : first + self._step]) for first in range(0, len(images), self._step)]
        return np.concatenate(answers) if answers else np.zeros((0, self.output.shape[1]), np.float32)

    @property
    def _step(self) -> int:
        return self._batch or 1

    def _scored(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        lacking = self._step - len(given)
        whole = np.concatenate([given, np.repeat(given[-1:], lacking, axis=0)]) if lacking else given
        return self._run(whole)[: len(given)]


def _run(graph: Graph, name: str, output: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return graph.run({name: images})[output]


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
