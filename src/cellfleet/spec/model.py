"""The manifest of a model: the ``config.cellfleet`` block of its bioimage.io package.

A model finds objects (`ModelManifest`), says what a whole image shows (`ClassifierManifest`), predicts an image from an
image (`TranslatorManifest`), or is a chain of other models (`WorkflowManifest`).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from cellfleet.spec.adaptor import Adaptor
from cellfleet.spec.postprocess import DeepWatershed, Detection, Postprocess

Compartment = Literal["nuclear", "whole-cell"]
"""What an object is."""


class Tile(BaseModel):
    """Sizes of the model's input, px at model scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    multiple: PositiveInt = 1
    """Height and width must be a multiple of this (the network's total down-sampling)."""
    halo: int = Field(default=0, ge=0)
    """Context that each tile needs on each side."""
    largest: PositiveInt = 1024
    """Largest tile without halo: bounds memory."""
    bytes_per_pixel: PositiveInt | None = Field(default=None, exclude_if=lambda value: value is None)
    """Working memory of the network per pixel of a tile with its halo; None: that of the bundled `nuclei`."""


class ModelManifest(BaseModel):
    """What the pipeline must know about a model. `name:version` always names one content hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: str
    predictor: Literal["onnx", "otsu", "adapted"] = "onnx"
    """Who predicts: an ONNX graph, the classical threshold that needs no weights, or an adapted graph."""
    roles: tuple[str, ...] = ("nuclear",)
    """What the input channels of the graph show, in their order."""
    frames: PositiveInt = Field(default=1, exclude_if=lambda value: value == 1)
    """Consecutive planes along Z or T that are given for each role, side by side; the middle one is labelled."""
    compartment: Compartment = "nuclear"
    """What `postprocess` makes; whole cells where `nuclei` is given."""
    microns_per_pixel: PositiveFloat | None = None
    """Pixel size of the training images; None where they carried none."""
    diameter_px: PositiveFloat | None = None
    """Object diameter (of the circle of equal area) at which the model works best; None: any scale."""
    diameter_range_px: tuple[PositiveFloat, PositiveFloat] | None = None
    """Median object diameters at which images are left at their own scale."""
    heads: tuple[str, ...]
    """Names of the graph's output maps, in order; none of a model that detects objects."""
    tile: Tile = Tile()
    postprocess: Postprocess = DeepWatershed()
    nuclei: DeepWatershed | None = Field(default=None, exclude_if=lambda value: value is None)
    """Makes the nuclei of the cells, where one pass gives heads of both compartments."""
    adaptor: Adaptor | None = Field(default=None, exclude_if=lambda value: value is None)
    """How a graph of others is asked."""
    training: dict[str, Any] = {}
    """Where the data came from, the command, the seed, steps and seconds."""
    scores: dict[str, Any] = {}
    """Scores by data set, as written by `cellfleet evaluate`."""

    @property
    def heads_read(self) -> tuple[int, ...]:
        """Places of the heads that the pipeline reads, ascending; the others are for who looks at the model."""
        return tuple(sorted(self.heads.index(head) for head in self._read()))

    @property
    def channels(self) -> int:
        """Input channels of the graph."""
        return len(self.roles) * self.frames

    @property
    def compartments(self) -> tuple[Compartment, ...]:
        """What the model finds in one pass."""
        return (self.compartment,) if self.nuclei is None else ("whole-cell", "nuclear")

    @property
    def makers(self) -> tuple[DeepWatershed, ...]:
        """What makes the objects of each of `compartments` from heads, in that order; none where they are detected."""
        made_by = (self.postprocess, self.nuclei)
        return tuple(maker for maker in made_by if isinstance(maker, DeepWatershed))

    @property
    def scale_heads(self) -> tuple[str, ...]:
        """Heads that say how much objects of each of `makers` look like such: an unknown scale is judged by them."""
        return ("outer_distance", "nuclei_outer_distance")[: len(self.makers)]

    @property
    def detection(self) -> Detection | None:
        """How detections become objects; None of a model that predicts heads."""
        return self.postprocess if isinstance(self.postprocess, Detection) else None

    def alone(self, compartment: Compartment) -> ModelManifest:
        """Return the manifest of one of `compartments`, as if the model found nothing else.

        For post-processing and scores. Scale, and the heads that it is judged by, stay those of the whole model.

        Raises:
            ValueError: The model does not find it.
        """
        if compartment not in self.compartments:
            raise ValueError(f"{self.name} finds no {compartment} objects")
        if self.nuclei is None:
            return self
        maker = self.nuclei if compartment == "nuclear" else self.postprocess
        return self.model_copy(update={"compartment": compartment, "postprocess": maker, "nuclei": None})

    def _read(self) -> set[str]:
        read = {head for maker in self.makers for head in (maker.maxima_head, maker.interior_head)}
        return read | set(self.scale_heads) if self.diameter_range_px else read

    @model_validator(mode="after")
    def _has_the_heads_that_are_read(self) -> Self:
        if missing := self._read() - set(self.heads):
            raise ValueError(f"heads lack {', '.join(sorted(missing))}")
        return self

    @field_validator("frames")
    @classmethod
    def _has_a_middle(cls, frames: int) -> int:
        if frames % 2 == 0:
            raise ValueError("must be odd, so that one plane is the middle")
        return frames

    @model_validator(mode="after")
    def _has_an_adaptor_if_adapted(self) -> Self:
        if (self.predictor == "adapted") != (self.adaptor is not None):
            raise ValueError('"adaptor" belongs to the predictor "adapted", and to no other')
        return self

    @model_validator(mode="after")
    def _detects_one_compartment_by_a_graph(self) -> Self:
        if self.detection and (self.heads or self.nuclei or self.predictor != "onnx"):
            raise ValueError('of the method "detection", a model has a graph, no heads, and one compartment')
        return self

    @model_validator(mode="after")
    def _has_nuclei_of_cells(self) -> Self:
        if self.nuclei is not None and self.compartment != "whole-cell":
            raise ValueError('with "nuclei", "postprocess" makes the cells: compartment must be "whole-cell"')
        return self


class ClassifierManifest(BaseModel):
    """What must be known about a network that says what an image shows: a score per class, nothing per pixel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: Literal["classification"]
    name: str
    version: str
    classes: tuple[str, ...] = Field(min_length=1)
    """In the order of the graph's scores."""
    axes: Literal["cyx", "yxc"] = "yxc"
    """Of the graph's input, behind the batch."""
    size: tuple[PositiveInt, PositiveInt]
    """Height and width of the graph's input, px: images are resized to it."""
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    """Per channel, of pixels as 0…255; their number is that of the graph's channels."""
    deviation: tuple[PositiveFloat, ...] = (127.5, 127.5, 127.5)
    """The graph is given (pixel − mean) ÷ deviation."""
    training: dict[str, Any] = {}
    """As of `ModelManifest`; so are the scores."""
    scores: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, as the graph takes it."""
        return (len(self.mean), *self.size) if self.axes == "cyx" else (*self.size, len(self.mean))

    @model_validator(mode="after")
    def _has_as_many_deviations_as_means(self) -> Self:
        if not self.mean or len(self.mean) != len(self.deviation):
            raise ValueError("mean and deviation need one number per channel of the graph")
        return self


class TranslatorManifest(BaseModel):
    """What must be known about a network that predicts images from images, such as a stain from unstained planes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: Literal["translation"]
    name: str
    version: str
    role: str = "brightfield"
    """What the planes show: chooses the channel of a stack that has several."""
    axis: Literal["Z", "C"] = "Z"
    """Of the image, along which the planes lie. It is used up: what is predicted has no planes."""
    planes: PositiveInt
    """That the graph takes, in the order of the axis."""
    fewest_planes: PositiveInt | None = None
    """Stacks of at least so many planes are spread over `planes`, evenly; None: others than those are refused."""
    outputs: tuple[str, ...] = Field(min_length=1)
    """Names of the channels that are predicted, in the order of the graph's."""
    microns_per_pixel: PositiveFloat | None = None
    """As of `ModelManifest`; so is the diameter."""
    diameter_px: PositiveFloat | None = None
    tile: Tile = Tile()
    training: dict[str, Any] = {}
    """As of `ModelManifest`; so are the scores."""
    scores: dict[str, Any] = {}

    @model_validator(mode="after")
    def _spreads_over_no_fewer(self) -> Self:
        if self.fewest_planes is not None and self.fewest_planes > self.planes:
            raise ValueError("fewest_planes must not be more than planes")
        return self


class WorkflowManifest(BaseModel):
    """Models one after the other: all but the last predict images, in which the last one finds objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: Literal["workflow"]
    name: str
    version: str
    steps: tuple[str, ...] = Field(min_length=1)
    """``name`` or ``name:version`` of each model, in order. The last one may be a workflow itself."""
    training: dict[str, Any] = {}
    """As of `ModelManifest`; so are the scores."""
    scores: dict[str, Any] = {}


Manifest = ModelManifest | ClassifierManifest | TranslatorManifest | WorkflowManifest
