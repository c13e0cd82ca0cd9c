"""Small translation models and workflows for tests, and stacks of planes that they can be given.

The translator's image is the mean over 5 × 5 pixels of all planes, from contrast to a thousand grey levels: it has a
halo, so that a tile without context would show.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper
from tests.packages import write_otsu
from tests.support import discs

PLANES = 3
REACH = 2


def write_translator(folder: Path, name: str = "stain", version: str = "1.0", *, outputs: int = 1, **more: Any) -> Path:
    """Write a model that predicts `outputs` equal channels from three planes; return its folder."""
    folder.mkdir(parents=True)
    weights = _graph(outputs)
    (folder / "weights.onnx").write_bytes(weights)
    pixels = np.linspace(0, 200, PLANES * 16 * 16, dtype=np.float32).reshape(1, PLANES, 16, 16)
    contrast = np.array([[[20, 180]] * PLANES], np.float32)
    image = _expected(pixels[0], contrast[0], outputs)[None]
    for tensor, values in (("pixels", pixels), ("contrast", contrast), ("image", image)):
        np.save(folder / f"test_{tensor}.npy", values)
    manifest = {
        "task": "translation",
        "name": name,
        "version": version,
        "planes": PLANES,
        "outputs": [f"predicted DAPI {number}" for number in range(1, outputs + 1)] if outputs > 1 else ["DAPI"],
        "tile": {"multiple": 2, "halo": REACH, "largest": 40},
        **more,
    }
    described = {
        "description": "Predicts a stain.",
        "license": "CC0-1.0",
        "inputs": [_tensor(folder, "pixels"), _tensor(folder, "contrast")],
        "outputs": [_tensor(folder, "image")],
        "weights": {"onnx": {"source": "weights.onnx", "sha256": hashlib.sha256(weights).hexdigest()}},
        "config": {"cellfleet": manifest},
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def write_workflow(folder: Path, *steps: str, name: str = "chain", version: str = "1.0") -> Path:
    """Write a workflow of models by name; return its folder."""
    folder.mkdir(parents=True)
    manifest = {"task": "workflow", "name": name, "version": version, "steps": list(steps)}
    described = {"description": "A chain.", "license": "CC0-1.0", "config": {"cellfleet": manifest}}
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def write_chain(folder: Path, **more: Any) -> Path:
    """Write the translator ``stain``, the segmenter ``finder`` and the workflow ``chain`` of both; return the last."""
    write_translator(folder / "stain", **more)
    write_otsu(folder / "finder", "finder", "1.0")
    return write_workflow(folder / "chain", "stain", "finder:1.0")


def stack(height: int = 64, width: int = 80, planes: int = PLANES, *, tiles: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Return planes (Z, Y, X), uint16, in which bright discs stand out from a noisy ground the less, the higher."""
    plane = np.tile(discs(height, width), tiles).astype(np.float64)
    noise = np.random.default_rng(1).normal(0, 3, (planes, *plane.shape))
    fading = np.linspace(1, 0.5, planes)[:, None, None]
    return (100 + (plane - 100) * fading + noise + 20).astype(np.uint16)


def _expected(pixels: np.ndarray, contrast: np.ndarray, outputs: int) -> np.ndarray:
    low, high = contrast.T[:, :, None, None]
    mean = ((pixels - low) / (high - low)).mean(0)
    padded = np.pad(mean, REACH, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1))
    image = np.clip(np.rint(1000 * (1 + windows.mean((2, 3)))), 0, 65535).astype(np.uint16)
    return np.stack([image] * outputs)


def _graph(outputs: int) -> bytes:
    side = 2 * REACH + 1
    kernel = np.full((outputs, PLANES, side, side), 1 / (PLANES * side * side), np.float32)
    constants = {
        "kernel": kernel,
        "axis": np.array([3]),
        "by": np.array([0, 0, REACH, REACH, 0, 0, REACH, REACH]),
        "one": np.float32(1),
        "grey": np.float32(1000),
        "black": np.float32(0),
        "white": np.float32(65535),
    }
    nodes = [
        helper.make_node("Split", ["contrast"], ["low2", "high2"], axis=2, num_outputs=2),
        helper.make_node("Unsqueeze", ["low2", "axis"], ["low"]),
        helper.make_node("Unsqueeze", ["high2", "axis"], ["high"]),
        helper.make_node("Sub", ["pixels", "low"], ["above"]),
        helper.make_node("Sub", ["high", "low"], ["range"]),
        helper.make_node("Div", ["above", "range"], ["seen"]),
        helper.make_node("Pad", ["seen", "by"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "kernel"], ["mean"]),
        helper.make_node("Add", ["mean", "one"], ["positive"]),
        helper.make_node("Mul", ["positive", "grey"], ["levels"]),
        helper.make_node("Round", ["levels"], ["whole"]),
        helper.make_node("Clip", ["whole", "black", "white"], ["cut"]),
        helper.make_node("Cast", ["cut"], ["image"], to=TensorProto.UINT16),
    ]
    graph = helper.make_graph(
        nodes,
        "translator",
        [
            helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", PLANES, "y", "x"]),
            helper.make_tensor_value_info("contrast", TensorProto.FLOAT, ["n", PLANES, 2]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT16, ["n", outputs, "y", "x"])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _tensor(folder: Path, name: str) -> dict[str, Any]:
    content = (folder / f"test_{name}.npy").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"id": name, "test_tensor": {"source": f"test_{name}.npy", "sha256": digest}}
