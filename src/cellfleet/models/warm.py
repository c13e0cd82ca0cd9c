"""The models that a process used last: loaded and warmed up here, or on a model server. Knows no task, no request."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cellfleet.inference.model_server import ModelServer, ServedModel
from cellfleet.inference.remote import RemotePredictor
from cellfleet.models.load import LoadedClassifier, LoadedModel, load_model
from cellfleet.models.package import not_a_segmenter
from cellfleet.models.repository import Repository
from cellfleet.observe import metrics
from cellfleet.spec.choices import Device
from cellfleet.spec.job import PinnedModel


@dataclass(eq=False)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model is loaded: who else wants it waits."""
    model: LoadedModel | LoadedClassifier | None = None


@dataclass(frozen=True)
class WarmModels:
    """Loads each model once, and keeps the latest. Every method may be called from any thread."""

    repository: Repository
    device: Device = "auto"
    keep: int = 2
    """Models that stay loaded; one that is let go lives on until nobody predicts with it."""
    took: Callable[[LoadedModel, float, float], None] = lambda model, load_seconds, warm_up_seconds: None
    """Called when a model was loaded and warmed up here, with the seconds of both."""
    server: ModelServer | None = None
    """Predicts instead of this process; models without a graph stay here."""
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
        found = self.get_any(model)
        if isinstance(found, LoadedClassifier):
            raise not_a_segmenter(found.manifest)
        return found

    def get_any(self, model: PinnedModel) -> LoadedModel | LoadedClassifier:
        """Return a model or a classifier, ready to predict. Raises as `Repository.load_any`."""
        with self._lock:
            slot = self._slots.setdefault(model.sha256, _Slot())
            self._slots.move_to_end(model.sha256)
            while len(self._slots) > self.keep:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.model is None:
                slot.model = self._on_server(model) or self._here(model)
            return slot.model

    def _here(self, model: PinnedModel) -> LoadedModel | LoadedClassifier:
        began = time.perf_counter()
        loaded = self.repository.load_any(model, device=self.device)
        there = time.perf_counter()
        if isinstance(loaded, LoadedClassifier):
            loaded.classifier.scores(np.zeros((1, *loaded.manifest.shape), np.float32))
        else:
            warm_up(loaded)
            self.took(loaded, there - began, time.perf_counter() - there)
        metrics.model_loaded(f"{model.name}:{model.version}")
        return loaded

    def _on_server(self, model: PinnedModel) -> LoadedModel | None:
        """Return a model of the server, which may not be there yet; None: there is no server for it."""
        package = self.repository.package(model) if self.server else None
        if self.server is None or package is None or not package.is_servable:
            return None
        manifest = package.manifest
        served = ServedModel(model.name, model.version, model.sha256)
        predictor = RemotePredictor(self.server, served, len(manifest.heads), manifest.tile.multiple)
        return LoadedModel(manifest, model.sha256, predictor, "server")


def warm_up(model: LoadedModel) -> None:
    """Predict one empty tile: a runtime sets up its kernels and memory at the first call."""
    tile, channels = model.manifest.tile, model.manifest.channels
    side = tile.multiple * (2 * tile.halo // tile.multiple + 1)
    contrast = np.tile(np.array([0, 1], np.float32), (channels, 1))
    model.predictor.predict(np.zeros((channels, side, side), np.float32), contrast)
