"""What a training run is asked to do: one frozen spec that the checkpoint and the model card carry.

Networks and optimisers are types, not flags, so that no option is ever given and ignored. Knows no files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from cellfleet.errors import UsageError
from cellfleet.spec.choices import Network, Recipe

HEADS = ("outer_distance", "inner_distance", "background", "interior", "border")
"""Output maps of every network, in order; the last three are one softmax."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UNet(_Spec):
    """Residual U-Net that works at half resolution and returns full resolution."""

    kind: Literal["unet"] = "unet"
    widths: tuple[PositiveInt, ...] = (32, 64, 96, 128)
    """Channels per level; each level halves the resolution of the one before."""


class FeatureNet(_Spec):
    """DeepCell's fully convolutional, dilated feature-net 2D (``bn_feature_net_2D``)."""

    kind: Literal["feature-net"] = "feature-net"
    receptive_field: PositiveInt = 41
    """Pixels across that decide one output pixel; odd, so that one of them is the middle."""

    @field_validator("receptive_field")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value


class AdamW(_Spec):
    """AdamW with warm-up and a cosine to 2 % of the rate."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: PositiveFloat = 4e-3
    weight_decay: float = 1e-4
    warm_up_steps: PositiveInt = 200


class Sgd(_Spec):
    """The paper's recipe: Nesterov momentum, rate multiplied by 0.95 after each epoch."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: float = 0.9
    decay_per_epoch: float = 0.95


class Augmentation(_Spec):
    """Random changes of a crop. Lengths in px of the crop."""

    diameter_px: tuple[PositiveFloat, PositiveFloat] = (22.0, 0.55)
    """Median and log-sigma of the object diameter that crops are zoomed to."""
    zoom: tuple[PositiveFloat, PositiveFloat] = (0.3, 3.5)
    """Hard limits of that zoom."""
    touching_share: float = Field(default=0.3, ge=0, le=1)
    """Share of crops that get extra objects pasted next to others."""
    empty_share: float = Field(default=0.02, ge=0, le=1)
    """Share of crops that hold background and noise only."""


class TrainSpec(_Spec):
    """One training run, bounded by `steps`, or by `minutes` where no steps are given."""

    name: str = Field(default="model", pattern=r"^[^/\\]+$")
    """Of the model, and of the weights' file."""
    network: Annotated[UNet | FeatureNet, Field(discriminator="kind")] = UNet()
    optimiser: Annotated[AdamW | Sgd, Field(discriminator="kind")] = AdamW()
    augmentation: Augmentation = Augmentation()
    crop_px: PositiveInt = 160
    batch: PositiveInt = 12
    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None
    """Wall-clock budget of the optimisation, validation not counted."""
    steps_per_epoch: PositiveInt = 1000
    """Validation, checkpoint and log line after each."""
    ema_decay: float = 0.999
    """The weights that are validated and exported are this moving average."""
    seed: int = Field(default=0, ge=0)


def train_spec(
    name: str,
    *,
    network: Network = "unet",
    receptive_field: int | None = None,
    recipe: Recipe = "fast",
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
) -> TrainSpec:
    """Build a spec from the few choices that the command offers.

    Raises:
        UsageError: E016 two budgets, E017 a receptive field for a network that has none to choose, E018 a value that
            cannot be used.
    """
    if steps is not None and minutes is not None:
        raise UsageError("E016", "--steps and --minutes are both given", action="Give one of them")
    if receptive_field is not None and network != "feature-net":
        raise UsageError(
            "E017",
            f"--receptive-field is given, but network {network!r} has none to choose",
            action="Add --network feature-net, or leave it out",
        )
    field = {} if receptive_field is None else {"receptive_field": receptive_field}
    budget: dict[str, Any] = {"minutes": 20} if steps is minutes is None else {"steps": steps, "minutes": minutes}
    try:
        return TrainSpec(
            name=name,
            network=FeatureNet(**field) if network == "feature-net" else UNet(),
            optimiser=Sgd() if recipe == "paper" else AdamW(),
            seed=seed,
            **budget,
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        what = f"{first['input']!r} cannot be used: {first['msg']}"
        raise UsageError("E018", what, where=f"--{option}", action="Choose another value") from error
