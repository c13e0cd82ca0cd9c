"""Training runs of a service, as the HTTP API speaks of them: bodies of requests and answers. Knows no service.

Times are milliseconds since 1970. What a run is asked to do is in the words of `cellfleet train`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from cellfleet.spec.choices import Network, Recipe
from cellfleet.spec.job import JobId, PinnedModel, UserName
from cellfleet.spec.record import Told

TrainingState = Literal["queued", "running", "stopping", "stopped", "done", "failed"]
"""`stopping`: it was asked to stop and writes down where it is. `stopped` and `failed` runs can be resumed."""
ENDED: tuple[TrainingState, ...] = ("stopped", "done", "failed")
"""Nothing of the run happens any more, unless somebody asks."""
Phase = Literal["reading", "training", "exporting", "comparing"]
"""What a trainer does: read the data set; train; choose the post-processing and write the package; score it."""
TrainingId = JobId
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
ModelVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


_Odd = Annotated[PositiveInt, AfterValidator(_odd)]
"""So that one of them is the middle."""
USUAL_MINUTES = 20.0
_MOST_MINUTES = 14 * 24 * 60.0


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class TrainingRequest(_Request):
    """What to train, on what, for how long."""

    name: ModelName
    """Of the model."""
    dataset: str = Field(min_length=1, max_length=2000)
    """``set:ID``, a folder or zip in it (``set:ID/corrected.zip``), an address, where allowed a path of the server."""
    channels: tuple[str, ...] = Field(default=(), max_length=20)
    """Of images with several channels, what each shows: ``nuclear=1``, ``membrane=2+3``; empty: they have only one."""
    microns_per_pixel: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of all images; None: the model judges by the objects' size."""
    start: str | None = Field(default=None, max_length=200)
    """Model, or id of a training run of yours that is done, whose weights this one begins with, at half the rate; None:
    fresh ones."""
    network: Network = "unet"
    receptive_field: _Odd | None = None
    """Of the feature-nets, px; None: as it comes."""
    frames: _Odd | None = None
    """Planes that feature-net-3d looks at; None: as it comes."""
    recipe: Recipe = "fast"
    minutes: float | None = Field(default=None, gt=0, le=_MOST_MINUTES)
    """Budget of the optimisation, validation not counted; None and no `steps`: 20."""
    steps: PositiveInt | None = None
    """Budget in steps instead."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Decides weights, crops and a missing split."""
    compare_with: str | None = Field(default=None, max_length=200)
    """Model to compare with at the end, ``name`` or ``name:version``; None: the one that pages offer first."""
    key: str = Field(default="", max_length=100)
    """Where it is given, a request with the same key means the same run: it may be repeated when its answer is lost."""

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("minutes and steps are both given: give one of them")
        return self

    @model_validator(mode="after")
    def _has_what_is_chosen(self) -> Self:
        if self.receptive_field is not None and not self.network.startswith("feature-net"):
            raise ValueError(f"receptive_field is given, but network {self.network!r} has none to choose")
        if self.frames is not None and self.network != "feature-net-3d":
            raise ValueError(f"frames is given, but network {self.network!r} has none to choose")
        return self

    @property
    def budget(self) -> dict[str, float | int]:
        """The budget, with the word for it."""
        return {"steps": self.steps} if self.steps is not None else {"minutes": self.minutes or USUAL_MINUTES}


class TrainingPoint(_Answer):
    """A point of the curves: what was seen at one look at the validation images."""

    step: NonNegativeInt
    seconds: float
    """Of training, looks not counted."""
    loss: float | None
    """Mean since the point before; None: it is no number any more."""
    scores: dict[str, float | None]
    """Of the validation images, with parameters that stay the same throughout: ``f1`` and ``ap`` at IoU 0.5,
    ``mean_ap`` over 0.5…0.9; of cells with nuclei also ``nuclei_f1`` and so on."""


class TrainingData(_Answer):
    """What the data set holds."""

    train_images: NonNegativeInt
    validation_images: NonNegativeInt
    objects: NonNegativeInt
    """In the images to train on."""


class TrainingRun(_Answer):
    """A run as its owner sees it."""

    id: TrainingId
    owner: UserName
    request: TrainingRequest
    state: TrainingState
    phase: Phase | None
    """What is being done, while it runs."""
    created_ms: NonNegativeInt
    started_ms: NonNegativeInt | None
    finished_ms: NonNegativeInt | None
    share: float
    """How much of the budget is used, 0…1."""
    seconds_left: float | None
    """Of training, at the speed so far; None: it is not known."""
    points: NonNegativeInt
    """How many the log has."""
    latest: TrainingPoint | None
    data: TrainingData | None
    attempts: NonNegativeInt
    """How often a trainer has taken it: more than once, if one was stopped or died."""
    scores: dict[str, dict[str, float]]
    """Of the finished package by the pipeline that users run: ``validation`` → ``f1``, ``ap``, ``mean_ap``; one each
    for cells and nuclei. Empty before."""
    problem: Told | None
    """Why it failed."""
    published: tuple[str, ...]
    """``name:version`` of each model that was made of it."""


class TrainingList(_Answer):
    """A page of runs, newest first."""

    runs: tuple[TrainingRun, ...]
    after: TrainingId | None
    """Where the next page begins; None: this was the last."""
    refusal: Told | None
    """Why no run can be taken now; None: one can."""


class TrainingLog(_Answer):
    """The points of a run, in order."""

    points: tuple[TrainingPoint, ...]


class Scores(_Answer):
    """How well labels agree with the truth; None: there is nothing to score."""

    f1: float | None
    """At IoU 0.5; so is the next."""
    ap: float | None
    mean_ap: float | None
    """Over IoU 0.5…0.9."""


class ComparedImage(_Answer):
    """One validation image."""

    image: str
    objects: NonNegativeInt
    """In the truth."""
    new: Scores
    present: Scores


class ComparedObjects(_Answer):
    """Both models on the validation images, for one kind of objects."""

    compartment: Literal["nuclear", "whole-cell"]
    new: Scores
    """Over all images together."""
    present: Scores
    images: tuple[ComparedImage, ...]


class Comparison(_Answer):
    """The model of a run and a published one, on the run's validation images, by the same pipeline."""

    state: Literal["queued", "done", "failed"]
    """`queued`: a trainer will make it; ask again."""
    present: PinnedModel
    """The published model."""
    results: tuple[ComparedObjects, ...] = ()
    """One for each kind of objects that both find and that is labelled."""
    problem: Told | None = None
    """Why there is none."""


class PublishRequest(_Request):
    """Under what name the model of a run is to serve."""

    name: ModelName | None = None
    """None: as the run calls it."""
    version: ModelVersion = "1.0.0"
