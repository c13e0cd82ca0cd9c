"""Small model packages for tests: a graph of a few nodes, its test tensors, and a description."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper


def write_package(folder: Path, name: str = "small", version: str = "1.0", *, gain: float = 1.0) -> Path:
    """Write a model whose heads are both 255 · gain · contrast, cut at 255; return its folder."""
    folder.mkdir(parents=True)
    weights = graph(gain)
    (folder / "weights.onnx").write_bytes(weights)
    pixels = np.linspace(0, 200, 32 * 48, dtype=np.float32).reshape(1, 1, 32, 48)
    contrast = np.array([[[20, 180]]], np.float32)
    tensors = {"pixels": pixels, "contrast": contrast, "heads": expected(pixels, contrast, gain)}
    for tensor, values in tensors.items():
        np.save(folder / f"test_{tensor}.npy", values)
    (folder / "README.md").write_text(f"# {name}\n", encoding="utf-8")
    described = {
        "name": f"a small model called {name}",
        "description": "Bright is a cell.",
        "license": "CC0-1.0",
        "documentation": "README.md",
        "inputs": [_tensor(folder, "pixels"), _tensor(folder, "contrast")],
        "outputs": [_tensor(folder, "heads")],
        "weights": {"onnx": {"source": "weights.onnx", "sha256": hashlib.sha256(weights).hexdigest()}},
        "config": {
            "cellfleet": {
                "name": name,
                "version": version,
                "heads": ["outer_distance", "foreground"],
                "tile": {"multiple": 16, "halo": 16},
                "postprocess": {"maxima_head": "outer_distance", "interior_head": "foreground"},
            }
        },
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def write_tissue(folder: Path, name: str = "small-tissue") -> Path:
    """Write a model of two channels: what is bright in the membrane's is a cell, in the nuclear one its nucleus."""
    write_package(folder, name)
    weights = graph(1, roles=2)
    (folder / "weights.onnx").write_bytes(weights)
    manifest = {
        "name": name,
        "version": "1.0",
        "roles": ["nuclear", "membrane"],
        "compartment": "whole-cell",
        "microns_per_pixel": 0.5,
        "heads": ["nuclei_outer_distance", "outer_distance", "nuclei_foreground", "foreground"],
        "tile": {"multiple": 16, "halo": 16},
        "postprocess": {"maxima_head": "outer_distance", "interior_head": "foreground"},
        "nuclei": {"maxima_head": "nuclei_outer_distance", "interior_head": "nuclei_foreground"},
    }
    graph_file = {"source": "weights.onnx", "sha256": hashlib.sha256(weights).hexdigest()}
    change(folder, inputs=[], outputs=[], weights={"onnx": graph_file}, config={"cellfleet": manifest})
    return folder


def write_otsu(folder: Path, name: str, version: str, *, radius: int = 2) -> Path:
    """Write a package that needs no weights; return its folder."""
    folder.mkdir(parents=True)
    manifest = {
        "name": name,
        "version": version,
        "predictor": "otsu",
        "heads": ["outer_distance", "foreground"],
        "postprocess": {"maxima_head": "outer_distance", "interior_head": "foreground", "radius": radius},
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump({"config": {"cellfleet": manifest}}), encoding="utf-8")
    return folder


def write_classifier(folder: Path, name: str = "colours", version: str = "1.0", *, weights: bytes = b"") -> Path:
    """Write a package that says how red, green and blue an image of 8 × 6 px is; return its folder."""
    folder.mkdir(parents=True)
    weights = weights or mean_colours()
    (folder / "net.onnx").write_bytes(weights)
    manifest = {
        "task": "classification",
        "name": name,
        "version": version,
        "classes": ["red", "green", "blue"],
        "axes": "yxc",
        "size": [8, 6],
    }
    graph_file = {"source": "net.onnx", "sha256": hashlib.sha256(weights).hexdigest()}
    described = {"weights": {"onnx": graph_file}, "config": {"cellfleet": manifest}}
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def mean_colours(batch: int | str = "n") -> bytes:
    """Return an ONNX file: (n, 8, 6, 3) → the mean of each channel, (n, 3)."""
    floats = TensorProto.FLOAT
    made = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["scores"], axes=[1, 2], keepdims=0)],
        "colours",
        [helper.make_tensor_value_info("image", floats, [batch, 8, 6, 3])],
        [helper.make_tensor_value_info("scores", floats, [batch, 3])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def change(package: Path, **changes: object) -> None:
    """Change fields of the description; ``a__b`` is the field b of a."""
    content = yaml.safe_load((package / "rdf.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for name in parents:
            target = target[int(name) if isinstance(target, list) else name]
        target[last] = value
    (package / "rdf.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def expected(pixels: NDArray[np.float32], contrast: NDArray[np.float32], gain: float = 1.0) -> NDArray[np.uint8]:
    """Compute what `write_package`'s graph says."""
    low, high = contrast[..., 0, None, None], contrast[..., 1, None, None]
    heads = np.clip((pixels - low) / (high - low) * np.float32(255 * gain), 0, 255).astype(np.uint8)
    return np.concatenate([heads, heads], axis=1)


def graph(gain: float, roles: int = 1) -> bytes:
    """Return an ONNX file; of several roles, the heads are those of each role, twice."""
    floats = TensorProto.FLOAT
    nodes = [
        helper.make_node("Split", ["contrast", "halves"], ["low3", "high3"], axis=2),
        helper.make_node("Unsqueeze", ["low3", "last"], ["low"]),
        helper.make_node("Unsqueeze", ["high3", "last"], ["high"]),
        helper.make_node("Sub", ["pixels", "low"], ["above"]),
        helper.make_node("Sub", ["high", "low"], ["range"]),
        helper.make_node("Div", ["above", "range"], ["share"]),
        helper.make_node("Mul", ["share", "gain"], ["bright"]),
        helper.make_node("Clip", ["bright", "least", "most"], ["cut"]),
        helper.make_node("Cast", ["cut"], ["head"], to=TensorProto.UINT8),
        helper.make_node("Concat", ["head", "head"], ["heads"], axis=1),
    ]
    constants = [
        helper.make_tensor("halves", TensorProto.INT64, [2], [1, 1]),
        helper.make_tensor("last", TensorProto.INT64, [1], [3]),
        helper.make_tensor("gain", floats, [], [255 * gain]),
        helper.make_tensor("least", floats, [], [0]),
        helper.make_tensor("most", floats, [], [255]),
    ]
    made = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("pixels", floats, ["n", roles, "y", "x"]),
            helper.make_tensor_value_info("contrast", floats, ["n", roles, 2]),
        ],
        [helper.make_tensor_value_info("heads", TensorProto.UINT8, ["n", 2 * roles, "y", "x"])],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def npy(values: NDArray[Any]) -> bytes:
    """Return the content of an ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _tensor(folder: Path, name: str) -> dict[str, Any]:
    source = f"test_{name}.npy"
    return {
        "id": name,
        "test_tensor": {"source": source, "sha256": hashlib.sha256((folder / source).read_bytes()).hexdigest()},
    }
