"""The weights that a run begins with where these are not fresh: those of another run. Knows no data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cellfleet.errors import TrainingError
from cellfleet.training.loop import CHECKPOINT, SPEC
from cellfleet.training.spec import TrainSpec

_FIRST, _LAST = "stem.", "head."
"""Layers of our network that may see more channels, and say more, than those of the run that is begun with."""


def begun_with(build: Callable[[], nn.Module], run: Path) -> Callable[[], nn.Module]:
    """Return what builds the same network with the weights of `run`; see `take_weights`."""

    def built() -> nn.Module:
        network = build()
        take_weights(network, run)
        return network

    return built


def take_weights(network: nn.Module, run: Path) -> None:
    """Put the averaged weights of a run into a network of the same layers.

    Where the network sees more channels, the first ones are those of the run, and the others count nothing at first.
    Where it says more, as of cells and of nuclei, each compartment begins with what the run said of its own.

    Args:
        network: Is changed.
        run: Folder with the run's checkpoint.

    Raises:
        TrainingError: E613, there is none, or it is of another network.
    """
    try:
        weights = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")["average"]
        own = network.state_dict()
        if weights.keys() != own.keys():
            raise ValueError("it has other layers")
        fitted = {name: _fitted(name, tensor, own[name].shape) for name, tensor in weights.items()}
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise TrainingError(
            "E613",
            f"nothing to begin with: {error}",
            where=str(run / CHECKPOINT),
            action="Give the folder of a finished run of the same network",
        ) from error
    network.load_state_dict(fitted)


def gentler(spec: TrainSpec) -> TrainSpec:
    """Return the spec at half its learning rate, so that more of what was learned stays."""
    recipe = spec.optimiser
    slower = recipe.model_copy(update={"learning_rate": recipe.learning_rate / 2})
    return spec.model_copy(update={"optimiser": slower})


def name_of(run: Path) -> str:
    """Return the name of the model that a run trained."""
    return str(json.loads((run / SPEC).read_text(encoding="utf-8"))["name"])


def _fitted(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    if tensor.shape == shape:
        return tensor
    if name.startswith(_FIRST) and tensor.shape[0] == shape[0] and tensor.shape[1] < shape[1]:
        return torch.cat([tensor, tensor.new_zeros(shape[0], shape[1] - tensor.shape[1], *shape[2:])], 1)
    if name.startswith(_LAST) and shape[0] % tensor.shape[0] == 0 and tensor.shape[1:] == shape[1:]:
        return torch.cat([tensor] * (shape[0] // tensor.shape[0]))
    raise ValueError(f"{name} is {tuple(tensor.shape)}, not {tuple(shape)}")
