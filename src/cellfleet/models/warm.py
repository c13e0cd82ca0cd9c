"""The models that a process used last, loaded and warmed up. Knows no task and no request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from cellfleet.models.load import LoadedModel, load_model
from cellfleet.models.repository import Repository
from cellfleet.observe import metrics
from cellfleet.spec.choices import Device
from cellfleet.spec.job import PinnedModel


@dataclass(eq=False)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model is loaded: who else wants it waits."""
    model: LoadedModel | None = None


@dataclass(frozen=True)
class WarmModels:
    """Loads each model once, and keeps the latest. Every method may be called from any thread."""

    repository: Repository
    device: Device = "auto"
    keep: int = 2
    """Models that stay loaded; one that is let go lives on until nobody predicts with it."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _slots: OrderedDict[str, _Slot] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)
    """By hash, what was asked for last at the end."""

    def __post_init__(self) -> None:
        """Refuse at once to go without the device that was asked for: `DeviceError` E501."""
        if self.device == "cuda":
            # Only a graph that was loaded shows on what the runtime really computes.
            warm_up(load_model("nuclei", device=self.device))

    def get(self, model: PinnedModel) -> LoadedModel:
        """Return a model, ready to predict. Raises as `Repository.load`; who asks again tries again."""
        with self._lock:
            slot = self._slots.setdefault(model.sha256, _Slot())
            self._slots.move_to_end(model.sha256)
            while len(self._slots) > self.keep:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.model is None:
                loaded = self.repository.load(model, device=self.device)
                warm_up(loaded)
                metrics.model_loaded(f"{model.name}:{model.version}")
                slot.model = loaded
            return slot.model


def warm_up(model: LoadedModel) -> None:
    """Predict one empty tile: a runtime sets up its kernels and memory at the first call."""
    tile, roles = model.manifest.tile, len(model.manifest.roles)
    side = tile.multiple * (2 * tile.halo // tile.multiple + 1)
    contrast = np.tile(np.array([0, 1], np.float32), (roles, 1))
    model.predictor.predict(np.zeros((roles, side, side), np.float32), contrast)
