"""A fleet: workers that a batch system starts, that share a bucket, and that end when there is no more work.

The content of a ``[fleets.NAME]`` table of the settings, with what the command line adds. Knows no batch system.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints
from pydantic import model_validator as validated

BatchSystem = Literal["gcp-batch", "aws-batch", "slurm"]

_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+=,-]*$", max_length=300)]
"""Never begins with a dash and holds no blank: it becomes a word of a command or of a request."""


class FleetSpec(BaseModel):
    """Which machines, how many, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: BatchSystem
    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")] = "cellfleet"
    """Fleets of different names share no workers."""
    machine: _Word | None = Field(
        default=None,
        description="Machine with its accelerators, n1-standard-8+nvidia-tesla-t4:1. gcp-batch and aws-batch need it; "
        "for slurm it is what the bill says.",
    )
    spot: bool = Field(default=False, description="Machines that may be taken away, for less money.")
    min_workers: NonNegativeInt = Field(
        default=0, le=1000, description="Workers to start before the images are listed, so that they are warm by then."
    )
    max_workers: PositiveInt = Field(default=4, le=1000, description="Most workers at a time.")
    idle_timeout: PositiveFloat = Field(
        default=300, description="Seconds without work after which a worker ends; until then it takes the next job."
    )
    lease_seconds: PositiveFloat = Field(
        default=60, description="Silence after which a worker is taken for dead; the first job of the store decides."
    )
    store: str | None = Field(
        default=None,
        description="Where the fleet keeps its jobs; none: the folder .cellfleet-fleet beside the results.",
    )
    image: _Word | None = Field(
        default=None, description="Container image with cellfleet; none: the published one, with GPUs that for GPUs."
    )
    disk_gb: PositiveInt | None = Field(default=None, description="Boot disk; none: from the size of the images.")
    project: _Word | None = Field(default=None, description="gcp-batch: the project that pays.")
    region: _Word | None = Field(default=None, description="Of the machines and of the bucket.")
    network: _Word | None = Field(default=None, description="gcp-batch: a private network; machines get no address.")
    subnetwork: _Word | None = Field(default=None, description="gcp-batch: its part in the region.")
    service_account: _Word | None = Field(default=None, description="gcp-batch: who opens the bucket.")
    queue: _Word | None = Field(default=None, description="aws-batch: the job queue.")
    job_role: _Word | None = Field(default=None, description="aws-batch: the role that opens the bucket.")
    execution_role: _Word | None = Field(default=None, description="aws-batch: the role that pulls the image.")
    partition: _Word | None = Field(default=None, description="slurm: where jobs of this kind go.")
    account: _Word | None = Field(default=None, description="slurm: who pays.")
    time_limit: _Word | None = Field(default=None, description="slurm: longest life of a worker, 12:00:00.")
    cpus: PositiveInt = Field(default=4, description="slurm: processors of a worker.")
    memory_gb: PositiveInt = Field(default=16, description="slurm: memory of a worker.")
    gpus: NonNegativeInt = Field(default=0, description="slurm: GPUs of a worker.")
    setup: tuple[str, ...] = Field(
        default=(), description="slurm: lines of shell before the worker starts, like 'module load cuda'."
    )
    notify_env: str | None = Field(
        default=None, description="Variable that holds an address to be told when a job has ended."
    )

    @validated(mode="after")
    def _complete(self) -> Self:
        needed = {"gcp-batch": ("machine", "project", "region"), "aws-batch": ("machine", "region", "queue")}
        missing = [name for name in needed.get(self.where, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"{self.where} needs {' and '.join(missing)}")
        if self.min_workers > self.max_workers:
            raise ValueError(f"min_workers is {self.min_workers} and max_workers {self.max_workers}")
        return self
