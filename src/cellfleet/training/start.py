"""The weights that a run begins with where these are not fresh: those of another run, or of a model. Knows no data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cellfleet.errors import TrainingError
from cellfleet.models.load import find_folder, read_manifest
from cellfleet.models.package import WEIGHTS
from cellfleet.training.loop import CHECKPOINT, SPEC
from cellfleet.training.spec import TrainSpec

_DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    pickle.UnpicklingError,
)
"""What reading a file raises that somebody put there, and that holds something else."""
_FIRST, _LAST = "stem.", "head."
"""Layers of our network that may see more channels, and say more, than those of the run that is begun with."""


def begun_with(build: Callable[[], nn.Module], run: Path) -> Callable[[], nn.Module]:
    """Return what builds the same network with the weights of `run`; see `take_weights`."""

    def built() -> nn.Module:
        network = build()
        take_weights(network, run)
        return network

    return built


def save_weights(network: nn.Module, out: Path) -> None:
    """Write the weights of a finished run into its package: kernels as int8 and a scale per output channel.

    That keeps a package small, and the first steps of another run take more away than the rounding does.
    """
    content = {name: _rounded(tensor) if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    partial = out / f".{WEIGHTS}"
    torch.save(content, partial)
    partial.replace(out / WEIGHTS)


def find_start(start: str | Path) -> Path:
    """Return the folder of a run or model: as it is given, or by the model's name. Raises `ModelError` E401."""
    return Path(start) if Path(start).is_dir() else find_folder(str(start))


def take_weights(network: nn.Module, run: Path) -> None:
    """Put the averaged weights of a run into a network of the same layers.

    Where the network sees more channels, the first ones are those of the run, and the others count nothing at first.
    Where it says more, as of cells and of nuclei, each compartment begins with what the run said of its own.

    Args:
        network: Is changed.
        run: Folder with the run's checkpoint, or with the weights that a model brings.

    Raises:
        TrainingError: E613, there is none, or it is of another network.
    """
    try:
        weights = _weights(run)
        own = network.state_dict()
        if weights.keys() != own.keys():
            raise ValueError("it has other layers")
        fitted = {name: _fitted(name, tensor, own[name].shape) for name, tensor in weights.items()}
    except _DAMAGE as error:
        raise _nothing(run, error) from error
    network.load_state_dict(fitted)


def gentler(spec: TrainSpec) -> TrainSpec:
    """Return the spec at half its learning rate, so that more of what was learned stays."""
    recipe = spec.optimiser
    slower = recipe.model_copy(update={"learning_rate": recipe.learning_rate / 2})
    return spec.model_copy(update={"optimiser": slower})


def name_of(run: Path) -> str:
    """Return the name of the model that a run trained. Raises `TrainingError` E613, `ModelError`: it says none."""
    if not (run / SPEC).is_file():
        return read_manifest(run).name
    try:
        return str(json.loads((run / SPEC).read_text(encoding="utf-8"))["name"])
    except _DAMAGE as error:
        raise _nothing(run, error) from error


def _nothing(run: Path, error: Exception) -> TrainingError:
    action = "Give the folder of a finished run, or a model, of the same --network"
    return TrainingError("E613", f"nothing to begin with: {error}", where=str(run), action=action)


def _weights(run: Path) -> dict[str, Tensor]:
    if (run / CHECKPOINT).is_file():
        kept: dict[str, Tensor] = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")["average"]
        return kept
    if not (run / WEIGHTS).is_file():
        raise ValueError(f"it has neither {CHECKPOINT} nor {WEIGHTS}")
    brought = torch.load(run / WEIGHTS, weights_only=True, map_location="cpu")
    return {name: kept if isinstance(kept, Tensor) else kept[0] * kept[1] for name, kept in brought.items()}


def _rounded(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers from −127 to 127, and what one of them counts, whose product is the kernel."""
    unit = kernel.abs().amax(tuple(range(1, kernel.ndim)), keepdim=True).clamp_min(1e-12) / 127
    return (kernel / unit).round().to(torch.int8), unit


def _fitted(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    if tensor.shape == shape:
        return tensor
    if name.startswith(_FIRST) and tensor.shape[0] == shape[0] and tensor.shape[1] < shape[1]:
        return torch.cat([tensor, tensor.new_zeros(shape[0], shape[1] - tensor.shape[1], *shape[2:])], 1)
    if name.startswith(_LAST) and shape[0] % tensor.shape[0] == 0 and tensor.shape[1:] == shape[1:]:
        return torch.cat([tensor] * (shape[0] // tensor.shape[0]))
    raise ValueError(f"{name} is {tuple(tensor.shape)}, not {tuple(shape)}")
