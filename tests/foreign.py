"""Packages as others publish them at bioimage.io: descriptions of the formats 0.4 and 0.5, and graphs of a few nodes.

The graphs stand for trained networks: foreground is what is bright, a boundary where bright and dark meet. Fields and
their order follow published packages, such as "affable-shark" (format 0.4, `zero_mean_unit_variance`, two nameless
channels of which the second is the boundary).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper

Kind = Literal["foreground", "boundary", "classes"]

SHARK: dict[str, Any] = {
    "format_version": "0.4.9",
    "type": "model",
    "name": "NucleiSegmentationBoundaryModel",
    "description": "Nucleus segmentation for fluorescence microscopy",
    "license": "CC-BY-4.0",
    "tags": ["fluorescence-light-microscopy", "nuclei", "instance-segmentation", "unet", "2d"],
    "config": {"bioimageio": {"nickname": "gentle-shark"}, "deepimagej": {"allow_tiling": True}},
    "documentation": "documentation.md",
    "inputs": [
        {
            "name": "input0",
            "axes": "bcyx",
            "data_type": "float32",
            "data_range": ["-inf", "inf"],
            "shape": {"min": [1, 1, 64, 64], "step": [0, 0, 16, 16]},
            "preprocessing": [{"name": "zero_mean_unit_variance", "kwargs": {"axes": "cyx", "mode": "per_sample"}}],
        }
    ],
    "outputs": [
        {
            "name": "output0",
            "axes": "bcyx",
            "data_type": "float32",
            "halo": [0, 0, 16, 16],
            "shape": {"reference_tensor": "input0", "scale": [1, 2, 1, 1], "offset": [0, 0, 0, 0]},
        }
    ],
    "test_inputs": ["test_input_0.npy"],
    "test_outputs": ["test_output_0.npy"],
}
"""Format 0.4, as the torch_em library writes it."""

HALF_MICRON: dict[str, Any] = {"unit": "micrometer", "scale": 0.5}
NEWER: dict[str, Any] = {
    "format_version": "0.5.4",
    "type": "model",
    "id": "newer-fox",
    "version": "1.2",
    "name": "Nuclei of the newer format",
    "description": "Foreground and boundaries",
    "license": "MIT",
    "tags": ["nuclei"],
    "inputs": [
        {
            "id": "raw",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": ["dapi"]},
                {"type": "space", "id": "y", "size": {"min": 64, "step": 8}, **HALF_MICRON},
                {"type": "space", "id": "x", "size": {"min": 64, "step": 8}, **HALF_MICRON},
            ],
            "data": {"type": "uint16"},
            "preprocessing": [
                {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
                {
                    "id": "scale_range",
                    "kwargs": {"axes": ["channel", "y", "x"], "min_percentile": 1, "max_percentile": 99.8},
                },
                {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}},
                {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
            ],
            "test_tensor": {"source": "test_input_0.npy"},
        }
    ],
    "outputs": [
        {
            "id": "maps",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": ["foreground", "boundary"]},
                {"type": "space", "id": "y", "size": {"tensor_id": "raw", "axis_id": "y"}, "halo": 16, **HALF_MICRON},
                {"type": "space", "id": "x", "size": {"tensor_id": "raw", "axis_id": "x"}, "halo": 16, **HALF_MICRON},
            ],
            "test_tensor": {"source": "test_output_0.npy"},
        }
    ],
}
"""Format 0.5."""


def write_foreign(
    folder: Path,
    described: dict[str, Any],
    graph: bytes,
    tensors: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Path:
    """Write a package; return its folder.

    Args:
        folder: Is made.
        described: Of which ``weights`` is filled in.
        graph: The ONNX file.
        tensors: Test input and test output, which the description names; None: there are none.
    """
    folder.mkdir(parents=True)
    (folder / "weights.onnx").write_bytes(graph)
    for name, tensor in zip(("test_input_0.npy", "test_output_0.npy"), tensors or (), strict=False):
        np.save(folder / name, tensor)
    weights = {"onnx": {"source": "./weights.onnx", "sha256": hashlib.sha256(graph).hexdigest(), "opset_version": 17}}
    content = {**described, "weights": {**weights, "torchscript": {"source": "weights.pt", "sha256": "0" * 64}}}
    if tensors is None:
        content = without_tests(content)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder


def without_tests(described: dict[str, Any]) -> dict[str, Any]:
    """Return a description that names no test tensors."""
    left = {name: value for name, value in described.items() if name not in {"test_inputs", "test_outputs"}}
    for which in ("inputs", "outputs"):
        left[which] = [{k: v for k, v in tensor.items() if k != "test_tensor"} for tensor in left[which]]
    return left


def bright(
    kind: Kind = "boundary",
    *,
    axes: str = "bcyx",
    threshold: float = 0.5,
    steepness: float = 8.0,
    logits: bool = False,
    sides: tuple[int | str, int | str] = ("y", "x"),
    border: int = 0,
    roles: int = 1,
) -> bytes:
    """Return a graph: foreground is what is brighter than a threshold.

    Args:
        kind: Of its output: foreground alone; foreground and boundary; background, interior and boundary.
        axes: Of input and output.
        threshold: In units of what the graph is given.
        steepness: Of the sigmoid around it.
        logits: Leave out the sigmoid, where the output is the foreground alone.
        sides: Height and width of the input: a number is the only one that is taken.
        border: Pixels that the output leaves out at each side.
        roles: Input channels, of which the brightest counts.
    """
    outputs = {"foreground": ["inside"], "boundary": ["inside", "edge"], "classes": ["ground", "core", "edge"]}
    order = ["bcyx".index(axis) for axis in axes]
    shape = ["n" if axis == "b" else roles if axis == "c" else sides["yx".index(axis)] for axis in axes]
    nodes = [
        helper.make_node("Transpose", ["given"], ["all"], perm=[axes.index(axis) for axis in "bcyx"]),
        helper.make_node("ReduceMax", ["all"], ["raw"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["raw", "threshold"], ["above"]),
        helper.make_node("Mul", ["above", "steepness"], ["odds"]),
        helper.make_node("Identity" if logits else "Sigmoid", ["odds"], ["inside"]),
        helper.make_node("MaxPool", ["inside"], ["grown"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Neg", ["inside"], ["outside"]),
        helper.make_node("MaxPool", ["outside"], ["shrunk"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["grown", "shrunk"], ["edge"]),
        helper.make_node("Sub", ["one", "edge"], ["plain"]),
        helper.make_node("Mul", ["inside", "plain"], ["core"]),
        helper.make_node("Sub", ["one", "inside"], ["dark"]),
        helper.make_node("Mul", ["dark", "plain"], ["ground"]),
        helper.make_node("Concat", outputs[kind], ["maps"], axis=1),
        helper.make_node("Slice", ["maps", "from", "to", "space"], ["cut"]),
        helper.make_node("Transpose", ["cut"], ["predicted"], perm=order),
    ]
    floats = TensorProto.FLOAT
    numbers = {"threshold": threshold, "steepness": steepness, "one": 1.0}
    edges = {"from": [border] * 2, "to": [-border or 1 << 30] * 2, "space": [2, 3]}
    constants = [helper.make_tensor(name, floats, [], [value]) for name, value in numbers.items()]
    constants += [helper.make_tensor(name, TensorProto.INT64, [2], value) for name, value in edges.items()]
    made = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("given", floats, shape)],
        [helper.make_tensor_value_info("predicted", floats, [None] * 4)],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def discs(
    shape: tuple[int, int] = (160, 192), *, radius: int = 9, gap: int = 2, low: float = 100, high: float = 3000
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Draw bright discs in pairs that stand so close that a threshold alone parts them by a few dark pixels.

    Returns:
        The picture (Y, X), and the truth.
    """
    truth = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    step, number = 4 * radius + 12, 0
    for middle_y in range(radius + 8, shape[0] - radius - 4, 2 * radius + 10):
        for left in range(radius + 6, shape[1] - 3 * radius - gap - 4, step):
            for middle_x in (left, left + 2 * radius + gap):
                number += 1
                truth[(y - middle_y) ** 2 + (x - middle_x) ** 2 <= radius**2] = number
    noise = np.random.default_rng(0).normal(0, 20, shape)
    return np.clip(np.where(truth > 0, high, low) + noise, 0, 65535).astype(np.uint16), truth
