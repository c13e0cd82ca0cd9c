"""When a training run looks at itself, and when it stops: what changes no weight. Knows no network.

A look is a validation, a checkpoint and a line of the log. Where somebody watches, looks come by the clock: close
together at first, so that a run of a minute has a curve, later further apart, and never so close that looking takes
more than a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_GROWTH = 0.2
"""Of the time between two looks, as a share of the seconds of training so far."""
_LONGEST_SECONDS = 120.0
"""Between two looks: what is lost at most when the process dies, unless a validation takes very long."""
_LOOK_COST = 4.0
"""Seconds of training to one of validation."""


class StoppedError(Exception):
    """The run was asked to stop, and has written a checkpoint to go on from."""

    def __init__(self, step: int) -> None:
        """Say after which step."""
        super().__init__(step)
        self.step = step


@dataclass(frozen=True)
class Pace:
    """How a run goes about it."""

    first_look_seconds: float | None = None
    """Training before the first look; None: a look after every epoch of the spec."""
    stop: Callable[[], bool] = lambda: False
    """Asked after every step."""


EVERY_EPOCH = Pace()


class Looks:
    """The looks of one run."""

    def __init__(self, pace: Pace, steps_per_epoch: int, seconds: float) -> None:
        """Begin at `seconds` of training: 0, or those of the checkpoint that the run goes on from."""
        self._first, self._steps_per_epoch = pace.first_look_seconds, steps_per_epoch
        self.looked(seconds, 0.0)

    def are_due(self, step: int, seconds: float) -> bool:
        """Say whether to look after this step, `seconds` of training into the run."""
        return step % self._steps_per_epoch == 0 if self._first is None else seconds >= self._next

    def looked(self, seconds: float, cost_seconds: float) -> None:
        """Note a look at `seconds` of training, whose validation took `cost_seconds`."""
        gap = min(max(self._first or 0.0, _GROWTH * seconds), _LONGEST_SECONDS)
        self._next = seconds + max(gap, _LOOK_COST * cost_seconds)
