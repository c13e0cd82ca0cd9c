"""Model packages in a folder or bucket, as they are found there. Loads none, and knows no names that users give."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from cellfleet.errors import ModelError
from cellfleet.models.load import split_name
from cellfleet.models.package import LARGEST_RDF_BYTES, RDF, Package, broken, read_package, task_of, too_large
from cellfleet.models.workflow import workflow_sha256
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.model import ClassifierManifest, Manifest, ModelManifest, TranslatorManifest, WorkflowManifest
from cellfleet.stores.place import Place

LARGEST_WEIGHTS_BYTES = 2 << 30
"""No ONNX file can be larger."""
_LONGEST_TEXT = 2000
"""Letters that users are told of what a package says in free words."""
_LONGEST_NAME = 100
_MOST_SCORES = 10
_READ_AT_ONCE = 8
_KEPT_PACKAGES = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A package that was found; its files are all there, whatever is in them."""

    place: Place
    folder: str
    """In the place."""
    content: bytes
    """Of its ``rdf.yaml``."""
    package: Package
    size_bytes: int
    """Of its weights; of a workflow those of its steps."""
    bundled: bool
    steps: tuple[Entry, ...] = ()
    """Of a workflow, in order (`chained.with_steps`)."""
    trouble: ModelError | None = None
    """Why a workflow cannot be used."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.package.declared.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.package.declared.version

    @property
    def sha256(self) -> str:
        """Hash of all that changes a result; of a workflow, also of its steps."""
        if not self.steps:
            return self.package.sha256
        return workflow_sha256(self.package, [step.package.sha256 for step in self.steps])

    @property
    def where(self) -> str:
        """Its folder, for messages."""
        return f"{self.place.url}/{self.folder}"

    @property
    def info(self) -> ModelInfo:
        """What users are told of it."""
        manifest = self.package.declared
        # Of a workflow, what it finds is up to its last step, and what it is given to its first.
        segments = next((one for one in self._manifests if isinstance(one, ModelManifest)), None)
        first = self._manifests[0]
        roles = first.roles if isinstance(first, ModelManifest) else ()
        return ModelInfo(
            name=self.name,
            version=self.version,
            sha256=self.sha256,
            bundled=self.bundled,
            description=self.package.description[:_LONGEST_TEXT],
            task=task_of(manifest),
            steps=tuple(f"{step.name}:{step.version}" for step in self.steps),
            compartments=segments.compartments if segments else (),
            roles=(first.role,) if isinstance(first, TranslatorManifest) else roles,
            microns_per_pixel=None
            if isinstance(first, ClassifierManifest | WorkflowManifest)
            else first.microns_per_pixel,
            licence=self.package.license[:_LONGEST_TEXT],
            size_bytes=self.size_bytes,
            scores=_f1(manifest.scores),
            tested=self.package.has_test,
            picture=self.package.cover is not None,
        )

    @property
    def _manifests(self) -> tuple[Manifest, ...]:
        return tuple(entry.package.declared for entry in self.steps or (self,))


def find_packages(place: Place, names: Iterable[str], *, bundled: bool = False) -> list[Entry]:
    """Return the packages among the files `names` of a place, by folder. Broken ones are told to the log, once."""
    rdfs = sorted(name for name in names if name.endswith(f"/{RDF}"))
    with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="models") as pool:
        found = pool.map(lambda rdf: _entry(place, rdf.removesuffix(f"/{RDF}"), bundled), rdfs)
        return [entry for entry in found if entry]


def read_named_package(content: bytes, where: str) -> Package:
    """Read an ``rdf.yaml`` whose name and version can be asked for as ``name:version``. Raises `ModelError` E402."""
    package = read_package(content, where)
    name, version = package.declared.name, package.declared.version
    if split_name(f"{name}:{version}") != (name, version):
        what = (
            f"its name {name[:80]!r} or version {version[:80]!r} is empty, long, or has more than letters, digits, ._-+"
        )
        raise broken(where, what)
    return package


def _f1(scores: Mapping[str, object]) -> dict[str, float]:
    """Return F1 by data set, where it is stated as `cellfleet evaluate` states it."""
    stated = {name: told.get("f1") for name, told in scores.items() if isinstance(told, dict)}
    numbers = ((name, f1) for name, f1 in stated.items() if isinstance(f1, int | float) and 0 <= f1 <= 1)
    return {name[:_LONGEST_NAME]: float(f1) for name, f1 in islice(numbers, _MOST_SCORES)}


def _entry(place: Place, folder: str, bundled: bool) -> Entry | None:
    rdf = f"{folder}/{RDF}"
    small = (place.size(rdf) or 0) <= LARGEST_RDF_BYTES
    content = place.read(rdf) or b"" if small else None
    package = _parsed(content, f"{place.url}/{rdf}")
    if content is None or package is None:
        return None
    size = place.size(f"{folder}/{package.graph.source}") if package.graph else 0
    # Not there: somebody is copying it just now.
    return None if size is None else Entry(place, folder, content, package, size, bundled)


@functools.lru_cache(_KEPT_PACKAGES)
def _parsed(content: bytes | None, where: str) -> Package | None:
    """Return what a description says (None: one that is too large); of a broken one the log is told once."""
    try:
        if content is None:
            raise too_large(where)
        return read_named_package(content, where)
    except ModelError as error:
        _log.warning("%s", error)
        return None
