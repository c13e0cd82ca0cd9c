"""What crosses a process boundary of the service: a job, its tasks, what became of them, and the words for states.

Every model is frozen, and versioned where it is stored. What is to be done is refused when there are fields in it that
are not known; in reports of what was done they are passed by. Knows no queue, store or server.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from cellfleet.spec.choices import Format
from cellfleet.spec.segment import SegmentSpec, Shard

JobState = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
"""`done`: every task is done. `failed`: nothing is left to do, and some tasks are dead; the others' results stand."""
TaskState = Literal["queued", "leased", "done", "dead"]
Priority = Literal["interactive", "normal", "batch"]
"""Most urgent first: no task is started while a more urgent one waits."""

NEXT_JOB_STATES: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        "queued": frozenset({"running", "paused", "done", "failed", "cancelled"}),
        "running": frozenset({"paused", "done", "failed", "cancelled"}),
        "paused": frozenset({"queued", "done", "failed", "cancelled"}),
        "done": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset(),
    }
)
"""Job state → states that may follow. The ledger's scripts obey this very table."""
NEXT_TASK_STATES: Mapping[TaskState, frozenset[TaskState]] = MappingProxyType(
    {
        "queued": frozenset({"leased", "done"}),  # done at once: its result stands already when the ledger is rebuilt
        "leased": frozenset({"queued", "done", "dead"}),
        "done": frozenset(),
        "dead": frozenset({"queued"}),
    }
)
"""Task state → states that may follow. The ledger's scripts obey this very table, too."""
FINAL_JOB_STATES: tuple[JobState, ...] = ("done", "failed", "cancelled")
"""Nothing of the job is running or will be, unless somebody asks."""

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-z][0-9a-z-]{0,62}$")]
"""Part of keys and file names."""
UserName = Annotated[str, StringConstraints(pattern=r"^[0-9a-z][0-9a-z._@-]{0,62}$")]
"""Part of keys and file names."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Report(BaseModel):
    """Says what was done. What a newer cellfleet says besides is passed by: docs/decisions/0026-upgrades.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PinnedModel(_Message):
    """A model by name, and the one content that this name meant when the job was submitted."""

    name: str
    version: str
    sha256: str


class JobSpec(_Message):
    """What a user submitted. Which images, in which tasks, stands in the job's manifest."""

    format_version: Literal[1] = 1
    id: JobId
    name: str = ""
    """As the user calls it."""
    owner: UserName = "local"
    priority: Priority = "normal"
    inputs: tuple[str, ...] = ()
    """Sets of uploads (``set:ID``, ``set:ID/plate/a.tif``), addresses, paths of the server's machine."""
    model: PinnedModel
    segment: SegmentSpec
    formats: tuple[Format, ...] = ("labels-tiff", "csv")
    """None: the model classifies."""
    results: str
    """Where results go: an address, or a folder of the store, relative to it."""
    max_attempts: PositiveInt = 5
    """A task that was begun so often without an end is dead."""


class ImageRef(_Message):
    """One image of a task: the fields of an `images.source.Source`."""

    path: str
    """An address, a path, or ``store:`` and a name in the store, which every worker reaches in its own way."""
    name: str
    inside: str = ""
    stem: str
    """Of its result files; the extension is kept where two images of the job would share one."""


class Task(_Message):
    """A share of the blocks of one image, or a bundle of small images: what is leased and tried again as a whole."""

    format_version: Literal[1] = 1
    job: JobId
    number: NonNegativeInt
    """Place in the job's manifest, from 0 without gaps."""
    first_image: NonNegativeInt
    """Place of its first image among all images of the job, from 0."""
    images: tuple[ImageRef, ...] = Field(min_length=1)
    share: Shard | None = None
    """Which share of the blocks of the image; None: all of every image."""

    @model_validator(mode="after")
    def _one_image_is_shared(self) -> Self:
        if self.share is not None and len(self.images) > 1:
            raise ValueError("the blocks of one image are shared, not those of several")
        return self

    @property
    def new_images(self) -> int:
        """Images that no task before this one has: a shared image counts with its first share."""
        return len(self.images) if self.share is None or self.share.number == 1 else 0


class Tally(_Report):
    """What tasks did, summed over a job."""

    images: NonNegativeInt = 0
    """Images that got a result."""
    failed_images: NonNegativeInt = 0
    """Images that got a record of why there is none."""
    pixels: NonNegativeInt = 0
    objects: NonNegativeInt = 0


class Done(_Report):
    """The task's results stand."""

    kind: Literal["done"] = "done"
    tally: Tally = Tally()


class Failed(_Report):
    """The attempt ended without all results."""

    kind: Literal["failed"] = "failed"
    code: str = ""
    """Of docs/reference/errors.md."""
    reason: str
    final: bool = False
    """Whether another attempt would do no better: an image of it cannot be read, say. The task is dead at once."""
    tally: Tally = Tally()
    """What stands all the same. It counts when the task is dead, and no more when it is tried again."""


Outcome = Done | Failed


class DeadTask(_Report):
    """A task that was given up, and why."""

    task: Task
    attempts: PositiveInt
    worker: str
    """Who tried last."""
    code: str
    reason: str
    tally: Tally = Tally()
    """What stands of it."""
    at_ms: NonNegativeInt
    """Milliseconds since 1970, by the ledger's clock."""


class Progress(_Report):
    """How far a job is; costs the same for ten tasks and for a million."""

    state: JobState
    total: NonNegativeInt | None
    """Tasks; None while the job is still being told to the ledger."""
    told: NonNegativeInt
    """Tasks that the ledger knows: queued + leased + done + dead + dropped."""
    queued: NonNegativeInt
    leased: NonNegativeInt
    done: NonNegativeInt
    dead: NonNegativeInt
    dropped: NonNegativeInt
    """Tasks of a cancelled job that were not run."""
    images: NonNegativeInt
    """Images of the tasks that the ledger knows."""
    tally: Tally
    submitted_ms: NonNegativeInt
    """Milliseconds since 1970, by the ledger's clock; so are the next two."""
    started_ms: NonNegativeInt | None
    finished_ms: NonNegativeInt | None
