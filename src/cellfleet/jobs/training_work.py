"""The rounds of a trainer: look for a run, have it carried out, look again. Knows no network: who does it is given."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from cellfleet.errors import OutputError
from cellfleet.jobs.training_claims import Claim, TrainingQueue
from cellfleet.jobs.training_files import RunFiles
from cellfleet.spec.training import WantedComparison

LOOK_SECONDS = 2.0
"""Between two looks while there is nothing to do."""
_MAY_PASS = frozenset({"E301", "E323"})
"""The store does not answer, or is full."""

_log = logging.getLogger(__name__)


class Trains(Protocol):
    """What does the work."""

    def carry_out(self, claim: Claim, stop: threading.Event) -> bool:
        """Carry out a run; return whether it has ended. Else it was stopped, or others have it.

        Raises:
            OutputError: The store does not answer; the run is still ours.
        """
        ...

    def compare(self, files: RunFiles, wanted: WantedComparison) -> None:
        """Answer a comparison. Raises `OutputError`."""
        ...


@dataclass
class Rounds:
    """What a trainer did."""

    ended: int = 0
    """Runs."""


def work_off(
    queue: TrainingQueue,
    trains: Callable[[], Trains],
    *,
    stop: threading.Event,
    idle_seconds: float | None = None,
    look_seconds: float = LOOK_SECONDS,
) -> Rounds:
    """Carry out runs and comparisons until `stop` is set, or none came for `idle_seconds`.

    Args:
        queue: Where they are.
        trains: Makes what does the work, when there is some for the first time: to load it takes seconds and memory.
        stop: What is under way is left at the next step, for others.
        idle_seconds: None: wait for ever.
        look_seconds: Between two looks while there is nothing to do.

    Raises:
        OutputError: The store refuses.
    """
    rounds, idle_since, work = Rounds(), time.monotonic(), cache(trains)
    while not stop.is_set():
        try:
            queue.show()
            asked = queue.wanted()
            claim = None if asked else queue.claim()
            if asked:
                with queue.showing():
                    work().compare(*asked)
            elif claim:
                rounds.ended += work().carry_out(claim, stop)
            else:
                stop.wait(look_seconds)
        except OutputError as error:
            if error.code not in _MAY_PASS:
                raise
            _log.warning("the store cannot be used now: %s", error)
            stop.wait(look_seconds)
            continue
        if claim or asked:
            idle_since = time.monotonic()
        elif idle_seconds is not None and time.monotonic() - idle_since >= idle_seconds:
            break
    queue.leave()
    return rounds
