"""What 8-bit arithmetic would bring: a model package → the same package with an int8 graph, timed and scored beside it.

    python -m benchmarks.quantise.run PACKAGE DATASET --out PACKAGE_INT8

Calibrates on the training images of DATASET (train/ and val/ as `cellfleet train` takes it), scores on its validation
images through the pipeline that users run. First layer and head stay in float32; weights have 7 bits and a scale per
channel, so that processors without VNNI, where two 8-bit products overflow 16 bits, compute the same numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

import cellfleet
from benchmarks.common import MEGAPIXEL, VALIDATION, Bar, median, ratios, save, table
from benchmarks.fields import synthetic_field
from cellfleet.evaluation.matching import Match, match, pool
from cellfleet.models import load_model
from cellfleet.models.load import read_manifest
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.segment import ChannelChoice
from cellfleet.training.card import write_card
from cellfleet.training.dataset import Sample, load_dataset
from cellfleet.training.export import write_rdf
from cellfleet.training.loop import CHECKPOINT, LOG
from cellfleet.training.outcome import scores_of

Scores = dict[str, dict[str, float]]
"""Data → F1, AP and mean AP, as in a manifest."""
CALIBRATION_IMAGES = 30
CALIBRATION_SIDE = 256
PERCENTILE = 99.999
"""Of a layer's values; the largest one alone would waste a bit on outliers."""
QUANTISED = ("Conv", "MaxPool", "Concat", "Resize", "Add", "Relu")


class Calibration(CalibrationDataReader):
    """Crops of training images, in raw pixels with their contrast 0 to 1."""

    def __init__(self, samples: list[Sample], multiple: int) -> None:
        step = max(1, len(samples) // CALIBRATION_IMAGES)
        self._feeds = iter([feeds(sample.pixels, multiple) for sample in samples[::step][:CALIBRATION_IMAGES]])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input of the graph."""
        return next(self._feeds, None)


def feeds(pixels: NDArray[np.float32], multiple: int) -> dict[str, NDArray[np.float32]]:
    """Return a crop (1, R, Y, X) of samples that are already stretched to 0…1."""
    height, width = (min(n // multiple * multiple, CALIBRATION_SIDE) for n in pixels.shape[1:])
    contrast = np.array([[[0, 1]] * len(pixels)], np.float32)
    return {"pixels": pixels[np.newaxis, :, :height, :width], "contrast": contrast}


def main() -> int:
    """Quantise, time, score, report."""
    parser = argparse.ArgumentParser(description="Make an int8 package and compare it.")
    parser.add_argument("package", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    manifest = read_manifest(given.package)
    train, validation = load_dataset(given.dataset, channels=channels_of(manifest))
    quantise(given.package, train, given.out)
    seconds = time_both(given.package, given.out, given.rounds)
    gain, spread = ratios(seconds["int8"], seconds["float32"])
    scores = {name: package_scores(p, validation) for name, p in (("float32", given.package), ("int8", given.out))}
    _tell(given.out, scores["int8"])
    rows = [
        [name, f"{median(seconds[name]):.3f}", data, *(f"{value:.4f}" for value in its.values())]
        for name in seconds
        for data, its in scores[name].items()
    ]
    tables = table(["graph", "network, s/Mpx, one thread", "data", "f1", "ap", "mean_ap"], rows)
    lost = max(its["f1"] - scores["int8"][data]["f1"] for data, its in scores["float32"].items())
    bars = [
        Bar("int8 against float32, network", 1.7, None, gain, "×", True, spread),
        Bar("F1@0.5 lost", 0.002, None, lost, "", False),
    ]
    place = "quantise" if manifest.name == "nuclei" else f"quantise-{manifest.name}"
    save(place, bars, {"seconds": seconds, "scores": scores}, ["Paired runs on a dense megapixel field."], tables)
    return 0


def channels_of(manifest: ModelManifest) -> tuple[ChannelChoice, ...]:
    """Return which channels of the images play which role, as the model was trained."""
    told = manifest.training.get("spec", {}).get("channels", [])
    return tuple(ChannelChoice.model_validate(choice) for choice in told)


def quantise(package: Path, samples: list[Sample], out: Path) -> None:
    """Write `package` with an int8 graph, its hash and its test tensor to `out`."""
    manifest = read_manifest(package)
    shutil.copytree(package, out, ignore=shutil.ignore_patterns(CHECKPOINT), dirs_exist_ok=True)
    weights = out / f"{manifest.name}.onnx"
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary) / "prepared.onnx"
        quant_pre_process(str(package / weights.name), str(prepared), skip_symbolic_shape=True)
        onnx.save(_with_shortcut_after_stem(onnx.load(prepared)), prepared)
        quantize_static(
            str(prepared),
            str(weights),
            Calibration(samples, manifest.tile.multiple),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=list(_kept(onnx.load(prepared))),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
    # The package's own test compares with what this graph gives.
    tensors: dict[str, Any] = {name: np.load(out / f"test_{name}.npy") for name in ("pixels", "contrast")}
    write_rdf(manifest, out)
    predictor = load_model(out, device="cpu").predictor
    np.save(out / "test_heads.npy", predictor.predict(tensors["pixels"][0], tensors["contrast"][0])[np.newaxis])
    write_rdf(manifest, out)


def _tell(package: Path, scores: Scores) -> None:
    """Put the scores of the int8 graph into its manifest and card."""
    manifest = read_manifest(package)
    training = {**manifest.training, "arithmetic": "int8; first layer and head float32"}
    told = manifest.model_copy(update={"scores": {**manifest.scores, **scores}, "training": training})
    write_rdf(told, package)
    if (package / LOG).exists() and (package / "README.md").exists():
        write_card(
            told, package, [json.loads(line) for line in (package / LOG).read_text(encoding="utf-8").splitlines()]
        )


def _with_shortcut_after_stem(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a 1 × 1 convolution that changes nothing into the shortcut of the first block.

    Without it the int8 addition there gets one operand in ONNX Runtime's other memory layout, which then spreads to a
    pooling and a concatenation at the finest level: a tenth of the whole graph.
    """
    nodes = model.graph.node
    stem = next(
        node.input[0] for node in nodes if node.name.startswith("/network/down.0/first") and node.op_type == "Conv"
    )
    add = next(node for node in nodes if node.op_type == "Add" and stem in node.input)
    width = next(i.dims[0] for i in model.graph.initializer if i.name == _first_conv(model).input[1])
    same = np.eye(width, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    model.graph.initializer.append(onnx.numpy_helper.from_array(same, "same"))
    shortcut = onnx.helper.make_node("Conv", [stem, "same"], ["shortcut_output"], "/network/down.0/shortcut/Conv")
    position = list(nodes).index(add)
    add.input[list(add.input).index(stem)] = "shortcut_output"
    nodes.insert(position, shortcut)
    return model


def _first_conv(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Conv")


def _kept(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the nodes that stay in float32: contrast, first layer, head and what follows it."""
    for node in model.graph.node:
        if not node.name.startswith("/network/") or "/stem/" in node.name or "/head/" in node.name:
            yield node.name


def package_scores(package: Path, samples: list[Sample]) -> Scores:
    """Return F1 and AP at IoU 0.5 and AP averaged over 0.5…0.9, through the pipeline that users run."""
    model = load_model(package, device="cpu")
    channels = list(range(len(model.manifest.roles)))
    size = model.manifest.microns_per_pixel
    found = [
        cellfleet.segment(s.pixels, axes="CYX", model=model, channels=channels, pixel_size=size, threads=1)
        for s in samples
    ]
    names = ["validation"] if model.manifest.nuclei is None else ["validation, whole cells", "validation, nuclei"]
    matches: dict[str, list[Match]] = {name: [] for name in names}
    for result, sample in zip(found, samples, strict=True):
        labels = [result.labels, *([result.nuclei.labels] if result.nuclei else [])]
        for name, of_compartment, truth in zip(names, labels, sample.compartments, strict=True):
            matches[name].append(match(of_compartment, truth))
    return {name: scores_of(pool(its)) for name, its in matches.items()}


def time_both(package: Path, quantised: Path, rounds: int) -> dict[str, list[float]]:
    """Return processor seconds per megapixel, paired."""
    field = synthetic_field("dense", VALIDATION, 0)
    roles = len(read_manifest(package).roles)
    pixels = np.repeat(field.pixels[np.newaxis].astype(np.float32), roles, axis=0)
    contrast = np.repeat(np.percentile(pixels, (1, 99.8)).astype(np.float32)[np.newaxis], roles, axis=0)
    predictors = {
        name: load_model(path, device="cpu").predictor for name, path in (("float32", package), ("int8", quantised))
    }
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    for turn in range(rounds + 1):
        for name, predictor in predictors.items():
            began = time.process_time()
            predictor.predict(pixels, contrast)
            if turn:
                seconds[name].append((time.process_time() - began) * MEGAPIXEL / field.pixels.size)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
