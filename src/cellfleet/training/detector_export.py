"""A trained detector → one ONNX graph: raw pixels and contrast in; boxes, scores and masks of objects out.

What overlaps a better detection is left out inside the graph (ONNX's NonMaxSuppression), so that masks are made for
few boxes only. Weights are kept in 8 bits with a scale per output channel; the arithmetic is float32. Knows no
training data.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from cellfleet.inference.detector import OUTPUTS
from cellfleet.spec.model import ModelManifest
from cellfleet.training import detector_boxes as geometry
from cellfleet.training.detector import Found, RetinaMask
from cellfleet.training.export import write_rdf

MOST = 2000
"""Detections of one tile."""
LEAST_SCORE = 0.05
"""What scores less is not even looked at."""
OVERLAP = 0.5
"""IoU of the boxes from which the one with the lower score is left out."""
_LARGE = 1000
"""Weights of a layer from which they are kept in 8 bits."""


class PackagedDetector(nn.Module):
    """The network between contrast and masks: what is exported."""

    def __init__(self, network: RetinaMask) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the objects of one tile.

        Args:
            pixels: float32 (1, R, Y, X), raw; Y and X multiples of 16.
            contrast: float32 (1, R, 2), the raw values that become 0 and 1.

        Returns:
            Boxes float32 (1, n, 4): y0, x0, y1, x1, px, best first. Scores float32 (1, n), 0…1. Masks uint8
            (1, n, 28, 28): 255 × the probability of cells of the boxes, which are grown by `MASK_MARGIN`.
        """
        low, high = contrast[..., 0, None, None], contrast[..., 1, None, None]
        found: Found = self.network(((pixels - low) / (high - low)).clamp(-1, 5))
        boxes, scores = geometry.decoded(found.changes[0], found.placed), found.logits[0].sigmoid()
        best = _Best.apply(boxes, scores)  # type: ignore[no-untyped-call]
        boxes, scores = boxes[best], scores[best]
        masks = (self.network.masks(found.fine, boxes).sigmoid() * 255).round().to(torch.uint8)
        return boxes[None], scores[None], masks[None]


class _Best(torch.autograd.Function):
    """Greedy suppression: the indices of the boxes that no better one overlaps, best first."""

    @staticmethod
    def forward(context: Any, boxes: Tensor, scores: Tensor) -> Tensor:
        """Do what the node below does, for validation during training."""
        good = torch.nonzero(scores > LEAST_SCORE)[:, 0]
        left, kept = good[scores[good].argsort(descending=True, stable=True)], list[Tensor]()
        while len(left) and len(kept) < MOST:
            kept.append(left[0])
            shared, union, _ = geometry.overlap(boxes[left[0]], boxes[left])
            left = left[shared <= OVERLAP * union]
        return torch.stack(kept) if kept else left

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any) -> Any:
        """Write the node; its boxes are y first, as ours, and its answers (image, class, box)."""

        def constant(value: Any) -> Any:
            return g.op("Constant", value_t=torch.tensor(value))

        chosen = g.op(
            "NonMaxSuppression",
            g.op("Unsqueeze", boxes, constant([0])),
            g.op("Unsqueeze", scores, constant([0, 1])),
            constant([MOST]),
            constant([OVERLAP]),
            constant([LEAST_SCORE]),
        )
        return g.op("Gather", chosen, constant(2), axis_i=1)


def export_detector(
    network: RetinaMask,
    manifest: ModelManifest,
    out: Path,
    *,
    example: NDArray[np.float32],
    contrast: NDArray[np.float32],
) -> None:
    """Write a model package; as `export.export_package`."""
    weights = out / f"{manifest.name}.onnx"
    pixels, low_high = example[np.newaxis], contrast[np.newaxis]
    export_graph(PackagedDetector(network).eval(), (torch.from_numpy(pixels), torch.from_numpy(low_high)), weights)
    write_tensors(out, weights, {"pixels": pixels, "contrast": low_high})
    write_rdf(manifest, out)


def write_tensors(out: Path, weights: Path, given: dict[str, NDArray[np.float32]]) -> None:
    """Write what the graph is given, and what it answers, as test tensors."""
    answers = onnxruntime.InferenceSession(weights.read_bytes()).run(list(OUTPUTS), given)
    for name, array in {**given, **dict(zip(OUTPUTS, answers, strict=True))}.items():
        np.save(out / f"test_{name}.npy", array)


def export_graph(packaged: PackagedDetector, tensors: tuple[Tensor, Tensor], weights: Path) -> None:
    """Write the graph; `tensors` are pixels and contrast of an example."""
    with warnings.catch_warnings():
        # As in `export`: the newer exporter fixes the sizes of the graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The loop of `_Best.forward` is not in the graph.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            packaged,
            tensors,
            str(weights),
            input_names=["pixels", "contrast"],
            output_names=list(OUTPUTS),
            dynamic_axes={"pixels": {2: "y", 3: "x"}} | {name: {1: "found"} for name in OUTPUTS},
            opset_version=17,
            dynamo=False,
        )
    onnx.save(in_8_bits(onnx.load(weights)), weights)


def in_8_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose large weights are kept as int8 × a scale; ONNX Runtime multiplies them when it loads it."""
    graph = model.graph
    large = {
        weights.name: numpy_helper.to_array(weights)
        for weights in graph.initializer
        if weights.data_type == onnx.TensorProto.FLOAT and np.prod(weights.dims) >= _LARGE and len(weights.dims) == 4
    }
    kept = [weights for weights in graph.initializer if weights.name not in large]
    nodes = []
    for name, weights in large.items():
        scale = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 127
        scale[scale == 0] = 1
        kept.append(numpy_helper.from_array(np.round(weights / scale).astype(np.int8), f"{name}_8"))
        kept.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        nodes.append(helper.make_node("Cast", [f"{name}_8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]))
    nodes.extend(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return model
