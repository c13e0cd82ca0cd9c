"""``rdf.yaml`` → what cellfleet reads of it. Knows no folder, store or runtime, and opens no file that it names."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from cellfleet.errors import ModelError
from cellfleet.models.bioimage.manifest import is_foreign, with_manifest
from cellfleet.spec.model import (
    ClassifierManifest,
    Manifest,
    ModelManifest,
    TranslatorManifest,
    WorkflowManifest,
)

RDF = "rdf.yaml"
README = "README.md"
WEIGHTS = "weights.pt"
"""What training may begin with, beside the graph: that is folded and rounded, and learns no more."""
LARGEST_RDF_BYTES = 1 << 20
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of covers that are shown."""
_DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What a description raises that says something odd: no UTF-8, dates that do not exist, a list for a word, endless
numbers. Nobody may break the list of all models with it."""
Task = Literal["segmentation", "classification", "translation", "workflow"]
TESTS = (
    {"pixels", "contrast", "heads"},
    {"image", "scores"},
    {"pixels", "contrast", "image"},
    {"pixels", "contrast", "boxes", "scores", "masks"},
)
"""Tensors that are an example of what a model predicts; of models that segment, classify, translate, detect."""


def _is_beside(name: str) -> str:
    if name in {"", ".", ".."} or {PurePosixPath(name).name, PureWindowsPath(name).name} != {name}:
        raise ValueError(f"{name!r} is not the name of a file beside it")
    if len(name) > 200 or not name.isprintable():
        raise ValueError("is no usable name of a file")
    return name


FileName = Annotated[str, AfterValidator(_is_beside)]
"""A file in the folder of its ``rdf.yaml``; never a path."""


class _Part(BaseModel):
    # The description has many more fields, which are for others.
    model_config = ConfigDict(frozen=True)


class Example(_Part):
    """A file of the package, and what it must contain if that is said."""

    source: FileName
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class File(Example):
    """A file of the package, and what it must contain."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Tensor(_Part):
    id: str = ""
    test_tensor: Example | None = None


class _Weights(_Part):
    onnx: File | None = None


def task_of(manifest: object) -> Task:
    """Return what a model does, from its manifest or the content of one: those that segment need not say so."""
    task = manifest.get("task") if isinstance(manifest, dict) else getattr(manifest, "task", None)
    known: dict[Any, Task] = {name: name for name in get_args(Task)}
    return known.get(task, "segmentation") if isinstance(task, str) else "segmentation"


class _Config(_Part):
    cellfleet: Annotated[
        Annotated[ModelManifest, Tag("segmentation")]
        | Annotated[ClassifierManifest, Tag("classification")]
        | Annotated[TranslatorManifest, Tag("translation")]
        | Annotated[WorkflowManifest, Tag("workflow")],
        Discriminator(task_of),
    ]


class Package(_Part):
    """A model package as its ``rdf.yaml`` describes it, in the words of bioimage.io."""

    description: str = ""
    license: str = ""
    documentation: Any = ""
    covers: Any = ()
    inputs: tuple[_Tensor, ...] = ()
    outputs: tuple[_Tensor, ...] = ()
    weights: _Weights = _Weights()
    config: _Config

    @property
    def declared(self) -> Manifest:
        """What it is, whatever it does."""
        return self.config.cellfleet

    @property
    def manifest(self) -> ModelManifest:
        """What the pipeline must know. Raises `ModelError` E765, E416 where it finds no objects by itself."""
        if not isinstance(self.declared, ModelManifest):
            raise not_a_segmenter(self.declared)
        return self.declared

    @property
    def graph(self) -> File | None:
        """The ONNX file; None where the model needs no weights."""
        return None if _is_weightless(self.declared) else self.weights.onnx

    @property
    def test_tensors(self) -> dict[str, Example]:
        """Tensor → the file that holds an example of it."""
        return {tensor.id: tensor.test_tensor for tensor in (*self.inputs, *self.outputs) if tensor.test_tensor}

    @property
    def start(self) -> str | None:
        """The file that training may begin with, if it is there; None: whatever others put there, it is not ours."""
        return None if self.is_adapted else WEIGHTS

    @property
    def is_servable(self) -> bool:
        """Whether a model server can have its graph: one that takes ``pixels`` and ``contrast``, returns ``heads``."""
        its = self.declared
        return isinstance(its, ModelManifest) and its.predictor == "onnx" and its.detection is None

    @property
    def is_adapted(self) -> bool:
        """Whether it is a package of others, whose manifest follows from its own words."""
        return isinstance(self.declared, ModelManifest) and self.declared.adaptor is not None

    @property
    def cover(self) -> str | None:
        """A picture beside the description that shows what it finds; None: there is none, or it is elsewhere."""
        covers = self.covers if isinstance(self.covers, list) else []
        beside = (one for one in covers if isinstance(one, str) and PurePosixPath(one).name == one and "\\" not in one)
        return next((one for one in beside if one.lower().endswith(PICTURES) and one.isprintable()), None)

    @property
    def text(self) -> str | None:
        """Its documentation, a Markdown file beside the description; None: it has none, or elsewhere."""
        name = self.documentation.removeprefix("./") if isinstance(self.documentation, str) else ""
        beside = PurePosixPath(name).name == name and "\\" not in name and name.isprintable()
        return name if beside and name.lower().endswith(".md") else None

    @property
    def has_test(self) -> bool:
        """Whether it brings an example of what it predicts, which is tried before it is taken in."""
        there = self.test_tensors.keys()
        if self.is_adapted:
            return len(there) == len(self.inputs) + len(self.outputs)
        return any(tensors <= there for tensors in TESTS)

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights and of everything that the manifest states and that changes a result.

        What it does not state is not in the hash, so that a field that a later version adds changes no model's.
        """
        stated = self.declared.model_dump_json(exclude={"training", "scores"}, exclude_unset=True)
        return hashlib.sha256((stated + (self.graph.sha256 if self.graph else "")).encode()).hexdigest()


def read_package(content: bytes, where: str) -> Package:
    """Read the content of an ``rdf.yaml``; `where` is its place, for messages.

    Raises:
        ModelError: E402; E430–E434, it is a package of others that cannot be run.
    """
    try:
        if len(content) > LARGEST_RDF_BYTES:
            raise too_large(where)
        described: Any = yaml.safe_load(content.decode("utf-8"))
        package = Package.model_validate(with_manifest(described, where) if is_foreign(described) else described)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise broken(where, f"{place}: {first['msg']}") from error
    except (*_DAMAGE, yaml.YAMLError) as error:
        raise broken(where, str(error)) from error
    if not _is_weightless(package.declared) and package.graph is None:
        raise broken(where, "weights.onnx is missing")
    return package


def _is_weightless(manifest: Manifest) -> bool:
    weightless = isinstance(manifest, ModelManifest) and manifest.predictor == "otsu"
    return weightless or isinstance(manifest, WorkflowManifest)


def not_a_segmenter(manifest: ClassifierManifest | TranslatorManifest | WorkflowManifest) -> ModelError:
    """Return the error of a model that is asked for objects, and cannot find any by itself."""
    if not isinstance(manifest, ClassifierManifest):
        return ModelError(
            "E416",
            f"is a {manifest.task} model: alone, and tile by tile, it finds no objects",
            where=f"{manifest.name}:{manifest.version}",
            action="Segment images with a workflow that has it as a step, or with a workflow itself "
            "(docs/how-to/workflows.md)",
        )
    return ModelError(
        "E765",
        "is a classifier: it says what an image shows, and finds no objects",
        where=f"{manifest.name}:{manifest.version}",
        action="Choose a model that segments, or classify the images: cellfleet classify (docs/tutorial-classifier.md)",
    )


def not_a_classifier(manifest: ModelManifest) -> ModelError:
    """Return the error of a model that finds objects and is asked what images show."""
    return ModelError(
        "E774",
        "finds objects, and does not say what an image shows",
        where=f"{manifest.name}:{manifest.version}",
        action="Choose a classifier (cellfleet models package), or find the objects: cellfleet segment",
    )


def broken(where: str, why: str) -> ModelError:
    """Return the error of a package that cannot be used as it is."""
    reason = " ".join(why.split())[:500]
    return ModelError("E402", f"is not a cellfleet model package: {reason}", where=where, action="Export it again")


def too_large(where: str) -> ModelError:
    """Return the error of a description that nobody would have written."""
    return broken(where, "it is larger than 1 MiB")
