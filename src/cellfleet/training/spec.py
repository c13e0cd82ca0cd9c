"""What a training run is asked to do: one frozen spec that the checkpoint and the model card carry.

Networks and optimisers are types, not flags, so that no option is ever given and ignored. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from cellfleet.errors import UsageError
from cellfleet.spec.choices import Network, Recipe
from cellfleet.spec.segment import ChannelChoice

HEADS = ("outer_distance", "inner_distance", "background", "interior", "border")
"""Output maps of every network, in order; the last three are one softmax."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UNet(_Spec):
    """Residual U-Net that works at half resolution and returns full resolution."""

    kind: Literal["unet"] = "unet"
    widths: tuple[PositiveInt, ...] = (32, 64, 96, 128)
    """Channels per level; each level halves the resolution of the one before."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


_Odd = Annotated[PositiveInt, AfterValidator(_odd)]
"""So that one of them is the middle."""


class FeatureNet(_Spec):
    """DeepCell's fully convolutional, dilated feature-net 2D (``bn_feature_net_2D``)."""

    kind: Literal["feature-net"] = "feature-net"
    receptive_field: _Odd = 41
    """Pixels across that decide one output pixel."""


class FeatureNetStack(_Spec):
    """DeepCell's feature-net 3D (``bn_feature_net_3D``), for volumes and movies."""

    kind: Literal["feature-net-3d"] = "feature-net-3d"
    receptive_field: _Odd = 41
    """Pixels across, in each plane, that decide one output pixel."""
    frames: _Odd = 5
    """Consecutive planes that are looked at; the middle one is labelled."""


class Panoptic(_Spec):
    """A pyramid with several heads in the manner of DeepCell's PanopticNet, on a backbone that a processor can bear."""

    kind: Literal["panoptic"] = "panoptic"
    widths: tuple[PositiveInt, ...] = Field(default=(32, 64, 96, 128), min_length=2)
    """Channels of the backbone's levels at 1/2, 1/4, 1/8 … of the size; all but the first go into the pyramid."""
    pyramid: PositiveInt = 64
    """Channels of the pyramid."""
    upsampled: PositiveInt = 32
    """Channels of the heads, from the pyramid's finest level to the image's own size."""
    location: bool = False
    """Whether each pixel's place in its tile is given beside the roles (``Location2D``)."""


NetworkSpec = UNet | FeatureNet | FeatureNetStack | Panoptic
"""Networks that predict maps."""


class Detector(_Spec):
    """A single-shot detector with masks in the manner of RetinaMask: boxes, scores and masks of objects."""

    kind: Literal["detector"] = "detector"
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (32, 48, 96, 128)
    """Channels of the backbone at 1/2, 1/4, 1/8 and 1/16 of the size; the last three are the pyramid's P2, P3, P4."""
    pyramid: PositiveInt = 64
    """Channels of the pyramid and of the heads of scores and boxes."""
    masks: PositiveInt = 32
    """Channels of the mask head."""
    anchors_px: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (8, 16, 32)
    """Smallest side of the square anchors of P2, P3, P4."""


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


class Tissue(_Spec):
    """Random changes of a crop whose first channels are nuclear and membrane: shares of the crops that get each."""

    warped_px: float = Field(default=4.0, ge=0)
    """Standard deviation of a smooth displacement, so that cells are not all as round as drawn ones."""
    thinned_share: float = Field(default=0.35, ge=0, le=1)
    """Some cells are taken away, so that those left stand alone or in groups."""
    cytoplasm_share: float = Field(default=0.5, ge=0, le=1)
    """The membrane channel shows the cells' bodies instead of, or beside, their rims."""
    bleeding_share: float = Field(default=0.25, ge=0, le=1)
    """Some of one channel shows in the other."""
    lost_share: float = Field(default=0.06, ge=0, le=1)
    """The membrane channel shows nothing, or the nuclei once more."""


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
    tissue: Tissue | None = None
    """For cells and nuclei of two channels; None: the crop's stains stay as they are."""


class TrainSpec(_Spec):
    """One training run, bounded by `steps`, or by `minutes` where no steps are given."""

    name: str = Field(default="model", pattern=r"^[^/\\]+$")
    """Of the model, and of the weights' file."""
    channels: tuple[ChannelChoice, ...] = ()
    """Which channels of the images play which role, as `SegmentSpec.channels`; empty: the only one is nuclear."""
    microns_per_pixel: PositiveFloat | None = None
    """Pixel size that the images have, as far as the model is to know; None: it judges by the objects' size."""
    network: Annotated[NetworkSpec | Detector, Field(discriminator="kind")] = UNet()
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

    @property
    def frames(self) -> int:
        """Planes that the network looks at to label one."""
        return self.network.frames if isinstance(self.network, FeatureNetStack) else 1

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the model, in the order of the graph's channels."""
        return tuple(choice.role for choice in self.channels if choice.role) or ("nuclear",)


_NETWORKS: Mapping[Network, type[NetworkSpec | Detector]] = {
    "unet": UNet,
    "feature-net": FeatureNet,
    "feature-net-3d": FeatureNetStack,
    "panoptic": Panoptic,
    "detector": Detector,
}
_BY_NETWORK: Mapping[Network, Mapping[str, Any]] = {"detector": {"batch": 8, "steps_per_epoch": 500}}
"""Settings that a network wants otherwise than the others."""


def train_spec(
    name: str,
    *,
    network: Network = "unet",
    receptive_field: int | None = None,
    frames: int | None = None,
    recipe: Recipe = "fast",
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
) -> TrainSpec:
    """Build a spec from the few choices that the command offers.

    Raises:
        UsageError: E016 two budgets, E017 an option that the network does not have, E018 a value that cannot be used.
    """
    if steps is not None and minutes is not None:
        raise UsageError("E016", "--steps and --minutes are both given", action="Give one of them")
    chosen = {"receptive_field": receptive_field, "frames": frames}
    chosen = {option: value for option, value in chosen.items() if value is not None}
    _require_choices(network, chosen)
    budget: dict[str, Any] = {"minutes": 20} if steps is minutes is None else {"steps": steps, "minutes": minutes}
    try:
        return TrainSpec(
            name=name,
            network=_NETWORKS[network](**chosen),
            optimiser=_optimiser(network, recipe),
            seed=seed,
            **budget,
            **_BY_NETWORK.get(network, {}),
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        what = f"{first['input']!r} cannot be used: {first['msg']}"
        raise UsageError("E018", what, where=f"--{option}", action="Choose another value") from error


def _optimiser(network: Network, recipe: Recipe) -> AdamW | Sgd:
    if recipe == "paper":
        return Sgd()
    return AdamW(learning_rate=2e-3) if network == "detector" else AdamW()


def _require_choices(network: Network, chosen: Mapping[str, object]) -> None:
    for name in chosen:
        having = [kind for kind, spec in _NETWORKS.items() if name in spec.model_fields]
        if network not in having:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                "E017",
                f"{option} is given, but network {network!r} has none to choose",
                action=f"Add --network {' or '.join(having)}, or leave it out",
            )


def with_channels(spec: TrainSpec, channels: Sequence[str], microns_per_pixel: float | None = None) -> TrainSpec:
    """Return the spec of the same run on images of several channels, or of a known pixel size.

    A nuclear and a membrane channel are augmented as tissue, around the size of its cells.

    Args:
        spec: Of one nuclear channel.
        channels: As ``nuclear=1``; several channels of a role are summed: ``membrane=2+3``.
        microns_per_pixel: Of all images.

    Raises:
        UsageError: E010 no channel, E018 no pixel size, E610 a role is missing or named twice.
    """
    choices = sorted((ChannelChoice.parse(text) for text in channels), key=_tissue_first)
    roles = [choice.role for choice in choices]
    if None in roles or len(set(roles)) < len(roles):
        raise UsageError(
            "E610",
            f"{' '.join(channels)!r} does not say once for each channel what it shows",
            where="--channel",
            action="Write for example --channel nuclear=1 --channel membrane=2",
        )
    if microns_per_pixel is not None and not 0 < microns_per_pixel < math.inf:
        raise UsageError("E018", f"{microns_per_pixel} is no pixel size", where="--pixel-size", action="Give µm > 0")
    change: dict[str, Any] = {"channels": tuple(choices), "microns_per_pixel": microns_per_pixel}
    if {"nuclear", "membrane"} <= set(roles):
        # Cells of tissue fill it: there is no room to paste others between them.
        tissue = {"diameter_px": (24.0, 0.5), "touching_share": 0.0, "tissue": Tissue()}
        # Even a small crop holds dozens of cells: more steps of less, for the same time.
        change |= {"augmentation": spec.augmentation.model_copy(update=tissue), "batch": 8, "crop_px": 128}
    return spec.model_copy(update=change)


def _tissue_first(choice: ChannelChoice) -> int:
    """Sort by what the augmentation of tissue goes by: the nuclear channel, the membrane channel, others."""
    return {"nuclear": 0, "membrane": 1}.get(choice.role or "", 2)
