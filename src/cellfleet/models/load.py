"""A name or a path → a verified, loaded model. Knows no store; see `repository` for the models of a service."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cellfleet.errors import DeviceError, ModelError
from cellfleet.inference.adapted import AdaptedPredictor
from cellfleet.inference.classifier import Classifier
from cellfleet.inference.detector import Detector
from cellfleet.inference.onnx import OnnxPredictor
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.inference.predictor import Predictor
from cellfleet.inference.translator import Translator
from cellfleet.models.package import LARGEST_RDF_BYTES, RDF, Example, Package, broken, not_a_classifier, read_package
from cellfleet.models.versions import newness
from cellfleet.models.workflow import steps_of, workflow_sha256
from cellfleet.spec.choices import Device
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.model import ClassifierManifest, Manifest, ModelManifest, TranslatorManifest, WorkflowManifest
from cellfleet.stores.data import models_folder

BUNDLED = Path(__file__).parent / "bundled"
"""Holds one package per folder, which has the model's name."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})(?::([A-Za-z0-9][A-Za-z0-9._+-]{0,62}))?")


@dataclass(frozen=True)
class LoadedTranslator:
    """A model that is ready to predict images from images."""

    manifest: TranslatorManifest
    sha256: str
    """As of `LoadedModel`."""
    translator: Translator
    device: str


@dataclass(frozen=True)
class LoadedModel:
    """A model, or a workflow, that is ready to predict."""

    manifest: ModelManifest
    """Of a workflow: that of its last step, with the name and version of the workflow."""
    sha256: str
    """Hash of the weights and of everything in the manifest that changes a result."""
    predictor: Predictor
    device: str
    """``cpu`` or ``cuda``: what the runtime really uses; ``server``: a model server predicts."""
    before: tuple[LoadedTranslator, ...] = ()
    """What predicts the image in which objects are found, in order; empty: they are found in the image itself."""
    steps: tuple[PinnedModel, ...] = ()
    """All models of a workflow, in order; empty where this is none."""


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
        model: Name of a bundled model or of the user's own, with or without ``:version``, or path of a package folder.
        device: ``auto``, ``cpu`` or ``cuda``; never falls back silently.

    Raises:
        ModelError: E401 unknown name, E402 broken package, E403 weights differ from their hash, E404 not loadable;
            E412–E416 a workflow, or its steps, cannot be used.
        DeviceError: E501 the device is not there.
    """
    folder = find_folder(str(model))
    package, content = _content(folder)
    if not isinstance(package.declared, WorkflowManifest):
        return start_model(package, content, str(folder), device=device)
    steps = steps_of(package, lambda name: _find_step(name, folder.parent), _read)
    return start_workflow(package, [(*_content(step), str(step)) for step in steps], device=device)


def load_classifier(model: str | Path, *, device: Device = "auto") -> LoadedClassifier:
    """Load a package that says what images show. Raises as `load_model`, without E765; E766, E774 it finds objects."""
    package, content = read_content(model)
    loaded = start_any(package, content, str(find_folder(str(model))), device=device)
    if isinstance(loaded, LoadedModel):
        raise not_a_classifier(loaded.manifest)
    return loaded


def read_content(model: str | Path) -> tuple[Package, bytes]:
    """Return what a package describes, and its weights, checked; empty where it has none. Raises as `load_model`."""
    return _content(find_folder(str(model)))


def _content(folder: Path) -> tuple[Package, bytes]:
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
    """Read what a model that finds objects by itself declares, without loading it. Raises also E416, E765."""
    return _read(find_folder(str(model))).manifest


def read_declared(model: str | Path) -> Manifest:
    """Read what a model declares, whatever it does, without loading it."""
    return _read(find_folder(str(model))).declared


def start_model(package: Package, weights: bytes, where: str, *, device: Device) -> LoadedModel:
    """Load a package whose weights were read and checked.

    Args:
        package: What is said of it.
        weights: Content of its graph; empty where it has none.
        where: Its folder, for messages.
        device: As in `load_model`.

    Raises:
        ModelError: E402, E420 graph and description differ, E404.
        DeviceError: E501, E502.
    """
    manifest, graph = package.manifest, package.graph
    if graph is None:
        if device == "cuda":
            raise DeviceError(
                "E502", f"{manifest.name} runs on the CPU only", where="--device", action="Use --device auto or cpu"
            )
        return LoadedModel(manifest, package.sha256, OtsuPredictor(), "cpu")
    if manifest.adaptor is not None:
        adapted = AdaptedPredictor.load(weights, f"{where}/{graph.source}", manifest.adaptor, device=device)
        return LoadedModel(manifest, package.sha256, adapted, adapted.device)
    if manifest.detection is not None:
        place, tile = f"{where}/{graph.source}", manifest.tile
        detector = Detector(weights, place, manifest.channels, tile.multiple, device=device)
        return LoadedModel(manifest, package.sha256, detector, detector.device)
    predictor = OnnxPredictor(weights, f"{where}/{graph.source}", manifest.tile.multiple, device=device)
    declared = (manifest.channels, len(manifest.heads))
    if any(isinstance(found, int) and found != said for found, said in zip(predictor.channels, declared, strict=True)):
        found = " roles and ".join(map(str, predictor.channels))
        raise broken(
            f"{where}/{RDF}", f"it declares {declared[0]} roles and {declared[1]} heads, the graph has {found}"
        )
    return LoadedModel(manifest, package.sha256, predictor, predictor.device)


def start_any(package: Package, weights: bytes, where: str, *, device: Device) -> AnyModel:
    """Load a package, whatever it does; as `start_model`.

    Raises:
        ModelError: Also E766, the graph is not the classifier that its description says; E416, it is a step of
            workflows, or a workflow (see `start_translator`, `start_workflow`).
    """
    manifest, graph = package.declared, package.graph
    if not isinstance(manifest, ClassifierManifest) or graph is None:
        return start_model(package, weights, where, device=device)
    place = f"{where}/{graph.source}"
    classifier = Classifier(weights, place, manifest.shape, len(manifest.classes), device=device)
    return LoadedClassifier(manifest, package.sha256, classifier, classifier.device)


def start_translator(package: Package, weights: bytes, where: str, *, device: Device) -> LoadedTranslator:
    """Load a package that predicts images; as `start_model`.

    Raises:
        ModelError: E412, the graph is not the one that its description says.
    """
    manifest, graph = package.declared, package.graph
    assert isinstance(manifest, TranslatorManifest) and graph is not None, "the caller looked"
    translator = Translator(
        weights,
        f"{where}/{graph.source}",
        planes=manifest.planes,
        outputs=len(manifest.outputs),
        tile=manifest.tile,
        device=device,
    )
    return LoadedTranslator(manifest, package.sha256, translator, translator.device)


def start_workflow(workflow: Package, steps: Sequence[tuple[Package, bytes, str]], *, device: Device) -> LoadedModel:
    """Load a workflow whose steps were found (`steps_of`), read and checked: each with its weights and its folder."""
    *before, last = steps
    translators = [start_translator(*step, device=device) for step in before]
    return chained(workflow, translators, start_model(*last, device=device))


def chained(workflow: Package, before: Sequence[LoadedTranslator], last: LoadedModel) -> LoadedModel:
    """Return a workflow of loaded models."""
    name, version = workflow.declared.name, workflow.declared.version
    loaded: tuple[LoadedTranslator | LoadedModel, ...] = (*before, last)
    steps = tuple(
        PinnedModel(name=step.manifest.name, version=step.manifest.version, sha256=step.sha256) for step in loaded
    )
    return replace(
        last,
        manifest=last.manifest.model_copy(update={"name": name, "version": version}),
        sha256=workflow_sha256(workflow, [step.sha256 for step in steps]),
        before=tuple(before),
        steps=steps,
    )


def require_content(file: Example, content: bytes, where: str) -> None:
    """Raise `ModelError` E403 unless this is the content that the description of the package in `where` promises."""
    if file.sha256 is not None and hashlib.sha256(content).hexdigest() != file.sha256:
        raise ModelError(
            "E403",
            f"the file is not the one that {RDF} describes (SHA-256 differs)",
            where=f"{where}/{file.source}",
            action="Copy the package again",
        )


def find_folder(model: str) -> Path:
    """Return the folder of a model: by its name the newest that is bundled or the user's own, else by its path.

    Raises:
        ModelError: E401, there is neither.
    """
    named = split_name(model)
    if named and (found := _newest(*named, (BUNDLED / named[0], *_folders(models_folder())))):
        return found
    folder = Path(model)
    if (folder / RDF).is_file():
        return folder
    own = {declared.name for declared, _ in _declared(_folders(models_folder()))}
    raise ModelError(
        "E401",
        f"is neither the name of a model nor a folder with an {RDF}",
        where=model,
        action=f"Choose {', '.join(sorted({*bundled_names(), *own}))}, or give the folder of a model package; "
        "'cellfleet models add' takes zips and addresses",
    )


def _find_step(name: str, beside: Path) -> Path:
    """Return the folder of a step: of the models here and those beside the workflow the newest that fits."""
    places = (BUNDLED, models_folder(), beside)
    found = _newest(*(split_name(name) or (name, None)), (folder for place in places for folder in _folders(place)))
    if found is None:
        raise ModelError("E401", "is no model here, and none beside the workflow", where=name)
    return found


def _newest(name: str, version: str | None, folders: Iterable[Path]) -> Path | None:
    """Return which of the packages is the newest of this name, and has the version; of equal ones the first."""
    found = [
        (declared.version, folder)
        for declared, folder in _declared(folders)
        if declared.name == name and version in {None, declared.version}
    ]
    return max(found, key=lambda one: newness(one[0]))[1] if found else None


def _declared(folders: Iterable[Path]) -> Iterator[tuple[Manifest, Path]]:
    for folder in folders:
        with contextlib.suppress(ModelError):  # what is broken has no name that anybody can ask for
            yield _read(folder).declared, folder


def _folders(place: Path) -> list[Path]:
    return sorted(rdf.parent for rdf in place.glob(f"*/{RDF}"))


def _read(folder: Path) -> Package:
    rdf = folder / RDF
    try:
        with rdf.open("rb") as file:
            content = file.read(LARGEST_RDF_BYTES + 1)
    except OSError as error:
        raise broken(str(rdf), str(error)) from error
    return read_package(content, str(rdf))
