"""When a training run looks at itself: soon at first, seldom later, and without any effect on what is learned."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.trainings import QUICK, write_dataset

from cellfleet.training.dataset import load_dataset
from cellfleet.training.loop import CHECKPOINT, optimise
from cellfleet.training.pace import EVERY_EPOCH, Looks, Pace, StoppedError
from cellfleet.training.spec import TrainSpec

pytestmark = pytest.mark.slow

SPEC = TrainSpec.model_validate({**QUICK, "steps": 6, "steps_per_epoch": 3})


def looks_of(seconds: float, *, first: float, cost: float, step: float = 0.5) -> list[float]:
    """Train for so long; return when was looked."""
    looks, found, now = Looks(Pace(first), 1000, 0.0), list[float](), 0.0
    while now < seconds:
        now += step
        if looks.are_due(round(now / step), now):
            found.append(now)
            looks.looked(now, cost)
    return found


def test_a_run_of_a_minute_has_a_curve_and_one_of_a_day_no_more_points_than_it_needs() -> None:
    assert len(looks_of(60, first=5, cost=0.1)) >= 8
    day = looks_of(86_400, first=5, cost=0.1)
    assert 600 < len(day) < 800
    assert max(after - before for before, after in itertools.pairwise(day)) <= 121


@given(st.floats(0.01, 100), st.floats(0.1, 10))
def test_looking_never_takes_more_than_a_fifth_of_the_time(cost: float, first: float) -> None:
    found = looks_of(2000, first=first, cost=cost)
    assert cost * (len(found) - 1) <= 0.25 * 2000


def test_without_a_clock_there_is_a_look_after_every_epoch() -> None:
    looks = Looks(EVERY_EPOCH, 10, 0.0)
    assert [step for step in range(1, 31) if looks.are_due(step, 100.0 * step)] == [10, 20, 30]


def weights(folder: Path, pace: Pace, data: Path) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    samples, _ = load_dataset(data)
    told: list[dict[str, Any]] = []
    optimise(SPEC, samples, folder, device="cpu", validate=lambda _: {"f1": 0.0}, tell=told.append, pace=pace)
    found: dict[str, torch.Tensor] = torch.load(folder / CHECKPOINT, weights_only=True)["average"]
    return found


def test_neither_looks_nor_a_stop_change_what_is_learned(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 3)
    plain = weights(tmp_path / "plain", EVERY_EPOCH, data)
    looked = weights(tmp_path / "looked", Pace(first_look_seconds=1e-6), data)
    asked = iter([False, True])
    with pytest.raises(StoppedError) as stopped:
        weights(tmp_path / "stopped", Pace(stop=lambda: next(asked, True)), data)
    assert stopped.value.step == 2
    resumed = weights(tmp_path / "stopped", EVERY_EPOCH, data)
    for name, tensor in plain.items():
        assert torch.equal(tensor, looked[name]) and torch.equal(tensor, resumed[name]), name
