"""Models that a service offers: the bundled ones, and packages under ``models/`` of its store.

``models/<any folder>/`` is a package (rdf.yaml and weights). ``name:version`` means one content for ever: the first
that is seen is remembered under ``models/.pins/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellfleet.models.load import LoadedModel
from cellfleet.spec.choices import Device
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.job import PinnedModel
from cellfleet.stores.place import Place


@dataclass(frozen=True)
class Repository:
    """Every method may be called from any thread."""

    store: Place
    cache: Path
    """Local folder for packages that were fetched from the store, by hash."""

    def list(self) -> list[ModelInfo]:
        """Return all models, by name, of each the newest version first. Broken packages are left out."""
        raise NotImplementedError

    def resolve(self, model: str) -> PinnedModel:
        """Return what ``name`` (its newest version) or ``name:version`` means. Raises `ModelError` E401, E405."""
        raise NotImplementedError

    def load(self, model: PinnedModel, *, device: Device = "auto") -> LoadedModel:
        """Load exactly the pinned content, from the cache where it is there.

        Raises:
            ModelError: E401–E406, it is gone, broken, or not what was pinned.
            DeviceError: E5xx.
        """
        raise NotImplementedError

    def add(self, package: Path) -> ModelInfo:
        """Check a package (folder or zip), run its test tensors, and take it in. Raises `ModelError`."""
        raise NotImplementedError
