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
from cellfleet.models.package import LARGEST_RDF_BYTES, RDF, Package, broken, read_package, too_large
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.model import ModelManifest
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
    """Of its weights."""
    bundled: bool

    @property
    def name(self) -> str:
        """The model's name."""
        return self.package.declared.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.package.declared.version

    @property
    def where(self) -> str:
        """Its folder, for messages."""
        return f"{self.place.url}/{self.folder}"

    @property
    def info(self) -> ModelInfo:
        """What users are told of it."""
        manifest = self.package.declared
        segments = manifest if isinstance(manifest, ModelManifest) else None
        return ModelInfo(
            name=self.name,
            version=self.version,
            sha256=self.package.sha256,
            bundled=self.bundled,
            description=self.package.description[:_LONGEST_TEXT],
            task="segmentation" if segments else "classification",
            roles=segments.roles if segments else (),
            microns_per_pixel=segments.microns_per_pixel if segments else None,
            licence=self.package.license[:_LONGEST_TEXT],
            size_bytes=self.size_bytes,
            scores=_f1(manifest.scores),
            tested=self.package.has_test,
            picture=self.package.cover is not None,
        )


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
