"""What a run on a server tells beside the events of a run here (`cellfleet.run.events`). Knows no screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cellfleet.run.events import Event
from cellfleet.spec.http import Job


@dataclass(frozen=True)
class FilesSent:
    """How far the uploads are."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int


@dataclass(frozen=True)
class JobSeen:
    """How far a job is, where its results are not fetched one by one."""

    job: Job


@dataclass(frozen=True)
class Remark:
    """A sentence for people: the job was taken, the connection is lost, or back."""

    text: str


RemoteEvent = Event | FilesSent | JobSeen | Remark
Tell = Callable[[RemoteEvent], None]
"""Called in the thread that waits, never in two at once."""
