"""An ONNX file of an image classifier → a model package that a service can offer. Knows no service and no network."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from cellfleet.errors import ModelError, OutputError
from cellfleet.inference.classifier import Classifier
from cellfleet.inference.graph import Graph
from cellfleet.models.listing import read_named_package
from cellfleet.models.package import RDF, broken
from cellfleet.spec.model import ClassifierManifest

_MOST_CHANNELS: Final = 4
"""Which axis is the channels is seen by it: nobody classifies images of so few pixels."""
_SEED: Final = 0


def package_classifier(
    graph: Path,
    out: Path,
    *,
    name: str,
    version: str = "1.0",
    classes: Sequence[str] = (),
    mean: Sequence[float] = (),
    deviation: Sequence[float] = (),
) -> ClassifierManifest:
    """Write a package: ``rdf.yaml``, the graph, and test tensors of one image of noise.

    Args:
        graph: ONNX file of one input (N, Y, X, C) or (N, C, Y, X) and one output (N, classes), both float32.
        out: Folder, is made.
        name: Of the model, for people and for the service.
        version: Of the model.
        classes: Names in the order of the scores; none: ``class 0``, ``class 1`` and so on.
        mean: Per channel, of pixels as 0…255, or one for all; none: 127.5.
        deviation: As the mean.

    Raises:
        ModelError: E402 name or version cannot be used, E404 it is no graph, E766 it is no image classifier.
        OutputError: E767, a file cannot be read or written.
    """
    try:
        weights = graph.read_bytes()
    except OSError as error:
        raise _not_written(graph, error) from error
    manifest = _manifest(Graph(weights, str(graph), device="cpu"), str(graph), name, version, tuple(classes))
    channels = min(manifest.shape[0], manifest.shape[2])
    manifest = _checked(
        manifest.model_dump() | {"mean": _each(mean, channels), "deviation": _each(deviation, channels)},
        str(graph),
    )
    classifier = Classifier(weights, str(graph), manifest.shape, len(manifest.classes), device="cpu")
    image = np.random.default_rng(_SEED).normal(size=(1, *manifest.shape)).astype(np.float32)
    files = {
        f"{name}.onnx": weights,
        "test_image.npy": _npy(image),
        "test_scores.npy": _npy(classifier.scores(image)),
    }
    files[RDF] = yaml.safe_dump(_description(manifest, files), sort_keys=False, allow_unicode=True).encode()
    read_named_package(files[RDF], f"{out}/{RDF}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (out / file).write_bytes(content)
    except OSError as error:
        raise _not_written(out, error) from error
    return manifest


def _manifest(graph: Graph, where: str, name: str, version: str, classes: tuple[str, ...]) -> ClassifierManifest:
    """Return what the shapes of the graph's tensors say. Raises `ModelError` E766."""
    shapes = [tensor.shape for tensor in (*graph.inputs, *graph.outputs)]
    if [len(shape) for shape in shapes] != [4, 2] or -1 in shapes[0][1:] or shapes[1][1] == -1:
        raise _no_classifier(where, f"its tensors have the shapes {', '.join(map(str, shapes))} (-1: any)")
    (_, *image), (_, count) = shapes
    axes: Literal["cyx", "yxc"] = "cyx" if image[0] <= _MOST_CHANNELS < image[2] else "yxc"
    height, width, channels = image if axes == "yxc" else (*image[1:], image[0])
    if channels > _MOST_CHANNELS:
        raise _no_classifier(where, f"no axis of its input {image} can be the channels")
    if classes and len(classes) != count:
        raise _no_classifier(where, f"it has {count} scores, and {len(classes)} classes are named")
    named = classes or tuple(f"class {number}" for number in range(count))
    content = {"task": "classification", "name": name, "version": version, "classes": named, "axes": axes}
    ones = (127.5,) * channels
    return _checked(content | {"size": (height, width), "mean": ones, "deviation": ones}, where)


def _checked(content: dict[str, Any], where: str) -> ClassifierManifest:
    try:
        return ClassifierManifest.model_validate(content)
    except ValidationError as error:
        raise broken(where, str(error.errors()[0]["msg"])) from error


def _each(given: Sequence[float], channels: int) -> tuple[float, ...]:
    values = tuple(given) or (127.5,)
    return values * channels if len(values) == 1 else values


def _description(manifest: ClassifierManifest, files: dict[str, bytes]) -> dict[str, Any]:
    def file(source: str) -> dict[str, str]:
        return {"source": source, "sha256": hashlib.sha256(files[source]).hexdigest()}

    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": manifest.name,
        "description": f"Says which of {len(manifest.classes)} classes an image shows.",
        "version": manifest.version,
        "inputs": [{"id": "image", "test_tensor": file("test_image.npy")}],
        "outputs": [{"id": "scores", "test_tensor": file("test_scores.npy")}],
        "weights": {"onnx": file(f"{manifest.name}.onnx")},
        "config": {"cellfleet": manifest.model_dump(mode="json")},
    }


def _npy(values: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def _no_classifier(where: str, why: str) -> ModelError:
    return ModelError(
        "E766",
        f"is no image classifier: {why}",
        where=where,
        action="Export it with one input (N, Y, X, C) or (N, C, Y, X) and one output (N, classes); only N may be open",
    )


def _not_written(where: Path, error: OSError) -> OutputError:
    return OutputError(
        "E767", f"cannot be read or written ({error.strerror or error})", where=str(where), action="Choose another path"
    )
