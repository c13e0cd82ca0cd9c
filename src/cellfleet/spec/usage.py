"""What the tasks of a job took of the machines that ran them, and the bill that follows from it. Knows no price.

Seconds are of a whole machine: while several tasks run beside each other on one, each takes its share, so the sums are
the time that machines were busy. What machines idle, or take to start, is no job's.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, StringConstraints

from cellfleet.spec.job import JobId, UserName

Month = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
"""Year and month, UTC."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Report(BaseModel):
    """Says what was done. What a newer cellfleet says besides is passed by: docs/decisions/0026-upgrades.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Machine(_Report):
    """What a worker runs on, as price tables name it."""

    name: str = Field(default="", max_length=100)
    """Machine type, with its accelerators: ``n1-standard-8+nvidia-tesla-t4:1``; "" for one that nobody named."""
    region: str = Field(default="", max_length=60)
    spot: bool = False
    gpus: NonNegativeInt = 0
    """That the work uses."""


class Usage(_Report):
    """What one job took of machines of one kind."""

    machine: Machine = Machine()
    seconds: NonNegativeFloat = 0
    """Of machines."""
    stage_seconds: dict[str, NonNegativeFloat] = {}
    """Stage (read, predict, postprocess, …) → seconds of threads: the shares of the stages."""
    reads: NonNegativeInt = 0
    """Requests to buckets and web servers that read or list."""
    writes: NonNegativeInt = 0
    read_bytes: NonNegativeInt = 0
    written_bytes: NonNegativeInt = 0


class BillLine(_Message):
    """Machines of one kind."""

    machine: Machine
    seconds: NonNegativeFloat
    gpu_seconds: NonNegativeFloat
    usd_per_hour: NonNegativeFloat | None
    """None: the price table has no such machine."""
    usd: NonNegativeFloat | None
    stage_seconds: dict[str, NonNegativeFloat] = {}
    """Stage → seconds of threads."""

    @property
    def stages_usd(self) -> dict[str, float]:
        """What the machines cost, divided by what threads did on them; nothing where the price is not known."""
        total = sum(self.stage_seconds.values())
        if self.usd is None or not total:
            return {}
        return {stage: self.usd * seconds / total for stage, seconds in self.stage_seconds.items()}


class Bill(_Message):
    """What a job has cost so far; `final` when it has ended."""

    format_version: int = 1
    job: JobId
    name: str = ""
    owner: UserName
    final: bool
    complete: bool = False
    """Every image is done: nothing can be tried again, so this bill changes no more."""
    submitted_ms: NonNegativeInt
    """Milliseconds since 1970: the month that it belongs to."""
    lines: tuple[BillLine, ...] = ()
    stages_usd: dict[str, NonNegativeFloat] = {}
    """The machines' cost, divided by the stages' shares of the time of threads."""
    reads: NonNegativeInt = 0
    writes: NonNegativeInt = 0
    read_bytes: NonNegativeInt = 0
    written_bytes: NonNegativeInt = 0
    requests_usd: NonNegativeFloat | None = None
    usd: NonNegativeFloat | None = None
    """All together; None where the price of a machine is not known."""
    prices: str = ""
    """The price table and its date."""
    images: NonNegativeInt = 0
    pixels: NonNegativeInt = 0


class BillList(_Message):
    """A page of bills."""

    bills: tuple[Bill, ...]
    after: JobId | None = None
    """Where the next page begins; None: this was the last."""


class UserCosts(_Message):
    """What the jobs of a user cost."""

    owner: UserName
    jobs: NonNegativeInt
    images: NonNegativeInt
    pixels: NonNegativeInt
    seconds: NonNegativeFloat
    gpu_seconds: NonNegativeFloat
    usd: NonNegativeFloat
    """Of what has a price."""


class Costs(_Message):
    """What the jobs of a month cost: those that were submitted in it, whenever they ran."""

    month: Month
    budget_usd: NonNegativeFloat | None
    usd: NonNegativeFloat
    """Of what has a price."""
    unpriced_seconds: NonNegativeFloat
    """Machine seconds for which the price table has no price."""
    days_usd: tuple[NonNegativeFloat, ...] = ()
    """For each day of the month on which jobs were submitted, the 1st first."""
    users: tuple[UserCosts, ...] = ()
    paused: bool = False
    """Whether the budget is reached, so that jobs wait."""
