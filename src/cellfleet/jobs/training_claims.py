"""Who works on a training run: claims by conditional writes, signs of life, what a trainer writes. Knows no network.

Clocks are not compared: a trainer is taken for dead when its beat has not changed for the time of a lease. Its run is
then claimed by another, which goes on from the newest checkpoint. The one that was taken for dead sees the claim of
the other before it writes anything more; what it writes in the very moment in between is of the same run, and harmless.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cellfleet.errors import CellfleetError
from cellfleet.jobs.beats import Beats, remove_old_beats
from cellfleet.jobs.claims import LEASE_SECONDS
from cellfleet.jobs.ends import agreed_lease
from cellfleet.jobs.training_files import (
    BEATS,
    Claims,
    RunFiles,
    as_json,
    open_runs,
    read_wanted,
    wanted_comparisons,
    wanted_name,
)
from cellfleet.spec.record import Told
from cellfleet.spec.training import TrainingClaimed, TrainingEnd, TrainingOrder, TrainingProgress, WantedComparison
from cellfleet.spec.training_http import Comparison, TrainingPoint
from cellfleet.stores.place import Place

MOST_ATTEMPTS = 4
"""Of trainers that vanish without a step forward: then the run has failed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A run that this trainer has."""

    order: TrainingOrder
    files: RunFiles
    n: int
    step: int
    """Of the checkpoint to go on from; 0: there is none."""


class TrainingQueue:
    """The runs of a store, as one trainer sees them. Every method fails as `Place`."""

    def __init__(
        self,
        store: Place,
        trainer: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the store, and agree with its other trainers and workers on the lease.

        Raises:
            OutputError: E725, the store knows no conditional writes; others, it does not answer.
        """
        self.store, self.trainer = store, trainer
        self.lease_seconds = agreed_lease(store, lease_seconds)
        self._beats = Beats(store, self.lease_seconds, clock, folder=BEATS)

    def show(self) -> None:
        """Show life."""
        self._beats.show(self.trainer)

    def showing(self) -> AbstractContextManager[None]:
        """Show life while the block runs."""
        return self._beats.showing(self.trainer)

    def leave(self) -> None:
        """Remove the signs of life: this trainer ends. Those of trainers that died long ago go, too."""
        self._beats.end(self.trainer)
        remove_old_beats(self.store, BEATS)

    def claim(self) -> Claim | None:
        """Take the oldest run that nobody is at; None: there is none."""
        for run in open_runs(self.store):
            with _passing_over(run):
                if claim := self._claimed(RunFiles(self.store, run)):
                    return claim
        return None

    def standing(self, claim: Claim) -> Literal["held", "stopped", "lost"]:
        """Say whether a run is still ours to go on with: the user may have stopped it, or another trainer have it."""
        if not self.store.exists(claim.files.name("claims", f"{claim.n}")) or self._taken_over(claim):
            return "lost"
        return "stopped" if self.store.exists(claim.files.name("hold")) else "held"

    def give_back(self, claim: Claim) -> None:
        """Leave a run to others."""
        self.store.create(claim.files.name("claims", f"{claim.n}.back"), b"")

    def keep(self, claim: Claim, checkpoint: Path, step: int) -> None:
        """Keep a checkpoint to go on from, in place of those before."""
        name = claim.files.checkpoint(step)
        with self.store.replacing(name, needed_bytes=checkpoint.stat().st_size) as path:
            shutil.copyfile(checkpoint, path)
        for older in list(self.store.names(claim.files.name("checkpoints"))):
            if int(PurePosixPath(older).name) < step:
                self.store.remove(older)

    def tell(self, claim: Claim, progress: TrainingProgress, points: list[TrainingPoint]) -> None:
        """Write how far a run is."""
        if points:
            self.store.write(claim.files.name("log.jsonl"), b"".join(as_json(point) + b"\n" for point in points))
        claim.files.write("progress.json", progress)

    def end(self, claim: Claim, end: TrainingEnd) -> None:
        """Write how a run ended."""
        claim.files.write("end.json", end)
        if end.state == "done":
            self.store.remove(claim.files.name("checkpoints"))
        claim.files.close()

    # --- comparisons -------------------------------------------------------------------------------------------------

    def wanted(self) -> tuple[RunFiles, WantedComparison] | None:
        """Return a comparison that somebody waits for; one at which trainers died again and again is answered so."""
        for name in wanted_comparisons(self.store):
            files = RunFiles(self.store, PurePosixPath(name).parts[-2])
            with _passing_over(files.id):
                wanted = read_wanted(self.store, name)
                if wanted is None or files.order() is None:
                    self.store.remove(name)
                elif wanted.attempts >= MOST_ATTEMPTS:
                    self.answer(files, Comparison(state="failed", present=wanted.present, problem=_vanished()))
                else:
                    self.store.write(name, as_json(wanted.model_copy(update={"attempts": wanted.attempts + 1})))
                    return files, wanted
        return None

    def answer(self, files: RunFiles, comparison: Comparison) -> None:
        """Write a comparison; nobody waits for it any more."""
        files.write(f"comparisons/{comparison.present.sha256}.json", comparison)
        self.store.remove(wanted_name(files.id, comparison.present.sha256))

    # --- below -------------------------------------------------------------------------------------------------------

    def _claimed(self, files: RunFiles) -> Claim | None:
        order = files.order()
        if order is None or files.end() is not None:
            files.close()
            return None
        if self.store.exists(files.name("hold")):
            return None  # whoever asked for that closes it; the marker may be of one who resumes it this very moment
        claims = files.claims()
        if not self._is_free(files, claims):
            return None
        step = files.checkpoint_step()
        if self._is_hopeless(files, claims, step):
            end = TrainingEnd(state="failed", at_ms=time.time_ns() // 1_000_000, problem=_vanished())
            self.end(Claim(order, files, claims.latest, step), end)
            return None
        n = claims.latest + 1
        claimed = TrainingClaimed(trainer=self.trainer, step=step)
        if not self.store.create(files.name("claims", f"{n}"), as_json(claimed)):
            return None
        return Claim(order, files, n, step)

    def _is_free(self, files: RunFiles, claims: Claims) -> bool:
        if not claims.held:
            return True
        holder = files.claimed(claims.latest)
        # Our own: we claimed it and did not hear the answer.
        return holder is not None and (holder.trainer == self.trainer or self._beats.is_silent(holder.trainer))

    def _is_hopeless(self, files: RunFiles, claims: Claims, step: int) -> bool:
        """Say whether the last trainers all vanished where the run still is."""
        last = range(claims.latest, max(0, claims.latest - MOST_ATTEMPTS), -1)
        if len(last) < MOST_ATTEMPTS or claims.back.intersection(last):
            return False
        return all((found := files.claimed(n)) is not None and found.step == step for n in last)

    def _taken_over(self, claim: Claim) -> bool:
        return self.store.exists(claim.files.name("claims", f"{claim.n + 1}"))


@contextlib.contextmanager
def _passing_over(run: str) -> Iterator[None]:
    """Leave a run alone whose files cannot be understood: the others are not to wait for it."""
    try:
        yield
    except CellfleetError as error:
        if error.code not in {"E634", "E821"}:
            raise
        _log.error("training run %s is passed over: %s", run, error)


def _vanished() -> Told:
    return Told(
        code="E632",
        what=f"the trainer ended, hung or was cut off {MOST_ATTEMPTS} times without getting any further",
        action="Often there is too little memory for the data set: the log of the trainer tells. Then resume the run",
    )
