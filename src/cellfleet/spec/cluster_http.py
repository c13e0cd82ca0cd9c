"""Bodies of the HTTP API about the cluster that a service runs on. See `spec.http` for the rules that hold for all.

Money is USD.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from cellfleet.spec.cluster import ClusterSpec
from cellfleet.spec.machines import GpuType


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewCluster(BaseModel):
    """A description, field by field as in ``cluster.yaml``; what is left out has its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, Any] = Field(max_length=100)


class Granted(BaseModel):
    """How many GPUs the provider grants at a time."""

    model_config = ConfigDict(frozen=True)

    spot: NonNegativeInt | None = None
    """None: not known."""
    on_demand: NonNegativeInt | None = None


class GrantedFile(BaseModel):
    """What `cellfleet cluster up` has read of the provider's quotas, as it is kept in the store."""

    model_config = ConfigDict(frozen=True)

    region: str
    gpus: dict[GpuType, Granted]


class GpuOffer(_Answer):
    """A GPU that could be chosen."""

    type: GpuType
    machine: str | None
    usd_per_hour_spot: NonNegativeFloat | None
    usd_per_hour_on_demand: NonNegativeFloat | None
    granted: Granted


class ClusterNow(_Answer):
    """What goes on now."""

    workers: NonNegativeInt
    """That have something in work."""
    queued: NonNegativeInt
    in_flight: NonNegativeInt
    """Tasks."""
    usd_per_hour: NonNegativeFloat | None
    """About, from the number of workers at work; None: there is no description to reckon with."""


class ClusterMoney(_Answer):
    """What a description leads to."""

    idle_usd_per_hour: NonNegativeFloat
    full_usd_per_hour: NonNegativeFloat
    unknown: tuple[str, ...]
    """What costs something and has no price in the table."""
    priced: str
    """Day of the oldest price; "" without any."""


class ClusterState(_Answer):
    """The description that the service keeps, and what goes on."""

    version: str
    """For If-Match when it is changed."""
    cluster: ClusterSpec | None
    """None: none is kept, or `problem` says what is wrong with it."""
    problem: str
    text: str
    """Of the file."""
    address: str
    """Where the file is, for ``cellfleet cluster up --file``."""
    now: ClusterNow
    money: ClusterMoney | None
    offers: tuple[GpuOffer, ...]


class ClusterReview(_Answer):
    """What a changed description would do."""

    text: str
    diff: str
    """Unified, without comments; "": nothing changes."""
    sentences: tuple[str, ...]
    """What follows."""
    refused: str
    """Why it cannot be saved; "": it can."""
    money: ClusterMoney
    offers: tuple[GpuOffer, ...]
