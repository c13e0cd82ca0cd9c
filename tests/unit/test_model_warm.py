"""Models that stay loaded: each is loaded once, the latest are kept, and a missing device is told at once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.packages import write_package

from cellfleet.errors import DeviceError, ModelError
from cellfleet.models import LoadedModel
from cellfleet.models.load import LoadedClassifier
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.spec.choices import Device
from cellfleet.spec.job import PinnedModel
from cellfleet.stores.folder import FolderPlace


@dataclass(frozen=True)
class Counting(Repository):
    """Counts what is loaded."""

    loads: Counter[str] = field(default_factory=Counter)

    def load_any(self, model: PinnedModel, *, device: Device = "auto") -> LoadedModel | LoadedClassifier:
        self.loads[model.name] += 1
        return super().load_any(model, device=device)


@pytest.fixture
def models(tmp_path: Path) -> Counting:
    for name in "abc":
        write_package(tmp_path / "store" / "models" / name, name)
    return Counting(FolderPlace(tmp_path / "store"), tmp_path / "cache")


def test_two_who_ask_for_the_same_model_load_it_once(models: Counting) -> None:
    warm, pinned, barrier = WarmModels(models, "cpu"), models.resolve("a"), threading.Barrier(8)

    def ask(_: int) -> LoadedModel:
        barrier.wait(20)
        return warm.get(pinned)

    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(ask, range(8)))
    assert models.loads == {"a": 1}
    assert all(model is loaded[0] for model in loaded)


def test_the_models_that_were_used_last_stay_loaded(models: Counting) -> None:
    warm = WarmModels(models, "cpu", keep=2)
    for name in "abacacab":
        warm.get(models.resolve(name))
    # b made room for c, as a had been used since; then c for b.
    assert models.loads == {"a": 1, "b": 2, "c": 1}


def test_a_model_that_could_not_be_loaded_is_tried_again(models: Counting, tmp_path: Path) -> None:
    warm, pinned = WarmModels(models, "cpu"), models.resolve("a")
    weights = tmp_path / "store" / "models" / "a" / "weights.onnx"
    whole = weights.read_bytes()
    weights.write_bytes(b"half")
    with pytest.raises(ModelError, match="E403"):
        warm.get(pinned)
    weights.write_bytes(whole)
    assert warm.get(pinned).manifest.name == "a"


def test_a_device_that_is_not_there_is_refused_before_any_work(
    models: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="E501"):
        WarmModels(models, "cuda")
    assert WarmModels(models, "auto").get(models.resolve("a")).device == "cpu"
