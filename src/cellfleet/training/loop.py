"""The optimisation: batches in, checkpoints and a log out. Knows no model package.

Everything needed to go on stands in one checkpoint, written whole at each look (`pace.py`): weights, their average,
optimiser, step, seconds and the best score. It is read back without pickle.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.errors import TrainingError
from cellfleet.training.augment import Batches
from cellfleet.training.dataset import Sample, with_targets
from cellfleet.training.networks import build_network
from cellfleet.training.pace import EVERY_EPOCH, Looks, Pace, StoppedError
from cellfleet.training.spec import HEADS, AdamW, Detector, TrainSpec

CLASS_WEIGHTS = (1.0, 1.0, 2.5)
"""Background, interior, border. The exported graph takes them back."""
_DISTANCE_WEIGHT = 3.0
CHECKPOINT, LOG, SPEC = "checkpoint.pt", "log.jsonl", "train.json"

Validate = Callable[[nn.Module], dict[str, float]]
"""Network (moving average) → scores; must contain ``f1``."""
Tell = Callable[[dict[str, Any]], None]
Batch = Sequence[Tensor]


@dataclass(frozen=True)
class Lesson:
    """What is learned, and from what."""

    build: Callable[[], nn.Module]
    """Makes the network, with fresh weights."""
    batches: type[Batches]
    loss: Callable[[nn.Module, Batch], Tensor]
    """Network and a batch, both on the device → what is to become small."""


@dataclass
class State:
    """What a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best_f1: float = -1.0

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best_f1": self.best_f1,
        }
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        torch.save(content, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Go back to a checkpoint."""
        content = torch.load(path, weights_only=True, map_location="cpu")
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.best_f1 = content["best_f1"]


def optimise(
    spec: TrainSpec,
    samples: list[Sample],
    out: Path,
    *,
    device: str,
    validate: Validate,
    tell: Tell,
    pace: Pace = EVERY_EPOCH,
    lesson: Lesson | None = None,
) -> State:
    """Train until the budget of `spec` is used up, going on from a checkpoint in `out` where there is one.

    Args:
        spec: The run; a checkpoint of another spec is refused.
        samples: Training samples.
        out: Folder of checkpoint and log, made by the caller.
        device: ``cpu`` or ``cuda``.
        validate: Called with the averaged network at each look: by default after each epoch.
        tell: Called with one log entry per look.
        pace: How often to look, and when to stop.
        lesson: None: the maps of `HEADS`.

    Raises:
        TrainingError: E605.
        StoppedError: `pace` says so; a checkpoint of this step is written.
    """
    torch.manual_seed(spec.seed)
    lesson = lesson or maps_lesson(spec, samples)
    network = lesson.build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = lesson.build().to(device)
    average.load_state_dict(network.state_dict())
    state = State(network, average.eval(), _optimiser(spec, network))
    if (out / CHECKPOINT).exists():
        _same_run(spec, out)
        state.load(out / CHECKPOINT)
    partial = out / f".{SPEC}.{os.getpid()}"
    partial.write_text(spec.model_dump_json(indent=2), encoding="utf-8")
    os.replace(partial, out / SPEC)
    batches = _batches(spec, samples, state.step, lesson.batches)
    looks = Looks(pace, spec.steps_per_epoch, state.seconds)
    while _progress(spec, state) < 1:
        loss = _steps(
            spec, state, batches, device, lesson.loss, lambda: pace.stop() or looks.are_due(state.step, state.seconds)
        )
        if pace.stop():
            state.save(out / CHECKPOINT)
            raise StoppedError(state.step)
        began = time.monotonic()
        scores = validate(state.average)
        looks.looked(state.seconds, time.monotonic() - began)
        state.best_f1 = max(state.best_f1, scores["f1"])
        state.save(out / CHECKPOINT)
        entry = {"step": state.step, "seconds": round(state.seconds, 1), "loss": round(loss, 4), **scores}
        with (out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        tell(entry)
    return state


def _same_run(spec: TrainSpec, out: Path) -> None:
    before = TrainSpec.model_validate_json((out / SPEC).read_text(encoding="utf-8"))
    budget = {"steps": spec.steps, "minutes": spec.minutes}
    if before.model_copy(update=budget) != spec:
        raise TrainingError(
            "E605",
            "holds the checkpoint of a run with other settings",
            where=str(out),
            action="Repeat the settings of its train.json to go on, or choose another --out",
        )


def _optimiser(spec: TrainSpec, network: nn.Module) -> torch.optim.Optimizer:
    recipe = spec.optimiser
    if isinstance(recipe, AdamW):
        return torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(network.parameters(), recipe.learning_rate, recipe.momentum, nesterov=True)


def _progress(spec: TrainSpec, state: State) -> float:
    """Share of the budget that is used, 0…1 and beyond."""
    if spec.steps is not None:
        return state.step / spec.steps
    return state.seconds / (60 * (spec.minutes or 1))


def learning_rate(spec: TrainSpec, state: State) -> float:
    """Rate for the next step: a function of step and progress alone, so that a resumed run continues it."""
    recipe = spec.optimiser
    if isinstance(recipe, AdamW):
        warm = min(1.0, (state.step + 1) / recipe.warm_up_steps)
        cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, _progress(spec, state))))
        return float(recipe.learning_rate * warm * (0.02 + 0.98 * cosine))
    return recipe.learning_rate * recipe.decay_per_epoch ** (state.step // spec.steps_per_epoch)


def _steps(
    spec: TrainSpec,
    state: State,
    batches: Iterator[Batch],
    device: str,
    loss_of_batch: Callable[[nn.Module, Batch], Tensor],
    over: Callable[[], bool],
) -> float:
    """Train until `over` says so or the budget is used up; return the mean loss."""
    losses = []
    state.network.train()
    began = time.monotonic()
    for batch in batches:
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(spec, state)
        loss = loss_of_batch(state.network, [tensor.to(device) for tensor in batch])
        state.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
        state.optimiser.step()
        state.step += 1
        _follow(state, spec.ema_decay)
        losses.append(float(loss.detach()))
        now = time.monotonic()
        state.seconds += now - began
        began = now
        if over() or _progress(spec, state) >= 1:
            break
    return float(np.mean(losses))


def _batches(spec: TrainSpec, samples: list[Sample], first: int, kind: type[Batches]) -> Iterator[Batch]:
    """Make batches in a second process while the network computes."""
    dataset = kind(
        [with_targets(s) for s in samples],
        spec.augmentation,
        crop_px=spec.crop_px,
        batch=spec.batch,
        seed=spec.seed,
    )
    steps = range(first, len(dataset))
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=steps, num_workers=1, prefetch_factor=8)
    return iter(loader)


def maps_lesson(spec: TrainSpec, samples: list[Sample]) -> Lesson:
    """Return how the maps of `HEADS` are learned from samples."""
    network, roles, maps = spec.network, len(samples[0].pixels), len(HEADS) * len(samples[0].compartments)
    assert not isinstance(network, Detector), "it has a lesson of its own"

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        pixels, distances, kinds = batch
        with torch.autocast(pixels.device.type, torch.bfloat16):
            found = network(pixels.to(memory_format=torch.channels_last))
        return loss_of(found.float(), distances, kinds)

    return Lesson(functools.partial(build_network, network, roles, maps), Batches, loss)


def loss_of(maps: Tensor, distances: Tensor, kinds: Tensor) -> Tensor:
    """Smooth L1 on both distances plus weighted cross-entropy on the classes, summed over the K compartments.

    Args:
        maps: (N, 5 K, Y, X), `HEADS` of each compartment; the classes are logits.
        distances: (N, K, 2, Y, X), 0…1.
        kinds: (N, K, Y, X) int64: background, interior, border.
    """
    weights = torch.tensor(CLASS_WEIGHTS, device=maps.device)
    losses = []
    for number in range(kinds.shape[1]):
        found = maps[:, number * len(HEADS) : (number + 1) * len(HEADS)]
        distance = functional.smooth_l1_loss(found[:, :2], distances[:, number], beta=0.1)
        losses.append(_DISTANCE_WEIGHT * distance + functional.cross_entropy(found[:, 2:], kinds[:, number], weights))
    return torch.stack(losses).sum()


def _follow(state: State, decay: float) -> None:
    """Move the average towards the network; early on faster, so that the first epochs mean something."""
    rate = 1 - min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        pairs = zip(state.average.state_dict().values(), state.network.state_dict().values(), strict=True)
        for mean, value in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(value, rate)
            else:
                mean.copy_(value)
