"""What a training run of a translation model is asked to do: one frozen spec. Knows no files."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from cellfleet.training.spec import AdamW


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StackFeatureNet(_Spec):
    """The paper's 3D feature-net for stacks (`StackFeatureNet3D`); there with a width of 64 and a dense of 200."""

    kind: Literal["stack-feature-net"] = "stack-feature-net"
    receptive_field: PositiveInt = 41
    """Pixels of half size across that decide one output pixel; odd, so that one of them is the middle."""
    width: PositiveInt = 16
    """Features of each plane."""
    dense: PositiveInt = 64
    """Features of all planes together."""

    @field_validator("receptive_field")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value


class TranslationSpec(_Spec):
    """One training run, bounded by processor time: on a shared machine that is the same work as on an idle one."""

    name: str = Field(default="model", pattern=r"^[^/\\]+$")
    """Of the model, and of the weights' file."""
    output: str = "predicted stain"
    """Name of the channel that the model predicts."""
    network: StackFeatureNet = StackFeatureNet()
    optimiser: AdamW = AdamW(learning_rate=3e-3, weight_decay=1e-2, warm_up_steps=50)
    crop_px: PositiveInt = 192
    """Side of a crop; even."""
    batch: PositiveInt = 4
    cpu_minutes: PositiveFloat = 20
    steps_per_epoch: PositiveInt = 50
    """Checkpoint, validation and log line after each."""
    ema_decay: float = 0.99
    """The weights that are validated and exported are this moving average."""
    fewest_planes: PositiveInt = 5
    """Crops lose planes at random down to so many; their neighbours take the places."""
    diameter_px: PositiveFloat | None = None
    """Usual diameter of an object in the training images."""
    seed: int = Field(default=0, ge=0)
