"""The manifest of a model: the ``config.cellfleet`` block of its bioimage.io package."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from cellfleet.spec.postprocess import DeepWatershed


class Tile(BaseModel):
    """Sizes of the model's input, px at model scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    multiple: PositiveInt = 1
    """Height and width must be a multiple of this (the network's total down-sampling)."""
    halo: int = Field(default=0, ge=0)
    """Context that each tile needs on each side."""
    largest: PositiveInt = 1024
    """Largest tile without halo: bounds memory."""


class ModelManifest(BaseModel):
    """What the pipeline must know about a model. `name:version` always names one content hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: str
    predictor: Literal["onnx", "otsu"] = "onnx"
    """Who turns pixels into heads: an ONNX graph, or the classical threshold that needs no weights."""
    roles: tuple[str, ...] = ("nuclear",)
    """One input channel per role, in the order of the graph's channels."""
    compartment: Literal["nuclear", "whole-cell"] = "nuclear"
    microns_per_pixel: PositiveFloat | None = None
    """Pixel size of the training images; None where they carried none."""
    diameter_px: PositiveFloat | None = None
    """Object diameter (of the circle of equal area) at which the model works best; None: any scale."""
    diameter_range_px: tuple[PositiveFloat, PositiveFloat] | None = None
    """Median object diameters at which images are left at their own scale."""
    heads: tuple[str, ...]
    """Names of the graph's output maps, in order."""
    tile: Tile = Tile()
    postprocess: DeepWatershed = DeepWatershed()
    training: dict[str, Any] = {}
    """Where the data came from, the command, the seed, steps and seconds."""
    scores: dict[str, Any] = {}
    """Scores by data set, as written by `cellfleet evaluate`."""

    @property
    def heads_read(self) -> tuple[int, ...]:
        """Places of the heads that the pipeline reads, ascending; the others are for who looks at the model."""
        return tuple(sorted(self.heads.index(head) for head in self._read()))

    def _read(self) -> set[str]:
        read = {self.postprocess.maxima_head, self.postprocess.interior_head}
        # An unknown scale is judged by it.
        return read | {"outer_distance"} if self.diameter_range_px else read

    @model_validator(mode="after")
    def _has_the_heads_that_are_read(self) -> Self:
        if missing := self._read() - set(self.heads):
            raise ValueError(f"heads lack {', '.join(sorted(missing))}")
        return self
