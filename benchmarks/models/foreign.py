"""What it costs to know of a network only what a bioimage.io package says: the same network, and fewer of its heads.

    python -m benchmarks.models.foreign [--images FOLDER] [--choose N]

The network of `nuclei` is made into packages of others, in format 0.5, whose outputs are foreground and boundary, the
foreground alone, or distance and foreground; each is scored beside `nuclei` and `otsu`, one image after the other, as
users run them. FOLDER has images/ and labels/. With --choose it tries a grid of the two settings that cellfleet adds,
on N evenly picked images: so its defaults were chosen, on training images (data/nuclear has only those of the
validation; `scripts/prepare_nuclear_data.py` makes the others).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import tifffile
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper

import cellfleet
from benchmarks.common import VALIDATION, save, table
from cellfleet.evaluation.matching import match, pool
from cellfleet.models import LoadedModel, load_model
from cellfleet.models.load import BUNDLED

OUTPUTS: Final = {
    "foreground and boundary": {"foreground": 2, "boundary": 3},
    "foreground": {"foreground": 2},
    "distance and foreground": {"distance": 0, "foreground": 2},
}
"""Names of channels → heads of `nuclei`, counted from 0."""
PROMINENCES: Final = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5)
SMOOTHINGS: Final = (0.0, 1.0, 1.5, 2.0)
Pair = tuple[NDArray[Any], NDArray[Any]]


def main() -> int:
    """Score all, and report."""
    parser = argparse.ArgumentParser(description="Score nuclei as packages of others.")
    parser.add_argument("--images", type=Path, default=VALIDATION, help="folder with images/ and labels/")
    parser.add_argument("--choose", type=int, metavar="N", help="try a grid of settings on N images; nothing is saved")
    given = parser.parse_args()
    pairs = list(images(given.images, given.choose))
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        for what, channels in OUTPUTS.items():
            model = load_model(repackaged(Path(folder) / what.replace(" ", "-"), channels), device="cpu")
            for tried in grid(model) if given.choose else (model,):
                post = tried.manifest.postprocess
                rows.append([what, f"{post.maxima_threshold:g}", f"{post.maxima_smooth:g}", *scored(tried, pairs)])
                print(*rows[-1], flush=True)
    rows += [
        [f"`{name}` itself", "", "", *scored(load_model(name, device="cpu"), pairs)] for name in ("nuclei", "otsu")
    ]
    header = ["outputs", "prominence", "smoothed, px", "F1 at IoU 0.5", "mean AP 0.5…0.9", "splits", "merges"]
    if given.choose:
        print(table(header, rows))
        return 0
    note = f"The network of `nuclei` as packages of others, {len(pairs)} images of BBBC038 that no training saw."
    save("foreign", [], {"rows": rows}, [note], table(header, rows))
    return 0


def images(folder: Path, most: int | None) -> Iterator[Pair]:
    """Yield images with their truth: all, or `most` evenly picked ones."""
    paths = sorted((folder / "images").glob("*.tif"))
    step = max(1, len(paths) // most) if most else 1
    for path in paths[::step][:most]:
        yield tifffile.imread(path), tifffile.imread(folder / "labels" / path.name)


def scored(model: LoadedModel, pairs: list[Pair]) -> list[str]:
    """Return F1, mean AP, splits and merges over all objects."""
    pooled = pool(
        match(np.asarray(cellfleet.segment(pixels, model=model, threads=1).labels), truth) for pixels, truth in pairs
    )
    ratios = (pooled.scores[0].f1, pooled.mean_average_precision)
    return [*(f"{ratio:.4f}" for ratio in ratios), str(pooled.errors.splits), str(pooled.errors.merges)]


def grid(model: LoadedModel) -> Iterator[LoadedModel]:
    """Yield the model with other settings."""
    for prominence, smoothing in itertools.product(PROMINENCES, SMOOTHINGS):
        change = {"maxima_threshold": prominence, "maxima_smooth": smoothing}
        post = model.manifest.postprocess.model_copy(update=change)
        yield replace(model, manifest=model.manifest.model_copy(update={"postprocess": post}))


def repackaged(folder: Path, channels: dict[str, int]) -> Path:
    """Write `nuclei` as a package of others; return its folder."""
    weights = graph((BUNDLED / "nuclei" / "nuclei.onnx").read_bytes(), list(channels.values()))
    space = [{"type": "space", "id": axis} for axis in "yx"]
    described = {
        "format_version": "0.5.4",
        "type": "model",
        "name": "nuclei of others",
        "inputs": [
            {
                "id": "raw",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["dapi"]},
                    *({**axis, "size": {"min": 144, "step": 16}} for axis in space),
                ],
                "preprocessing": [{"id": "scale_range", "kwargs": {"min_percentile": 1, "max_percentile": 99.8}}],
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": list(channels)},
                    *({**axis, "size": {"tensor_id": "raw", "axis_id": axis["id"]}, "halo": 64} for axis in space),
                ],
                "data": {"type": "float32", "range": [0, 1]},
            }
        ],
        "weights": {"onnx": {"source": "net.onnx", "sha256": hashlib.sha256(weights).hexdigest()}},
    }
    folder.mkdir()
    (folder / "net.onnx").write_bytes(weights)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def graph(weights: bytes, heads: list[int]) -> bytes:
    """Return the graph of `nuclei` without its contrast, and with some of its heads as float32 0…1."""
    model = onnx.load_from_string(weights)
    own = model.graph
    names = {"contrast": "own_contrast", "heads": "own_heads"}
    for node in own.node:
        for tensors in (node.input, node.output):
            for place, name in enumerate(tensors):
                tensors[place] = names.get(name, name)
    taken = [value for value in own.input if value.name != "contrast"]
    del own.input[:], own.output[:]
    own.input.extend(taken)
    own.output.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, [None] * 4))
    own.initializer.extend(
        [
            helper.make_tensor("own_contrast", TensorProto.FLOAT, [1, 1, 2], [0, 1]),
            helper.make_tensor("own_wanted", TensorProto.INT64, [len(heads)], heads),
            helper.make_tensor("own_range", TensorProto.FLOAT, [], [255.0]),
        ]
    )
    own.node.extend(
        [
            helper.make_node("Gather", ["own_heads", "own_wanted"], ["own_some"], axis=1),
            helper.make_node("Cast", ["own_some"], ["own_floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["own_floats", "own_range"], ["maps"]),
        ]
    )
    content: bytes = model.SerializeToString()
    return content


if __name__ == "__main__":
    sys.exit(main())
