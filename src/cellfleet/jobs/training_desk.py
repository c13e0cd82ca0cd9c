"""What can be done with training runs, whoever asks: create, look, stop, resume, compare, remove. Knows no HTTP.

All of it is files (`training_files.py`); trainers find what is to do there (`training_claims.py`).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath

from cellfleet.errors import CellfleetError, JobError, TrainingError
from cellfleet.jobs.beats import who_lives
from cellfleet.jobs.claims import LEASE_SECONDS
from cellfleet.jobs.training_files import (
    BEATS,
    Claims,
    RunFiles,
    all_ids,
    as_json,
    key_name,
    open_runs,
    wanted_name,
)
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.training import TrainingEnd, TrainingOrder, TrainingProgress, WantedComparison
from cellfleet.spec.training_http import ENDED, Comparison, TrainingPoint, TrainingRequest, TrainingRun, TrainingState
from cellfleet.stores.place import Place

_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that are taken for others."""
_ALIVE_SECONDS = 3 * LEASE_SECONDS
"""A trainer that was silent for longer is taken for dead in what people are shown."""
_LATELY_SECONDS = 600.0
"""A trainer that has shown life within this time is expected to come again."""
_AT_ONCE = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingDesk:
    """Every method may be called from any thread, and raises `TrainingError` E630 for a run that is not there."""

    store: Place

    def create(self, request: TrainingRequest, owner: str, *, most: int | None = None) -> TrainingRun:
        """Take a run in; it is not lost from here on. A request with a key that was used is the run that it made.

        Args:
            request: What is to be trained.
            owner: Whose it is.
            most: How many runs of the owner may be under way, this one among them; None: any number.

        Raises:
            JobError: E816, there are so many.
        """
        name = key_name(owner, request.key)
        known = (self.store.read(name) or b"").decode() if request.key else ""
        if not known:
            _require_room(most, open_runs(self.store).values(), owner)
            known = _new_id()
            if request.key and not self.store.create(name, known.encode()):
                known = (self.store.read(name) or b"").decode()
        files = RunFiles(self.store, known)
        if files.order() is None:
            order = TrainingOrder(id=known, owner=owner, created_ms=_now_ms(), request=request)
            files.write("request.json", order)
            files.open(owner)
        return self.run(known)

    def order(self, run: str) -> TrainingOrder:
        """Return what was asked for."""
        order = RunFiles(self.store, run).order()
        if order is None:
            raise no_such_run(run)
        return order

    def run(self, run: str) -> TrainingRun:
        """Return a run as it is."""
        found = self._view(self.order(run), self._alive())
        if found.state == "queued" and not self.store.exists(RunFiles(self.store, run).marker):
            # Whoever resumed it died, or met a trainer that was just closing it.
            RunFiles(self.store, run).open(found.owner)
        return found

    def page(self, owner: str | None, *, after: str | None = None, limit: int) -> tuple[list[TrainingRun], str | None]:
        """Return runs, newest first, and the run after which the next page begins; None: this was the last.

        Args:
            owner: Whose; None: everybody's.
            after: Only runs that follow this one.
            limit: Of the page.
        """
        alive = self._alive()
        ids = (run for run in all_ids(self.store) if after is None or run < after)
        found: list[TrainingRun] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while len(found) <= limit and (some := list(islice(ids, limit + 1))):
                seen = pool.map(lambda run: self._seen(run, owner, alive), some)
                found += [run for run in seen if run is not None]
        page = found[:limit]
        return page, page[-1].id if len(found) > limit else None

    def every(self) -> Iterator[TrainingRun]:
        """Yield everybody's runs, newest first."""
        alive = self._alive()
        for run in all_ids(self.store):
            found = self._seen(run, None, alive)
            if found is not None:
                yield found

    def points(self, run: str, *, after: int | None = None) -> list[TrainingPoint]:
        """Return the points of the curves; only those behind the step `after`."""
        self.order(run)
        return [point for point in RunFiles(self.store, run).points() if after is None or point.step > after]

    def stop(self, run: str) -> TrainingRun:
        """Have a run stop; it can be resumed. Raises `TrainingError` E633 when it has ended."""
        found, files = self.run(run), RunFiles(self.store, run)
        if found.state in {"done", "failed"}:
            raise _not_while(found, "be stopped")
        self.store.write(files.name("hold"), b"stopped")
        files.close()
        return self.run(run)

    def resume(self, run: str) -> TrainingRun:
        """Go on with a run that was stopped or failed. Raises `TrainingError` E633 in other states."""
        found, files = self.run(run), RunFiles(self.store, run)
        if found.state not in {"stopping", "stopped", "failed"}:
            raise _not_while(found, "be resumed")
        # A run that failed gets as many attempts as a new one.
        for name in ("claims", "end.json") if found.state == "failed" else ():
            self.store.remove(files.name(name))
        self.store.remove(files.name("hold"))
        files.open(found.owner)
        return self.run(run)

    def remove(self, run: str) -> None:
        """Remove a run that has ended, with its model unless that was published. Raises `TrainingError` E633."""
        found, files = self.run(run), RunFiles(self.store, run)
        if found.state not in ENDED:
            raise _not_while(found, "be removed; stop it first")
        files.close()
        if found.request.key:
            self.store.remove(key_name(found.owner, found.request.key))
        self.store.remove(files.name("request.json"))
        self.store.remove(files.name())

    def comparison(self, run: str, present: PinnedModel) -> Comparison:
        """Return how the model of a run compares with a published one; ask a trainer for it where nobody has looked.

        Raises:
            TrainingError: E633, the run has no model.
        """
        files = RunFiles(self.store, run)
        self.require_done(run)
        made = files.comparison(present.sha256)
        if made is None:
            self.store.create(wanted_name(run, present.sha256), as_json(WantedComparison(present=present)))
        return made or Comparison(state="queued", present=present)

    def require_done(self, run: str) -> RunFiles:
        """Return the files of a run that has a model. Raises `TrainingError` E633."""
        found = self.run(run)
        if found.state != "done":
            raise _not_while(found, "be compared, fetched or published: it has no model yet")
        return RunFiles(self.store, run)

    def note_published(self, run: str, name: str, version: str) -> None:
        """Remember that the model of a run serves under this name."""
        self.store.write(RunFiles(self.store, run).name("published", name, version), b"")

    def has_trainers(self) -> bool:
        """Say whether a trainer has shown life lately."""
        return bool(who_lives(self.store, _LATELY_SECONDS, BEATS))

    def _alive(self) -> set[str]:
        """Return the trainers that have shown life lately."""
        return set(who_lives(self.store, _ALIVE_SECONDS, BEATS))

    def _seen(self, run: str, owner: str | None, alive: set[str]) -> TrainingRun | None:
        """Return a run of an owner; None: it is somebody else's, or is passed over because a file of it is damaged."""
        try:
            order = RunFiles(self.store, run).order()
            return self._view(order, alive) if order is not None and owner in {None, order.owner} else None
        except (TrainingError, JobError) as error:
            _log.error("training run %s is passed over: %s", run, error)
            return None

    def _view(self, order: TrainingOrder, alive: set[str]) -> TrainingRun:
        files = RunFiles(self.store, order.id)
        leaves = {name.removeprefix(f"{files.name()}/") for name in self.store.names(files.name())}
        claims = Claims.of(leaf for leaf in leaves if leaf.startswith("claims/"))
        end, progress = files.end(), files.progress()
        state = self._state(files, end, claims, held_back="hold" in leaves, alive=alive)
        busy = state in {"running", "stopping"}
        return TrainingRun(
            id=order.id,
            owner=order.owner,
            request=order.request,
            state=state,
            phase=progress.phase if progress and busy else None,
            created_ms=order.created_ms,
            started_ms=progress.started_ms if progress else None,
            finished_ms=end.at_ms if end else None,
            share=1.0 if state == "done" else progress.share if progress else 0.0,
            seconds_left=_seconds_left(progress) if progress and busy else None,
            points=progress.points if progress else 0,
            latest=progress.latest if progress else None,
            data=progress.data if progress else None,
            attempts=claims.latest,
            scores=end.scores if end else {},
            problem=end.problem if end else None,
            published=tuple(sorted(_published(leaves))),
        )

    def _state(
        self, files: RunFiles, end: TrainingEnd | None, claims: Claims, *, held_back: bool, alive: set[str]
    ) -> TrainingState:
        if end is not None:
            return end.state
        claimed = files.claimed(claims.latest) if claims.held else None
        at_work = claimed is not None and claimed.trainer in alive
        if held_back:
            return "stopping" if at_work else "stopped"
        return "running" if at_work else "queued"


def no_such_run(run: str) -> TrainingError:
    """Return the error that says so."""
    action = "GET /api/v1/training, or 'cellfleet training list', shows yours"
    return TrainingError("E630", "there is no such training run", where=run, action=action)


def _require_room(most: int | None, owners: Iterable[str], owner: str) -> None:
    running = sum(one == owner for one in owners)
    if most is not None and running >= most:
        what = f"you have as many jobs and training runs under way as you may, {running} of them training runs"
        raise JobError("E816", what, where=owner, action="Wait until one has ended, or ask an administrator")


def _not_while(run: TrainingRun, what: str) -> CellfleetError:
    return TrainingError("E633", f"the run is {run.state} and cannot {what}", where=run.id, action="Look at its state")


def _seconds_left(progress: TrainingProgress) -> float | None:
    if not 0 < progress.share <= 1:
        return None
    return progress.seconds * (1 - progress.share) / progress.share


def _published(leaves: Iterable[str]) -> Iterable[str]:
    parts = (PurePosixPath(leaf).parts for leaf in leaves if leaf.startswith("published/"))
    return (f"{part[1]}:{part[2]}" for part in parts if len(part) == 3)


def _new_id() -> str:
    """Return an id that sorts behind those of before, to the second."""
    return f"{datetime.now(UTC):%y%m%d-%H%M%S}-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
