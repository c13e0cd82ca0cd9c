"""Bodies of the HTTP API for who takes results home: links, and what a download weighs.

Their rules are those of `cellfleet.spec.http`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from cellfleet.spec.choices import Format

LONGEST_NAMED = 200
"""Letters."""


class NewLink(BaseModel):
    """A link that works without login until it expires."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal["zip", "files"] = "zip"
    formats: tuple[Format, ...] = ()
    """Of a zip; empty: all."""
    named: str = Field(default="", max_length=LONGEST_NAMED)
    """Of a zip: only images with this in their name, in upper or lower case; empty: all."""
    seconds: int = Field(default=3600, ge=60, le=30 * 86400)


class Link(BaseModel):
    """A signed address."""

    model_config = ConfigDict(frozen=True)

    url: str
    expires_ms: NonNegativeInt


class FormatSize(BaseModel):
    """What the files of one format weigh."""

    model_config = ConfigDict(frozen=True)

    format: Format
    bytes: NonNegativeInt


class Sizes(BaseModel):
    """What the results of a job, or of some of its images, weigh."""

    model_config = ConfigDict(frozen=True)

    images: NonNegativeInt
    """Of all images: those that are done. Of some: those with such a name, done or not."""
    looked_at: NonNegativeInt
    """Where these are fewer, the sizes are estimated from them."""
    formats: tuple[FormatSize, ...]
