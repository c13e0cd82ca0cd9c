"""What a plan is asked for and what it says: images counted, speeds measured, time and cost by size of the cluster.

Sizes are bytes, money is USD, a megapixel is 10⁶ pixels; channels are not counted. Knows no formula and no price.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from cellfleet.spec.record import Told
from cellfleet.spec.segment import SegmentSpec

Place = Literal["here", "server", "cloud", "slurm"]
"""Where the work is done: this machine, a service whose workers run, machines that a cloud starts, a SLURM cluster."""
Bottleneck = Literal["upload", "start-up", "gpu", "cpu"]

MOST_WORKERS = 10_000


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


# --- what is there to do ---------------------------------------------------------------------------------------------


class Counted(_Message):
    """Images, counted from lists and headers."""

    images: PositiveInt
    pixels: NonNegativeInt
    """Of all planes and images; reckoned up from those that were looked at."""
    bytes: NonNegativeInt
    """Of the files."""
    looked_at: NonNegativeInt
    """Images whose header was read; fewer than `images`: a sample."""
    unreadable: NonNegativeInt = 0
    """Of those that were looked at."""


# --- how fast it goes ------------------------------------------------------------------------------------------------


class _Report(BaseModel):
    """Says what was done. What a newer cellfleet says besides is passed by: docs/decisions/0026-upgrades.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hardware(_Report):
    """What computes."""

    cpu: str = Field(max_length=200)
    """Name of the processor."""
    threads: PositiveInt
    gpu: str = Field(default="", max_length=200)
    """Name of the GPU; "" where the processor does all."""
    machine: str = Field(default="", max_length=100)
    """Type of the machine, as price tables name it; "" where nobody named it."""


class Speed(_Report):
    """What one model took on machines of one kind so far. Sums, so that those of several workers add up."""

    model: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Hash of its content."""
    hardware: Hardware
    images: NonNegativeInt = 0
    megapixels: NonNegativeFloat = 0.0
    seconds: NonNegativeFloat = 0.0
    """Of the machine, while it was busy with this model."""
    stage_seconds: dict[str, NonNegativeFloat] = {}
    """Stage (read, predict, postprocess, …) → seconds of threads."""
    squared_megapixels: NonNegativeFloat = 0.0
    """Sum over the images of megapixels²: with the next sum it tells what an image takes whatever its size."""
    weighted_seconds: NonNegativeFloat = 0.0
    """Sum over the images of megapixels × seconds of threads."""
    loads: NonNegativeInt = 0
    load_seconds: NonNegativeFloat = 0.0
    warm_up_seconds: NonNegativeFloat = 0.0


class Speeds(_Answer):
    """All that workers have measured."""

    speeds: tuple[Speed, ...]


# --- the plan --------------------------------------------------------------------------------------------------------


class PlanRequest(_Message):
    """What a plan is wanted for: inputs that the service counts, or what the client has counted itself."""

    inputs: tuple[str, ...] = Field(default=(), max_length=1000)
    """As those of a job."""
    counted: Counted | None = None
    segment: SegmentSpec = SegmentSpec()
    machine: str = Field(default="", max_length=100)
    """Type of the workers' machines, such as ``n1-standard-8+nvidia-tesla-t4:1``; "": as the service's workers."""
    region: str = Field(default="", max_length=60)
    spot: bool = False
    max_workers: int = Field(default=8, ge=1, le=MOST_WORKERS)
    upload_bytes: NonNegativeInt = 0
    """That have still to be sent."""
    upload_mbps: PositiveFloat | None = Field(default=None, allow_inf_nan=False)
    """Megabits a second; None: not known."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.inputs) == (self.counted is not None):
            raise ValueError("give either inputs or counted")
        return self


class Phase(_Answer):
    """One step before the first task."""

    name: Literal["allocate", "pull", "load", "warm up"]
    seconds: NonNegativeFloat
    source: str
    """Where the number is from."""


class Span(_Answer):
    """A number that is not known exactly."""

    low: NonNegativeFloat
    likely: NonNegativeFloat
    high: NonNegativeFloat


class Size(_Answer):
    """What a cluster of one size takes."""

    workers: PositiveInt
    seconds: Span
    """From the start to the last result."""
    machine_seconds: Span
    """Of all workers together, that are paid."""
    on_demand_usd: Span | None
    """None: no price is known."""
    spot_usd: Span | None


class Plan(_Answer):
    """Time and cost over sizes of the cluster, and what they follow from."""

    counted: Counted
    model: str
    """``name:version``."""
    machine: str
    region: str
    workers_on: str
    """What a worker computes on, in words."""
    seconds_per_megapixel: Span
    """Of one worker, beside what every image takes."""
    seconds_per_image: NonNegativeFloat = 0.0
    """Of one worker, whatever the size of the image."""
    speed_source: str
    stage_seconds: dict[str, float]
    """Stage → seconds of threads per megapixel, where it was measured."""
    upload_bytes: NonNegativeInt
    upload_mbps: float | None
    upload_seconds: NonNegativeFloat
    start_up: tuple[Phase, ...]
    sizes: tuple[Size, ...]
    """By number of workers."""
    images_per_second: float
    """That one worker does: the s of d = N · s."""
    arrivals_per_second: float | None
    """Images that the upload brings: the d; None where nothing is uploaded."""
    workers_to_keep_up: int | None
    """The N: more workers wait for the upload."""
    cheapest: int | None
    """Workers; None: no price is known."""
    fastest: int
    """Workers: the fewest that are not slower than any other."""
    bottleneck: Bottleneck
    """What bounds the fastest."""
    prices: str
    """Name of the price table; "" where no price was asked for."""
    priced: str
    """Date of the oldest price in it."""
    notices: tuple[Told, ...]
