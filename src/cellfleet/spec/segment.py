"""What a user asks of `segment`: everything that decides the labels, and nothing else.

Options that change only how a run goes (device, threads, formats) stand in `RunOptions`, so that they do not
invalidate finished results.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from cellfleet.errors import UsageError
from cellfleet.spec.choices import CompartmentChoice, Device, Format, Progress


class ChannelChoice(BaseModel):
    """Channels of the image for one role of the model; several are summed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str | None = None
    """Role such as ``nuclear``; None: the model's roles in order."""
    channels: tuple[int | str, ...]
    """Numbers counted from 1, or names as in the file."""

    @classmethod
    def parse(cls, text: str) -> ChannelChoice:
        """Read ``1``, ``DAPI``, ``nuclear=DAPI`` or ``membrane=PanCK+CD45``."""
        role, separator, names = text.rpartition("=")
        parts = tuple(part.strip() for part in names.split("+"))
        if not all(parts) or (separator and not role.strip()):
            raise UsageError(
                "E010",
                f"channel {text!r} is not a number, a name or role=name",
                where="--channel",
                action="Write for example --channel 1, --channel DAPI or --channel nuclear=DAPI",
            )
        return cls(
            role=role.strip() or None,
            channels=tuple(int(p) if re.fullmatch(r"\d+", p) else p for p in parts),
        )


class SegmentSpec(BaseModel):
    """One frozen request. Two runs with equal specs on equal pixels give byte-equal labels."""

    # An endless number would be none in JSON: stored, sent and hashed as if it had not been given.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1
    model: str = "nuclei"
    """Bundled name, or a path to a model package."""
    channels: tuple[ChannelChoice, ...] = ()
    """Which image channel plays which role; empty: the only channel, or the one whose name fits the role."""
    microns_per_pixel: PositiveFloat | None = None
    """Overrides the pixel size of the file, µm per pixel."""
    diameter_px: PositiveFloat | None = None
    """Typical object diameter in the image, px; overrides pixel size and estimate."""
    axes: str | None = None
    """Overrides the axes of the file, one letter per dimension out of T C Z Y X S."""
    compartment: CompartmentChoice | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a model that finds cells and their nuclei: what of it is wanted; None: all that the model finds."""
    top: PositiveInt | None = Field(default=None, le=1000, exclude_if=lambda value: value is None)
    """How many classes are told of each image, the best first, by a model that classifies; None: it finds objects."""

    @field_validator("axes")
    @classmethod
    def _upper(cls, value: str | None) -> str | None:
        return value.upper() if value else None

    def digest(self, model_sha256: str) -> str:
        """Return the hash that names results of this spec with a model of this content, wherever the model stands."""
        return hashlib.sha256((self.model_dump_json(exclude={"model"}) + model_sha256).encode()).hexdigest()


class Shard(BaseModel):
    """One of several equal parts of a run, each done by a machine of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: PositiveInt
    """From 1."""
    count: PositiveInt

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``2/8``. Raises `UsageError` E037."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        number, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                "E037",
                f"{text!r} is no part of a run",
                where="--shard",
                action="Write for example --shard 2/8 for the second of eight, or --shard auto in an array job",
            )
        return cls(number=number, count=count)

    def __str__(self) -> str:
        """Return ``2/8``."""
        return f"{self.number}/{self.count}"


class RunOptions(BaseModel):
    """How a run goes; none of these changes a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Device = "auto"
    threads: PositiveInt | None = None
    """Processor threads; None: all that this process may use."""
    memory_bytes: PositiveInt | None = None
    """Memory for the whole process; None: a fair share of what is free."""
    formats: tuple[Format, ...] = ("labels-tiff", "csv")
    """Files of each image; a model that classifies makes none."""
    overwrite: bool = False
    progress: Progress = "auto"
    shard: Shard | None = None
    """Which part of the work is done here, where several machines share it."""
