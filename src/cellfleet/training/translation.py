"""Pairs of stacks and stains → a network that predicts the stain: regression of its logarithm.

Everything needed to go on stands in one checkpoint (`loop.State`). Budgets are processor time. Knows no package.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.errors import TrainingError
from cellfleet.tiling.pad import padded
from cellfleet.training.loop import CHECKPOINT, LOG, SPEC, State
from cellfleet.training.translation_data import Pair, crops, standard
from cellfleet.training.translation_networks import StackFeatureNet3D, translation_tile
from cellfleet.training.translation_spec import TranslationSpec

Tell = Callable[[dict[str, Any]], None]


class Translator(nn.Module):
    """The network with what its output has to be multiplied by to be a log intensity: the checkpoint keeps both."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: StackFeatureNet3D, mean: float, deviation: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, P, Y, X), low = 0 and high = 1 of each plane, to standardised log intensities (N, 1, Y, X)."""
        maps: Tensor = self.network(pixels)
        return maps


def optimise_translation(
    spec: TranslationSpec, pairs: list[Pair], held_out: list[Pair], out: Path, *, tell: Tell = lambda entry: None
) -> State:
    """Train on the CPU until the budget of `spec` is used up; go on from a checkpoint in `out` where there is one.

    Args:
        spec: The run; a checkpoint of another spec is refused.
        pairs: Training pairs.
        held_out: What is scored after each epoch, and never learned from.
        out: Folder of checkpoint and log, made by the caller.
        tell: Called with one log entry per epoch: step, seconds (of the processor), loss, pearson.

    Raises:
        TrainingError: E605, the checkpoint is of another run.
    """
    torch.manual_seed(spec.seed)
    planes = len(pairs[0].planes)
    network, average = (Translator(StackFeatureNet3D(spec.network, planes), *standard(pairs)) for _ in range(2))
    average.load_state_dict(network.state_dict())
    recipe = spec.optimiser
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    state = State(network, average.eval(), optimiser)
    if (out / CHECKPOINT).exists():
        _same_run(spec, out)
        state.load(out / CHECKPOINT)
    partial = out / f".{SPEC}.{os.getpid()}"
    partial.write_text(spec.model_dump_json(indent=2), encoding="utf-8")
    os.replace(partial, out / SPEC)
    batches = crops(pairs, spec, state.step)
    while _progress(spec, state) < 1:
        losses = [_step(spec, state, *next(batches)) for _ in range(spec.steps_per_epoch)]
        pearson = mean_pearson(state.average, held_out)
        state.save(out / CHECKPOINT)
        entry = {"step": state.step, "seconds": round(state.seconds, 1), "loss": round(float(np.mean(losses)), 4)}
        entry |= {"pearson": round(pearson, 4)}
        with (out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        tell(entry)
    return state


def _same_run(spec: TranslationSpec, out: Path) -> None:
    before = TranslationSpec.model_validate_json((out / SPEC).read_text(encoding="utf-8"))
    if before.model_copy(update={"cpu_minutes": spec.cpu_minutes}) != spec:
        raise TrainingError(
            "E605",
            "holds the checkpoint of a run with other settings",
            where=str(out),
            action="Repeat the settings of its train.json to go on, or choose another --out",
        )


def _progress(spec: TranslationSpec, state: State) -> float:
    return state.seconds / (60 * spec.cpu_minutes)


def _step(spec: TranslationSpec, state: State, pixels: Tensor, targets: Tensor) -> float:
    """Learn one batch; return its loss."""
    began = time.process_time()
    warm = min(1.0, (state.step + 1) / spec.optimiser.warm_up_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, _progress(spec, state))))
    for group in state.optimiser.param_groups:
        group["lr"] = spec.optimiser.learning_rate * warm * (0.02 + 0.98 * cosine)
    state.network.train()
    with torch.autocast("cpu", torch.bfloat16):
        maps = state.network(pixels)
    loss = functional.mse_loss(maps.float(), targets)
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimiser.step()
    state.step += 1
    _follow(state, spec.ema_decay)
    state.seconds += time.process_time() - began
    return float(loss.detach())


def _follow(state: State, decay: float) -> None:
    """Move the average a little towards the network; faster at first, when it has seen little."""
    keep = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, value in zip(state.average.state_dict().values(), state.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


def predicted(network: nn.Module, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standardised log intensities (Y, X) of planes (P, Y, X), low = 0 and high = 1 of each."""
    multiple = translation_tile(network.network.spec).multiple if isinstance(network, Translator) else 1
    with torch.no_grad():
        maps: NDArray[np.float32] = network(torch.from_numpy(padded(planes, multiple))[None])[0, 0].numpy()
    return maps[: planes.shape[1], : planes.shape[2]]


def mean_pearson(network: nn.Module, pairs: list[Pair]) -> float:
    """Return Pearson's correlation of predicted and true log intensities over the pixels, averaged over the pairs."""
    network.eval()
    return float(np.mean([pearson(predicted(network, pair.planes), pair.log_target) for pair in pairs]))


def pearson(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Pearson's correlation of two arrays of one shape."""
    return float(np.corrcoef(one.ravel().astype(np.float64), other.ravel().astype(np.float64))[0, 1])
