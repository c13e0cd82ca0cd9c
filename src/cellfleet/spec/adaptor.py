"""How a graph that was not made for cellfleet is asked: the ``adaptor`` of a manifest.

It is derived from the words of a bioimage.io package (`cellfleet.models.bioimage`) and says the same without their
variety: steps before and after the graph, the order of axes, and what each output channel means. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

Dtype = Literal["float32", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool"]
Meaning = Literal["foreground", "interior", "background", "boundary", "distance", "unused"]
"""Of an output channel: `foreground` is all of an object, `interior` an object without its boundary; `distance` grows
from an object's edge to its middle."""


Recipe = Literal["shape", "boundary", "distance"]
"""By what neighbours are told apart: the shape of the foreground, boundaries between them, or a distance map."""
HEADS: Final[Mapping[Recipe, tuple[str, str]]] = {
    "shape": ("outer_distance", "foreground"),
    "boundary": ("core", "interior"),
    "distance": ("outer_distance", "foreground"),
}
"""Heads that are computed from the outputs (docs/reference/models.md has the formulas)."""


SHAPE_PX: Final = 64
"""Up to where distances to an object's edge are told apart, where the recipe is its shape: half the diameter of the
largest objects that part by it. A tile needs as much context."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Affine(_Part):
    """value · gain + offset, one number for all channels or one for each."""

    step: Literal["affine"] = "affine"
    gain: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)


class Standardise(_Part):
    """(value − mean) ÷ (standard deviation + eps), of the whole image."""

    step: Literal["standardise"] = "standardise"
    each_channel: bool
    eps: float = 1e-6


class Percentiles(_Part):
    """(value − low) ÷ (high − low + eps), where low and high are percentiles of the whole image."""

    step: Literal["percentiles"] = "percentiles"
    low: float
    high: float
    each_channel: bool
    eps: float = 1e-6


class Clip(_Part):
    """Values below `low` become `low`, above `high` `high`; None: no bound."""

    step: Literal["clip"] = "clip"
    low: float | None = None
    high: float | None = None


class Binarise(_Part):
    """1 above the threshold (one for all channels or one for each), else 0."""

    step: Literal["binarise"] = "binarise"
    threshold: tuple[float, ...]


class Cast(_Part):
    """To integers: what the type cannot hold is cut, fractions towards zero."""

    step: Literal["cast"] = "cast"
    dtype: Dtype


class Sigmoid(_Part):
    """1 ÷ (1 + exp(−value))."""

    step: Literal["sigmoid"] = "sigmoid"


class Softmax(_Part):
    """Over the channels."""

    step: Literal["softmax"] = "softmax"


Step = Annotated[
    Affine | Standardise | Percentiles | Clip | Binarise | Cast | Sigmoid | Softmax, Field(discriminator="step")
]


class Sizes(_Part):
    """Lengths that an axis of the graph's input may have, px: minimum + n · step; step 0: this one only."""

    minimum: PositiveInt
    step: NonNegativeInt = 0

    def at_least(self, length: int) -> int:
        """Return the smallest allowed length that is no less than `length`, the largest one where there is none."""
        if self.step == 0:
            return self.minimum
        return self.minimum + self.step * max(0, -(-(length - self.minimum) // self.step))


class GraphInput(_Part):
    """The graph's only input."""

    axes: str
    """A letter per axis: ``b c y x``, and ``z`` or ``t`` of length 1."""
    dtype: Dtype = "float32"
    """What pixels the package takes, before the first step."""
    height: Sizes
    width: Sizes
    steps: tuple[Step, ...] = ()


class GraphOutput(_Part):
    """One of the graph's outputs, in its order."""

    axes: str
    border: NonNegativeInt = 0
    """Pixels at each side of the input that it leaves out."""
    steps: tuple[Step, ...] = ()
    channels: tuple[Meaning, ...]
    longest: PositiveFloat = 1.0
    """Distance that becomes 1."""


class Adaptor(_Part):
    """All of it."""

    input: GraphInput
    outputs: tuple[GraphOutput, ...] = Field(min_length=1)
    shape_px: PositiveInt = SHAPE_PX
    """Less for a graph that takes small tiles only."""

    @property
    def meanings(self) -> frozenset[Meaning]:
        """What the outputs tell, of all channels that are used."""
        return frozenset(one for output in self.outputs for one in output.channels) - {"unused"}

    @property
    def recipe(self) -> Recipe:
        """How heads come of the outputs."""
        if "distance" in self.meanings:
            return "distance"
        return "boundary" if self.meanings & {"boundary"} or {"interior", "background"} <= self.meanings else "shape"

    @property
    def heads(self) -> tuple[str, str]:
        """Names of the heads that come of the outputs."""
        return HEADS[self.recipe]
