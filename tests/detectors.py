"""A small model package that detects: a graph of a few nodes that finds bright cells of 8 × 8 px."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper

CELL_PX = 8


def write_detector(folder: Path, name: str = "cells", version: str = "1.0", **changes: Any) -> Path:
    """Write a model that finds every cell of a grid of 8 px in which some pixel is brighter than half; its folder."""
    folder.mkdir(parents=True)
    weights = detector_graph()
    (folder / "weights.onnx").write_bytes(weights)
    pixels = bright_cells((32, 48))[np.newaxis, np.newaxis]
    contrast = np.array([[[20, 180]]], np.float32)
    for tensor, values in zip(
        ("pixels", "contrast", "boxes", "scores", "masks"), (pixels, contrast, *found_in(pixels[0, 0])), strict=True
    ):
        np.save(folder / f"test_{tensor}.npy", values)
    described = {
        "license": "CC0-1.0",
        "inputs": [_tensor(folder, name) for name in ("pixels", "contrast")],
        "outputs": [_tensor(folder, name) for name in ("boxes", "scores", "masks")],
        "weights": {"onnx": {"source": "weights.onnx", "sha256": hashlib.sha256(weights).hexdigest()}},
        "config": {
            "cellfleet": {
                "name": name,
                "version": version,
                "heads": [],
                "tile": {"multiple": CELL_PX, "halo": CELL_PX, "largest": 64},
                "postprocess": {"method": "detection", "largest_px": 2 * CELL_PX},
                **changes,
            }
        },
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def bright_cells(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw a board of bright and dark cells; the labels that its detector finds are `numbered` of it."""
    y, x = np.indices(shape) // CELL_PX
    return np.where((y + x) % 2, 200, 10).astype(np.float32)


def numbered(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the labels that are found in a board, of whole cells at least half bright."""
    labels, number = np.zeros(pixels.shape, np.uint32), 0
    for y in range(0, pixels.shape[0], CELL_PX):
        for x in range(0, pixels.shape[1], CELL_PX):
            if pixels[y : y + CELL_PX, x : x + CELL_PX].max() > 100:
                number += 1
                labels[y : y + CELL_PX, x : x + CELL_PX] = number
    return labels


def found_in(pixels: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return boxes (1, n, 4), scores (1, n) and masks (1, n, 28, 28) that the graph gives for contrast 20 to 180."""
    height, width = (length // CELL_PX for length in pixels.shape)
    most = pixels.reshape(height, CELL_PX, width, CELL_PX).max((1, 3))
    y, x = np.nonzero((most - 20) / 160 > 0.5)
    corner = CELL_PX * np.stack([y, x], 1).astype(np.float32)
    scores = np.clip((most[y, x] - 20) / 160, 0, 1).astype(np.float32)
    return (
        np.concatenate([corner, corner + CELL_PX], 1)[None],
        scores[None],
        np.full((1, len(y), 28, 28), 255, np.uint8),
    )


def detector_graph(masks: str = "masks") -> bytes:
    """Return the ONNX file; `masks` is what it calls that output."""
    make, types = helper.make_node, TensorProto
    nodes = [
        make("Split", ["contrast", "halves"], ["low3", "high3"], axis=2),
        make("Unsqueeze", ["low3", "last"], ["low"]),
        make("Unsqueeze", ["high3", "last"], ["high"]),
        make("Sub", ["pixels", "low"], ["above"]),
        make("Sub", ["high", "low"], ["range"]),
        make("Div", ["above", "range"], ["share"]),
        make("MaxPool", ["share"], ["most"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2),
        make("Greater", ["most", "half"], ["bright"]),
        make("NonZero", ["bright"], ["places"]),
        make("Transpose", ["places"], ["rows"], perm=[1, 0]),
        make("GatherND", ["most", "rows"], ["chances"]),
        make("Clip", ["chances", "none", "one"], ["cut"]),
        make("Unsqueeze", ["cut", "first"], ["scores"]),
        make("Cast", ["rows"], ["placed"], to=types.FLOAT),
        make("Slice", ["placed", "two", "four", "axis"], ["cells"]),
        make("Mul", ["cells", "side"], ["corner"]),
        make("Add", ["corner", "side"], ["end"]),
        make("Concat", ["corner", "end"], ["sides"], axis=1),
        make("Unsqueeze", ["sides", "first"], ["boxes"]),
        make("Shape", ["scores"], ["count"]),
        make("Concat", ["count", "square"], ["all"], axis=0),
        make("Expand", ["full", "all"], [masks]),
    ]
    integers = {"halves": [1, 1], "last": [3], "first": [0], "two": [2], "four": [4], "axis": [1], "square": [28, 28]}
    floats = {"half": 0.5, "none": 0, "one": 1, "side": CELL_PX}
    constants = [
        *(helper.make_tensor(name, types.INT64, [len(values)], values) for name, values in integers.items()),
        *(helper.make_tensor(name, types.FLOAT, [], [value]) for name, value in floats.items()),
        helper.make_tensor("full", types.UINT8, [], [255]),
    ]
    takes = [("pixels", types.FLOAT, [1, 1, "y", "x"]), ("contrast", types.FLOAT, [1, 1, 2])]
    gives = [
        ("boxes", types.FLOAT, [1, "n", 4]), ("scores", types.FLOAT, [1, "n"]), (masks, types.UINT8, [1, "n", 28, 28]),
    ]  # fmt: skip
    ends = [[helper.make_tensor_value_info(*end) for end in some] for some in (takes, gives)]
    made = helper.make_graph(nodes, "detector", ends[0], ends[1], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _tensor(folder: Path, name: str) -> dict[str, Any]:
    source = f"test_{name}.npy"
    return {
        "id": name,
        "test_tensor": {"source": source, "sha256": hashlib.sha256((folder / source).read_bytes()).hexdigest()},
    }
