"""Models that a service offers: the bundled ones, and packages under ``models/`` of its store.

``models/<any folder>/`` is a package (rdf.yaml and weights). ``name:version`` means one content for ever: the first
that is used is remembered under ``models/.pins/``. What was fetched is kept by its hash, and checked whenever it is
read. docs/reference/models.md tells operators of it. Knows no HTTP and no job.
"""

from __future__ import annotations

import builtins
import itertools
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cellfleet.errors import ModelError
from cellfleet.models.chained import with_steps
from cellfleet.models.check import Checked, check_package
from cellfleet.models.listing import LARGEST_WEIGHTS_BYTES, Entry, find_packages
from cellfleet.models.load import (
    BUNDLED,
    LoadedClassifier,
    LoadedModel,
    require_content,
    split_name,
    start_any,
    start_workflow,
)
from cellfleet.models.package import RDF, README, WEIGHTS, Package, broken, not_a_segmenter, read_package
from cellfleet.models.source import open_source
from cellfleet.models.versions import newness
from cellfleet.spec.choices import Device
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.model import Manifest
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.place import Place

FOLDER = "models"
"""Of the store; each folder in it is a package."""
PINS = f"{FOLDER}/.pins"
DEFAULT = f"{FOLDER}/.default"
"""Holds the name of the model that pages offer first."""
USUAL = "nuclei"
"""The one where nobody has chosen."""
_FIRST = "nuclei"
"""Where nobody has chosen another."""
MOST_FILES = 10_000
"""Under ``models/``: with more, something else is kept there."""
LISTING_SECONDS = 3.0
"""For so long a listing of the store counts as new."""


@dataclass
class _Listing:
    """The latest look at the store; guarded by its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0.0
    """`time.monotonic` from which on it is old."""
    entries: tuple[Entry, ...] = ()
    """The bundled ones first, then by folder."""


@dataclass(frozen=True)
class Repository:
    """Every method may be called from any thread, and raises `OutputError` (E32x) when the store does not answer."""

    store: Place
    cache: Path
    """Local folder for what was fetched from the store, by hash. Several processes may share it."""
    _listing: _Listing = field(default_factory=_Listing, init=False, repr=False, compare=False)

    def list(self) -> builtins.list[ModelInfo]:
        """Return all models, by name, of each the newest version first.

        Left out are broken packages, and those whose name and version stand for another content.
        """
        usable: dict[tuple[str, str], Entry] = {}
        for entry in self._look():
            if entry.trouble is None and self._pin(entry)[:1] in ([], [entry.sha256]):
                usable.setdefault((entry.name, entry.version), entry)
        newest_first = sorted(usable.values(), key=lambda entry: newness(entry.version), reverse=True)
        default = (self.store.read(DEFAULT) or USUAL.encode()).decode("utf-8", "replace")
        return [
            entry.info.model_copy(update={"default": entry.name == default})
            for entry in sorted(newest_first, key=lambda entry: entry.name)
        ]

    def set_default(self, name: str) -> None:
        """Have pages offer this model first. Raises `ModelError` E401, there is none."""
        self.store.write(DEFAULT, self.resolve(name).name.encode())

    def first(self) -> str:
        """Return the name of the model that pages offer first."""
        return next((model.name for model in self.list() if model.default), _FIRST)

    def picture(self, model: PinnedModel) -> tuple[str, bytes] | None:
        """Return name and content of the picture that a model brings; None: it brings none. Raises as `package`."""
        entry = self._entry(model)
        content = entry.package.cover and entry.place.read(f"{entry.folder}/{entry.package.cover}")
        return (str(entry.package.cover), content) if content else None

    def card(self, model: PinnedModel) -> str | None:
        """Return the documentation that a model brings, Markdown; None: it brings none. Raises as `package`."""
        entry = self._entry(model)
        content = entry.place.read(f"{entry.folder}/{entry.package.text or README}")
        return None if content is None else content.decode("utf-8", "replace")

    def resolve(self, model: str) -> PinnedModel:
        """Return what ``name`` (its newest version) or ``name:version`` means. Raises `ModelError` E401, E405."""
        name, version = split_name(model) or (None, None)
        entries: tuple[Entry, ...] = ()
        for fresh in (False, True):
            entries = self._look(fresh=fresh)
            named = [entry for entry in entries if entry.name == name and version in {None, entry.version}]
            if named:
                newest = max((entry.version for entry in named), key=newness)
                return self._pinned([entry for entry in named if entry.version == newest])
        known = ", ".join(sorted({entry.name for entry in entries})[:20])
        raise ModelError("E401", "there is no such model", where=model[:200], action=f"Choose one of {known}")

    def load(self, model: PinnedModel, *, device: Device = "auto") -> LoadedModel:
        """Load exactly the pinned content, which finds objects, from the cache where it is there.

        Raises:
            ModelError: E402–E404 it is broken, E406 it is gone, or not what was pinned; E765 it is a classifier.
            DeviceError: E5xx.
        """
        loaded = self.load_any(model, device=device)
        if isinstance(loaded, LoadedClassifier):
            raise not_a_segmenter(loaded.manifest)
        return loaded

    def load_any(self, model: PinnedModel, *, device: Device = "auto") -> LoadedModel | LoadedClassifier:
        """Load exactly the pinned content, whatever it does. Raises as `load`, without E765, and E766."""
        kept = self._kept(model)
        entry = None if kept else self._entry(model)
        if entry and entry.steps:
            steps = [(*self._content(step), f"{step.name}:{step.version}") for step in entry.steps]
            return start_workflow(entry.package, steps, device=device)
        package, weights = kept or self._fetched(model)
        return start_any(package, weights, f"{model.name}:{model.version}", device=device)

    def manifest(self, model: PinnedModel) -> Manifest:
        """Return what the pinned content declares; of a workflow what its last step does. Raises `ModelError` E406."""
        if kept := self._kept(model):
            return kept[0].declared
        entry = self._entry(model)
        if not entry.steps:
            return entry.package.declared
        return entry.steps[-1].package.manifest.model_copy(update={"name": entry.name, "version": entry.version})

    def steps(self, model: PinnedModel) -> tuple[PinnedModel, ...]:
        """Return the models of a workflow, in order; of another model none. Raises `ModelError` E406."""
        steps = () if self._kept(model) else self._entry(model).steps
        return tuple(PinnedModel(name=step.name, version=step.version, sha256=step.sha256) for step in steps)

    def package(self, model: PinnedModel) -> Package:
        """Return what the pinned content describes; its weights are not read. Raises `ModelError` E406."""
        return self._entry(model).package

    def content(self, model: PinnedModel) -> tuple[Package, bytes, Mapping[str, bytes]]:
        """Return what the pinned content describes, its weights, and its test tensors by name. Raises as `load`."""
        entry = self._entry(model)
        tensors = {}
        for name, file in entry.package.test_tensors.items():
            tensors[name] = entry.place.read(f"{entry.folder}/{file.source}") or b""
            require_content(file, tensors[name], entry.where)
        return entry.package, _weights(entry), tensors

    def to_train_from(self, model: PinnedModel) -> dict[str, bytes]:
        """Return what training needs to begin with the pinned content: description, and `WEIGHTS` if it brings any.

        Raises:
            ModelError: E406.
        """
        entry = self._entry(model)
        found = entry.package.start and entry.place.read(f"{entry.folder}/{entry.package.start}")
        return {RDF: entry.content} | ({WEIGHTS: found} if found else {})

    def add(self, package: str | Path) -> ModelInfo:
        """Check a package, try its test tensors, and take it in; one that is there already stays as it is.

        Args:
            package: Path or address of a folder or a zip.

        Raises:
            ModelError: E402–E405, E407, E409; nothing was taken in.
            InputError, OutputError: It cannot be read, or the store not be written.
        """
        return self.take(check_package(open_source(str(package))), str(package))

    def take(self, checked: Checked, where: str) -> ModelInfo:
        """Take in a package that was checked; one that is there already stays as it is.

        Args:
            checked: The package.
            where: It was found, for messages.

        Raises:
            ModelError: E405, its name and version stand for another content; E413–E415, it is a workflow whose steps
                are not there or do not go together.
            OutputError: The store cannot be written.
        """
        manifest = checked.package.declared
        folder = f"{FOLDER}/{manifest.name}-{manifest.version}-{checked.package.sha256[:12]}"
        added = Entry(self.store, folder, checked.content, checked.package, checked.weights_bytes, bundled=False)
        *there, entry = with_steps([*self._look(fresh=True), added], self._pin)
        if entry.trouble is not None:
            raise entry.trouble
        alike = [one for one in there if (one.name, one.version) == (entry.name, entry.version)]
        named = [one for one in alike if one.trouble is None]
        if self._pinned([*named, entry]).sha256 != entry.sha256:
            raise _another(entry.name, entry.version, where)
        same = [one for one in named if one.sha256 == entry.sha256]
        if not same:
            for name, content in checked.files.items():
                self.store.write(f"{folder}/{name}", content)
            # It makes the folder a package, so it comes last.
            self.store.write(f"{folder}/{RDF}", checked.content)
            self._look(fresh=True)
        return same[0].info if same else entry.info

    def _look(self, *, fresh: bool = False) -> tuple[Entry, ...]:
        """Return all packages; those of the store as they were a few seconds ago, unless `fresh`."""
        with self._listing.lock:
            if fresh or time.monotonic() >= self._listing.until:
                bundled, own = FolderPlace(BUNDLED), self._files()
                found = (*find_packages(bundled, bundled.names(), bundled=True), *find_packages(self.store, own))
                self._listing.entries = with_steps(found, self._pin)
                self._listing.until = time.monotonic() + LISTING_SECONDS
            return self._listing.entries

    def _files(self) -> builtins.list[str]:
        """Return the files in the folders of ``models/`` that can be packages."""
        names = builtins.list(itertools.islice(self.store.names(FOLDER), MOST_FILES + 1))
        if len(names) > MOST_FILES:
            raise ModelError(
                "E408",
                f"more than {MOST_FILES} files are in the folder of models",
                where=f"{self.store.url}/{FOLDER}",
                action="Keep there only model packages, each in a folder of its own",
            )
        return [name for name in names if re.fullmatch(f"{FOLDER}/[^./][^/]*/[^/]+", name)]

    def _pinned(self, entries: builtins.list[Entry]) -> PinnedModel:
        """Return which of several packages of one name and version is meant: the one that was first."""
        first = entries[0]
        if first.trouble is not None:
            raise first.trouble
        pinned = (self._pin(first) or self._new_pin(first))[0]
        if pinned not in {entry.sha256 for entry in entries}:
            raise _another(first.name, first.version, first.where)
        return PinnedModel(name=first.name, version=first.version, sha256=pinned)

    def _pin(self, entry: Entry) -> builtins.list[str]:
        """Return what name and version of an entry stand for: the hash, then the steps of a workflow.

        Nothing while they were not used.
        """
        content = self.store.read(f"{PINS}/{entry.name}/{entry.version}") or b""
        return content.decode("ascii", "replace").splitlines()

    def _new_pin(self, entry: Entry) -> builtins.list[str]:
        """Let name and version of an entry stand for its content, unless somebody was faster; return for which."""
        pin = [entry.sha256, *(f"{step.name}:{step.version}" for step in entry.steps)]
        self.store.create(f"{PINS}/{entry.name}/{entry.version}", "\n".join(pin).encode())
        return self._pin(entry) or pin

    def _kept(self, model: PinnedModel) -> tuple[Package, bytes] | None:
        """Return description and weights from the cache; None where they are not there, or damaged."""
        # The hash came in a message; it becomes a name of a file.
        named = re.fullmatch("[0-9a-f]{64}", model.sha256)
        content = self._cached.read(f"{model.sha256}.yaml") if named else None
        if content is None:
            return None
        try:
            package = read_package(content, model.name)
            weights = self._cached.read(package.graph.sha256) if package.graph else b""
            if weights is None or package.sha256 != model.sha256:
                return None
            if package.graph:
                require_content(package.graph, weights, self._cached.url)
        except ModelError:
            return None
        return package, weights

    def _content(self, step: Entry) -> tuple[Package, bytes]:
        """Return description and weights of a step of a workflow."""
        pinned = PinnedModel(name=step.name, version=step.version, sha256=step.sha256)
        return self._kept(pinned) or self._fetched(pinned)

    def _fetched(self, model: PinnedModel) -> tuple[Package, bytes]:
        """Return description and weights from where they were found, and keep what the store had."""
        entry = self._entry(model)
        weights = _weights(entry)
        if not entry.bundled:
            if entry.package.graph:
                self._cached.write(entry.package.graph.sha256, weights)
            self._cached.write(f"{model.sha256}.yaml", entry.content)
        return entry.package, weights

    def _entry(self, model: PinnedModel) -> Entry:
        for fresh in (False, True):
            for entry in self._look(fresh=fresh):
                if entry.sha256 == model.sha256:
                    return entry
        raise ModelError(
            "E406",
            f"its content with SHA-256 {model.sha256[:12]}… is not there any more",
            where=f"{model.name}:{model.version}",
            action=f"Put it back under {FOLDER}/ of the store, or submit the job again; for a bundled model, run the "
            "same version of cellfleet on all machines",
        )

    @property
    def _cached(self) -> FolderPlace:
        return FolderPlace(self.cache)


def _another(name: str, version: str, where: str) -> ModelError:
    return ModelError(
        "E405",
        f"is another content than the one that {name}:{version} stands for since it was used",
        where=where,
        action=f"Give the changed model a new version in its {RDF}, or put the former content back",
    )


def _weights(entry: Entry) -> bytes:
    """Return the weights of a package, checked; empty where it needs none. Raises `ModelError` E402, E403."""
    graph = entry.package.graph
    if graph is None:
        return b""
    if entry.size_bytes > LARGEST_WEIGHTS_BYTES:
        raise broken(entry.where, f"its weights have {entry.size_bytes / 1e9:.1f} GB, and ONNX ends at 2 GiB")
    content = entry.place.read(f"{entry.folder}/{graph.source}") or b""
    require_content(graph, content, entry.where)
    return content
