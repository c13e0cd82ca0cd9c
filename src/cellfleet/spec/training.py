"""What is stored of a training run. Knows no store.

An order is refused when there are fields in it that are not known; in reports they are passed by.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt

from cellfleet.spec.job import PinnedModel, UserName
from cellfleet.spec.record import Told
from cellfleet.spec.training_http import Phase, TrainingData, TrainingId, TrainingPoint, TrainingRequest


def _scored(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Leave out data in which there was nothing to score: JSON has no word for that."""
    return {data: values for data, values in scores.items() if all(map(math.isfinite, values.values()))}


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingOrder(BaseModel):
    """What a user asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    id: TrainingId
    owner: UserName
    created_ms: NonNegativeInt
    request: TrainingRequest


class TrainingClaimed(_Report):
    """Who has taken a run, and from where it goes on."""

    trainer: str
    step: NonNegativeInt
    """Of the checkpoint."""


class TrainingProgress(_Report):
    """How far a run is, as its trainer wrote last."""

    phase: Phase
    started_ms: NonNegativeInt
    """When it was taken for the first time."""
    step: NonNegativeInt = 0
    seconds: float = 0.0
    """Of training."""
    share: float = 0.0
    """Of the budget."""
    points: NonNegativeInt = 0
    latest: TrainingPoint | None = None
    data: TrainingData | None = None


class TrainingEnd(_Report):
    """How a run ended."""

    state: Literal["done", "failed"]
    at_ms: NonNegativeInt
    scores: Annotated[dict[str, dict[str, float]], AfterValidator(_scored)] = {}
    validation: str = ""
    """Hash of the validation images' names and labels: tells whether the data set is still the same."""
    problem: Told | None = None


class WantedComparison(_Report):
    """A published model that somebody wants to see beside that of a run."""

    present: PinnedModel
    attempts: NonNegativeInt = 0
