"""Answers of the HTTP API about sample images."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class Sample(BaseModel):
    """A small real image that travels with the service."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Of its file."""
    what: str
    """One line that says what is to be seen."""
    size: NonNegativeInt
    """Bytes."""
    thumbnail: str
    """JPEG as a data address."""


class SampleList(BaseModel):
    """All samples, by name."""

    model_config = ConfigDict(frozen=True)

    samples: tuple[Sample, ...]
