"""Is a package what it says? Its files are read, its weights loaded, its test tensors predicted. Stores nothing."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.adapted import AdaptedPredictor, as_planes
from cellfleet.inference.detections import MASK_PX
from cellfleet.inference.detector import OUTPUTS
from cellfleet.models.bioimage.manifest import with_outputs
from cellfleet.models.listing import LARGEST_WEIGHTS_BYTES, read_named_package
from cellfleet.models.load import (
    AnyModel,
    LoadedClassifier,
    LoadedModel,
    LoadedTranslator,
    require_content,
    start_any,
    start_translator,
)
from cellfleet.models.package import LARGEST_RDF_BYTES, RDF, README, Example, Package, broken
from cellfleet.models.source import Source
from cellfleet.spec.model import TranslatorManifest, WorkflowManifest
from cellfleet.spec.postprocess import Detection

_LARGEST_TENSOR_BYTES = 16 << 20
"""Four megapixels of one channel: what a processor predicts in seconds."""
_LARGEST_TEXT_BYTES = 1 << 20
_LARGEST_PICTURE_BYTES = 4 << 20
_LARGEST_START_BYTES = 256 << 20
_STEPS = 2
"""Of 255, by which runtimes and processors round differently."""
_BOX_PX, _SCORE = 0.25, 0.02
"""By which they may place and rate a detected object differently."""
MOST_ELSEWHERE = 0.01
"""Share of values that may differ by more."""


@dataclass(frozen=True)
class Checked:
    """A package that works."""

    package: Package
    content: bytes
    """Of its ``rdf.yaml``."""
    files: Mapping[str, bytes]
    """All others that belong to it, by name."""

    @property
    def weights_bytes(self) -> int:
        """Size of its weights."""
        return len(self.files[self.package.graph.source]) if self.package.graph else 0


def check_package(source: Source, *, outputs: Sequence[str] = ()) -> Checked:
    """Read and try a package.

    Args:
        source: Its files.
        outputs: What each output channel of a package of others means; empty: as its description says.

    Raises:
        ModelError: E402 broken, E403 a file is another one, E404 not loadable, E407 it predicts something else than it
            says, E430–E434 it is a package of others that cannot be run.
        InputError, OutputError: It cannot be read.
    """
    content = source.read(RDF, LARGEST_RDF_BYTES) or b""
    if outputs:
        content = with_outputs(content, outputs)
    package = read_named_package(content, f"{source.where}/{RDF}")
    files = {}
    if package.graph:
        files[package.graph.source] = _file(source, package.graph, LARGEST_WEIGHTS_BYTES)
    for file in package.test_tensors.values():
        files[file.source] = _file(source, file, _LARGEST_TENSOR_BYTES)
    beside = {
        README: _LARGEST_TEXT_BYTES,
        package.text: _LARGEST_TEXT_BYTES,
        package.cover: _LARGEST_PICTURE_BYTES,
        package.start: _LARGEST_START_BYTES,
    }
    for name, most in beside.items():
        if name and (more := source.read(name, most)) is not None:
            files.setdefault(name, more)
    if isinstance(package.declared, WorkflowManifest):  # its steps are tried when they are added themselves
        return Checked(package, content, files)
    weights = files[package.graph.source] if package.graph else b""
    start = start_translator if isinstance(package.declared, TranslatorManifest) else start_any
    model = start(package, weights, source.where, device="cpu")
    tensors = {name: _array(files[file.source], file.source, source) for name, file in package.test_tensors.items()}
    _require_same(model, package, tensors, source.where)
    return Checked(package, content, files)


def _require_same(
    model: AnyModel | LoadedTranslator, package: Package, tensors: Mapping[str, NDArray[Any]], where: str
) -> None:
    """Raise `ModelError` E407 unless the model predicts what its test tensors say; without them nothing is asked."""
    if not package.has_test:
        return
    if isinstance(model, LoadedClassifier):
        _require_scores(model, tensors["image"], tensors["scores"], where)
    elif isinstance(model, LoadedTranslator):
        _require_image(model, tensors, where)
    elif isinstance(model.predictor, AdaptedPredictor):
        _require_outputs(model.predictor, tensors, where)
    elif model.manifest.detection:
        _require_detections(model, model.manifest.detection, tensors, where)
    else:
        _require_prediction(model, tensors, where)


def share_elsewhere(heads: NDArray[np.uint8], said: NDArray[np.uint8]) -> float:
    """Return the share of values that differ by more than runtimes and processors do."""
    return float((np.abs(heads.astype(np.int16) - said) > _STEPS).mean())


def _file(source: Source, file: Example, most: int) -> bytes:
    content = source.read(file.source, most)
    if content is None:
        raise broken(source.where, f"{file.source} is missing")
    require_content(file, content, source.where)
    return content


def _array(content: bytes, name: str, source: Source) -> NDArray[Any]:
    """Return what an ``.npy`` file holds: numbers, no objects; no memory is taken for what its header only claims."""
    file = io.BytesIO(content)
    try:
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read_header[np.lib.format.read_magic(file)](file)
        return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C")
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError) as error:
        raise broken(source.where, f"{name} is no array ({error})") from error


def _require_prediction(model: LoadedModel, tensors: Mapping[str, NDArray[Any]], where: str) -> None:
    pixels, contrast, heads = tensors["pixels"], tensors["contrast"], tensors["heads"]
    channels, maps = model.manifest.channels, len(model.manifest.heads)
    if pixels.ndim != 4 or pixels.shape[1] != channels or contrast.shape != (len(pixels), channels, 2):
        raise broken(where, f"its test tensors have the shapes {pixels.shape} and {contrast.shape}")
    expected = (len(pixels), maps, *pixels.shape[2:])
    if heads.shape != expected or heads.dtype != np.uint8 or 0 in expected:
        raise broken(where, f"the test tensor of heads is {heads.dtype} {heads.shape}, not uint8 {expected}")
    if not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (pixels, contrast)):
        raise broken(where, "its test tensors hold values that are no numbers")
    for given, low_high, said in zip(pixels.astype(np.float32), contrast.astype(np.float32), heads, strict=True):
        share = share_elsewhere(model.predictor.predict(given, low_high), said)
        if share > MOST_ELSEWHERE:
            raise _another_prediction(share, where)


def _require_detections(model: LoadedModel, spec: Detection, tensors: Mapping[str, NDArray[Any]], where: str) -> None:
    pixels, contrast, boxes, scores, masks = (tensors[name] for name in ("pixels", "contrast", *OUTPUTS))
    channels, count = model.manifest.channels, scores.size
    shapes = [array.shape for array in (contrast, boxes, scores, masks)]
    if pixels.ndim != 4 or pixels.shape[:2] != (1, channels) or 0 in pixels.shape:
        raise broken(where, f"its test tensor of pixels has the shape {pixels.shape}")
    if shapes != [(1, channels, 2), (1, count, 4), (1, count), (1, count, MASK_PX, MASK_PX)]:
        raise broken(where, f"its test tensors have the shapes {', '.join(map(str, shapes))}")
    if not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (pixels, contrast, boxes, scores)):
        raise broken(where, "its test tensors hold values that are no numbers")
    found = model.predictor.predict(pixels[0].astype(np.float32), contrast[0].astype(np.float32))
    # Only what counts: whether the worst are found at all may hang on the last bit.
    counts = scores[0] >= spec.score_threshold
    near = np.abs(boxes[0][counts][:, None] - found["box"]).max(axis=2) <= _BOX_PX
    near &= np.abs(scores[0][counts][:, None] - found["score"]) <= _SCORE
    missing = np.count_nonzero(~near.any(axis=1)) / max(1, len(near))
    if missing > MOST_ELSEWHERE:
        raise _another_prediction(missing, where)


def _require_image(model: LoadedTranslator, tensors: Mapping[str, NDArray[Any]], where: str) -> None:
    pixels, contrast, image = tensors["pixels"], tensors["contrast"], tensors["image"]
    planes, outputs = model.manifest.planes, len(model.manifest.outputs)
    expected = ((1, planes, *image.shape[2:]), (1, planes, 2), (1, outputs, *image.shape[2:]))
    if (pixels.shape, contrast.shape, image.shape) != expected or image.dtype != np.uint16 or 0 in image.shape:
        raise broken(where, f"its test tensors have the shapes {pixels.shape}, {contrast.shape} and {image.shape}")
    if not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (pixels, contrast)):
        raise broken(where, "its test tensors hold values that are no numbers")
    found = model.translator.predict(pixels[0].astype(np.float32), contrast[0].astype(np.float32))
    near = np.isclose(found.astype(np.float64), image[0].astype(np.float64), rtol=5e-3, atol=_STEPS)
    if near.mean() < 1 - MOST_ELSEWHERE:
        raise _another_prediction(1 - float(near.mean()), where)


def _require_scores(model: LoadedClassifier, images: NDArray[Any], scores: NDArray[Any], where: str) -> None:
    expected = (*images.shape[:1], len(model.manifest.classes))
    if images.shape[1:] != model.manifest.shape or scores.shape != expected or 0 in expected:
        raise broken(where, f"its test tensors have the shapes {images.shape} and {scores.shape}")
    if not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (images, scores)):
        raise broken(where, "its test tensors hold values that are no numbers")
    near = np.isclose(model.classifier.scores(images.astype(np.float32)), scores, rtol=1e-3, atol=1e-5)
    if near.mean() < 1 - MOST_ELSEWHERE:
        raise _another_prediction(1 - float(near.mean()), where)


def _require_outputs(predictor: AdaptedPredictor, tensors: Mapping[str, NDArray[Any]], where: str) -> None:
    """Have a package of others predict its own test tensors, as its own software would."""
    adaptor = predictor.adaptor
    given, *said = (tensors[name] for name in sorted(tensors, key=lambda name: (name.startswith("outputs"), name)))
    axes = [adaptor.input.axes, *(output.axes for output in adaptor.outputs)]
    if [tensor.ndim for tensor in (given, *said)] != [len(one) for one in axes] or 0 in given.shape:
        raise broken(where, f"its test tensors have the shapes {', '.join(str(one.shape) for one in (given, *said))}")
    for output, found, expected in zip(adaptor.outputs, predictor.outputs(given), said, strict=True):
        planes = as_planes(expected, output.axes)
        if planes.shape != found.shape:
            raise broken(where, f"the graph returns {found.shape}, its test tensor has {planes.shape} (channels, y, x)")
        near = np.isclose(found, planes, rtol=1e-3, atol=1e-3).mean()
        if near < 1 - MOST_ELSEWHERE:
            raise _another_prediction(1 - float(near), where)


def _another_prediction(share: float, where: str) -> ModelError:
    return ModelError(
        "E407",
        f"predicts something else than its test tensors say: {100 * share:.0f} % of the values differ",
        where=where,
        action="Export the package again; its weights and its test tensors are of different models",
    )
