"""A name or a path → a verified, loaded model. Knows no store; see `repository` for the models of a service."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cellfleet.errors import DeviceError, ModelError
from cellfleet.inference.classifier import Classifier
from cellfleet.inference.onnx import OnnxPredictor
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.inference.predictor import Predictor
from cellfleet.models.package import LARGEST_RDF_BYTES, RDF, File, Package, broken, not_a_classifier, read_package
from cellfleet.spec.choices import Device
from cellfleet.spec.model import ClassifierManifest, ModelManifest

BUNDLED = Path(__file__).parent / "bundled"
"""Holds one package per folder, which has the model's name."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})(?::([A-Za-z0-9][A-Za-z0-9._+-]{0,62}))?")


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to predict."""

    manifest: ModelManifest
    sha256: str
    """Hash of the weights and of everything in the manifest that changes a result."""
    predictor: Predictor
    device: str
    """``cpu`` or ``cuda``: what the runtime really uses; ``server``: a model server predicts."""


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier that is ready to score."""

    manifest: ClassifierManifest
    sha256: str
    """As of `LoadedModel`."""
    classifier: Classifier
    device: str


AnyModel = LoadedModel | LoadedClassifier


def bundled_names() -> list[str]:
    """Names of the models inside cellfleet."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{RDF}"))


def split_name(model: str) -> tuple[str, str | None] | None:
    """Return name and version of ``name`` or ``name:version``; None where the text can be neither."""
    match = _NAME.fullmatch(model)
    return (match[1], match[2]) if match else None


def load_model(model: str | Path, *, device: Device = "auto") -> LoadedModel:
    """Load a model and move it to a device.

    Args:
        model: Name of a bundled model, with or without ``:version``, or path of a package folder.
        device: ``auto``, ``cpu`` or ``cuda``; never falls back silently.

    Raises:
        ModelError: E401 unknown name, E402 broken package, E403 weights differ from their hash, E404 not loadable.
        DeviceError: E501 the device is not there.
    """
    package, content = read_content(model)
    return start_model(package, content, str(_find(str(model))), device=device)


def load_classifier(model: str | Path, *, device: Device = "auto") -> LoadedClassifier:
    """Load a package that says what images show. Raises as `load_model`, without E765; E766, E774 it finds objects."""
    package, content = read_content(model)
    loaded = start_any(package, content, str(_find(str(model))), device=device)
    if isinstance(loaded, LoadedModel):
        raise not_a_classifier(loaded.manifest)
    return loaded


def read_content(model: str | Path) -> tuple[Package, bytes]:
    """Return what a package describes, and its weights, checked; empty where it has none. Raises as `load_model`."""
    folder = _find(str(model))
    package = _read(folder)
    if package.graph is None:
        return package, b""
    weights = folder / package.graph.source
    if not weights.is_file():
        raise broken(str(folder / RDF), f"weights {package.graph.source!r} are not a file beside it")
    content = weights.read_bytes()
    require_content(package.graph, content, str(folder))
    return package, content


def read_manifest(model: str | Path) -> ModelManifest:
    """Read what a model declares, without loading it."""
    return _read(_find(str(model))).manifest


def start_model(package: Package, weights: bytes, where: str, *, device: Device) -> LoadedModel:
    """Load a package whose weights were read and checked.

    Args:
        package: What is said of it.
        weights: Content of its graph; empty where it has none.
        where: Its folder, for messages.
        device: As in `load_model`.

    Raises:
        ModelError: E402 graph and description differ, E404.
        DeviceError: E501, E502.
    """
    manifest, graph = package.manifest, package.graph
    if graph is None:
        if device == "cuda":
            raise DeviceError(
                "E502", f"{manifest.name} runs on the CPU only", where="--device", action="Use --device auto or cpu"
            )
        return LoadedModel(manifest, package.sha256, OtsuPredictor(), "cpu")
    predictor = OnnxPredictor(weights, f"{where}/{graph.source}", manifest.tile.multiple, device=device)
    declared = (len(manifest.roles), len(manifest.heads))
    if any(isinstance(found, int) and found != said for found, said in zip(predictor.channels, declared, strict=True)):
        found = " roles and ".join(map(str, predictor.channels))
        raise broken(
            f"{where}/{RDF}", f"it declares {declared[0]} roles and {declared[1]} heads, the graph has {found}"
        )
    return LoadedModel(manifest, package.sha256, predictor, predictor.device)


def start_any(package: Package, weights: bytes, where: str, *, device: Device) -> AnyModel:
    """Load a package, whatever it does; as `start_model`.

    Raises:
        ModelError: Also E766, the graph is not the classifier that its description says.
    """
    manifest, graph = package.declared, package.graph
    if isinstance(manifest, ModelManifest) or graph is None:
        return start_model(package, weights, where, device=device)
    place = f"{where}/{graph.source}"
    classifier = Classifier(weights, place, manifest.shape, len(manifest.classes), device=device)
    return LoadedClassifier(manifest, package.sha256, classifier, classifier.device)


def require_content(file: File, content: bytes, where: str) -> None:
    """Raise `ModelError` E403 unless this is the content that the description of the package in `where` promises."""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ModelError(
            "E403",
            f"the file is not the one that {RDF} describes (SHA-256 differs)",
            where=f"{where}/{file.source}",
            action="Copy the package again",
        )


def _find(model: str) -> Path:
    named = split_name(model)
    if named and named[0] in bundled_names():
        folder = BUNDLED / named[0]
        if named[1] in {None, _read(folder).declared.version}:
            return folder
    folder = Path(model)
    if (folder / RDF).is_file():
        return folder
    raise ModelError(
        "E401",
        f"is neither a bundled model nor a folder with an {RDF}",
        where=model,
        action=f"Choose {', '.join(bundled_names())}, or give the path of a model package",
    )


def _read(folder: Path) -> Package:
    rdf = folder / RDF
    try:
        with rdf.open("rb") as file:
            content = file.read(LARGEST_RDF_BYTES + 1)
    except OSError as error:
        raise broken(str(rdf), str(error)) from error
    return read_package(content, str(rdf))
