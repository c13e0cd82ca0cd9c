"""What a run tells while it goes; the command turns these into a bar, lines or JSON. Knows no screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cellfleet.spec.record import ImageRecord, RunRecord


@dataclass(frozen=True)
class RunStarted:
    """Inputs are found and the model is loaded; nothing has been written yet."""

    total: int
    already_done: int
    changed: tuple[str, ...]
    """Images whose file has changed since their results were written; they are redone."""
    model: str
    """``name version``."""
    device: str
    threads: int
    server: str = ""
    """Who computes, where that is not this machine."""


@dataclass(frozen=True)
class BlockFinished:
    """One more block of an image that is done in several; what is done is kept."""

    image: str
    done: int
    total: int
    """Blocks of the image that are to be done here."""


@dataclass(frozen=True)
class ImageFinished:
    """One more image is done or has failed; its record is on the disk."""

    record: ImageRecord
    done: int
    """Images finished in this run, failed ones included."""
    failed: int
    to_do: int
    """Images that this run set out to do."""
    objects: int | None
    """Found in this run so far; None: the model classifies."""
    seconds: float
    """Since the first image was begun."""


@dataclass(frozen=True)
class RunFinished:
    """The last word, also after a stop."""

    record: RunRecord
    already_done: int


Event = RunStarted | BlockFinished | ImageFinished | RunFinished
Tell = Callable[[Event], None]
"""Called in the thread that called `run`, never in two at once."""
