"""Training runs as files in a store: what users can do, who gets a run, what becomes of one whose trainer dies."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cellfleet.errors import JobError, OutputError, TrainingError
from cellfleet.jobs.training_claims import MOST_ATTEMPTS, Claim, TrainingQueue
from cellfleet.jobs.training_desk import TrainingDesk
from cellfleet.jobs.training_files import RunFiles
from cellfleet.jobs.training_work import work_off
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.record import Told
from cellfleet.spec.training import TrainingEnd, TrainingProgress, WantedComparison
from cellfleet.spec.training_http import Comparison, TrainingPoint, TrainingRequest, TrainingRun
from cellfleet.stores.place import FolderPlace

LEASE = 60.0
REQUEST = TrainingRequest(name="ours", dataset="set:1", steps=100)
OTSU = PinnedModel(name="otsu", version="1", sha256="0" * 64)


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "store")


@pytest.fixture
def desk(store: FolderPlace) -> TrainingDesk:
    return TrainingDesk(store)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def trainer(store: FolderPlace, clock: Clock, name: str) -> TrainingQueue:
    made = TrainingQueue(store, name, lease_seconds=LEASE, clock=clock)
    made.show()
    return made


def point(step: int) -> TrainingPoint:
    return TrainingPoint(step=step, seconds=step / 10, loss=1 / step, scores={"f1": step / 100, "ap": None})


def look(queue: TrainingQueue, claim: Claim, folder: Path, *steps: int) -> None:
    """Write what a trainer writes after a look."""
    (folder / "checkpoint").write_bytes(f"{steps[-1]}".encode())
    points = [point(step) for step in steps]
    progress = TrainingProgress(
        phase="training",
        started_ms=1,
        step=steps[-1],
        seconds=1,
        share=steps[-1] / 100,
        points=len(points),
        latest=points[-1],
    )
    queue.tell(claim, progress, points)
    queue.keep(claim, folder / "checkpoint", steps[-1])


def test_a_run_goes_from_queued_to_running_to_done(
    desk: TrainingDesk, store: FolderPlace, clock: Clock, tmp_path: Path
) -> None:
    run = desk.create(REQUEST, "ann")
    assert (run.state, run.attempts, run.share, run.scores) == ("queued", 0, 0, {})
    queue = trainer(store, clock, "first")
    claim = queue.claim()
    assert claim is not None and (claim.files.id, claim.step) == (run.id, 0)
    look(queue, claim, tmp_path, 30)
    seen = desk.run(run.id)
    assert (seen.state, seen.phase, seen.share, seen.points) == ("running", "training", 0.3, 1)
    assert seen.seconds_left == pytest.approx(1 * 0.7 / 0.3)
    queue.end(claim, TrainingEnd(state="done", at_ms=5, scores={"validation": {"f1": 0.5}}))
    seen = desk.run(run.id)
    assert (seen.state, seen.share, seen.finished_ms, seen.scores) == ("done", 1, 5, {"validation": {"f1": 0.5}})
    assert queue.claim() is None and claim.files.checkpoint_step() == 0


def test_a_run_is_one_trainers_and_the_oldest_comes_first(desk: TrainingDesk, store: FolderPlace, clock: Clock) -> None:
    desk.create(REQUEST, "ann")
    desk.create(REQUEST, "bob")
    expected = sorted(run.id for run in desk.page(None, limit=10)[0])
    claims = [trainer(store, clock, name).claim() for name in ("first", "second", "third")]
    assert [claim and claim.files.id for claim in claims] == [*expected, None]


def test_of_a_silent_trainer_another_goes_on_from_the_checkpoint(
    desk: TrainingDesk, store: FolderPlace, clock: Clock, tmp_path: Path
) -> None:
    run = desk.create(REQUEST, "ann").id
    dead, next_one = trainer(store, clock, "dead"), trainer(store, clock, "next")
    lost = dead.claim()
    assert lost is not None
    look(dead, lost, tmp_path, 10)
    look(dead, lost, tmp_path, 10, 20)
    assert next_one.claim() is None, "it shows life"
    clock.now += LEASE
    assert dead.standing(lost) == "held"
    claim = next_one.claim()
    assert claim is not None and (claim.files.id, claim.step) == (run, 20)
    assert store.read(claim.files.checkpoint(20)) == b"20"
    assert dead.standing(lost) == "lost"
    assert desk.run(run).attempts == 2


def test_one_that_shows_life_keeps_its_run(desk: TrainingDesk, store: FolderPlace, clock: Clock) -> None:
    desk.create(REQUEST, "ann")
    alive, other = trainer(store, clock, "alive"), trainer(store, clock, "other")
    assert alive.claim() is not None
    for _ in range(8):
        assert other.claim() is None
        clock.now += LEASE / 3
        alive.show()


def test_a_run_at_which_trainers_vanish_without_a_step_forward_fails_and_can_be_resumed(
    desk: TrainingDesk, store: FolderPlace, clock: Clock
) -> None:
    run = desk.create(REQUEST, "ann").id
    assert trainer(store, clock, "dies first").claim() is not None
    for number in range(MOST_ATTEMPTS):
        queue = trainer(store, clock, f"dies {number}")
        assert queue.claim() is None, "the one before may live"
        clock.now += LEASE
        assert (queue.claim() is None) == (number == MOST_ATTEMPTS - 1)
    failed = desk.run(run)
    assert failed.state == "failed" and failed.problem is not None and failed.problem.code == "E632"
    assert desk.resume(run).state == "queued"
    assert queue.claim() is not None


def test_a_trainer_that_gets_further_each_time_is_given_another_chance(
    desk: TrainingDesk, store: FolderPlace, clock: Clock, tmp_path: Path
) -> None:
    desk.create(REQUEST, "ann")
    for number in range(MOST_ATTEMPTS + 2):
        queue = trainer(store, clock, f"dies {number}")
        queue.claim()  # sees the beat of the one before
        clock.now += LEASE
        claim = queue.claim()
        assert claim is not None and claim.step == 10 * number
        look(queue, claim, tmp_path, 10 * (number + 1))


def test_a_stop_is_obeyed_and_a_resumed_run_goes_on_where_it_was(
    desk: TrainingDesk, store: FolderPlace, clock: Clock, tmp_path: Path
) -> None:
    run = desk.create(REQUEST, "ann").id
    queue = trainer(store, clock, "first")
    claim = queue.claim()
    assert claim is not None
    look(queue, claim, tmp_path, 40)
    assert desk.stop(run).state == "stopping"
    assert queue.standing(claim) == "stopped"
    queue.keep(claim, tmp_path / "checkpoint", 43)
    queue.give_back(claim)
    assert desk.run(run).state == "stopped" and queue.claim() is None
    claim.files.open("ann")  # as one does who resumes it this very moment
    assert queue.claim() is None
    assert desk.resume(run).state == "queued"
    again = queue.claim()
    assert again is not None and again.step == 43
    assert [found.step for found in desk.points(run)] == [40]


def test_what_a_state_forbids_is_refused(desk: TrainingDesk, store: FolderPlace, clock: Clock) -> None:
    run = desk.create(REQUEST, "ann").id

    def refused(change: Callable[[], object]) -> bool:
        with pytest.raises(TrainingError, match="E633"):
            change()
        return True

    assert refused(lambda: desk.resume(run)) and refused(lambda: desk.remove(run))
    assert refused(lambda: desk.comparison(run, OTSU))
    queue = trainer(store, clock, "first")
    claim = queue.claim()
    assert claim is not None
    queue.end(claim, TrainingEnd(state="done", at_ms=1))
    assert refused(lambda: desk.stop(run)) and refused(lambda: desk.resume(run))
    desk.remove(run)
    with pytest.raises(TrainingError, match="E630"):
        desk.run(run)
    assert list(store.names("training")) == ["training/.beats/first"]


def test_a_request_with_a_key_is_one_run_however_often_it_is_sent(desk: TrainingDesk, store: FolderPlace) -> None:
    keyed = REQUEST.model_copy(update={"key": "k"})
    first = desk.create(keyed, "ann")
    assert desk.create(keyed, "ann") == first
    assert desk.create(keyed, "bob").id != first.id
    assert desk.create(REQUEST, "ann").id != desk.create(REQUEST, "ann").id
    desk.stop(first.id)
    desk.remove(first.id)
    assert desk.create(keyed, "ann").id != first.id


def test_a_request_that_was_cut_off_behind_its_key_is_taken_in_when_it_is_sent_again(
    desk: TrainingDesk, store: FolderPlace
) -> None:
    keyed = REQUEST.model_copy(update={"key": "k"})
    first = desk.create(keyed, "ann").id
    store.remove(RunFiles(store, first).name())
    store.remove(RunFiles(store, first).marker)
    assert desk.create(keyed, "ann").id == first
    assert desk.run(first).state == "queued"


def test_a_quota_holds_new_runs_back(desk: TrainingDesk) -> None:
    for _ in range(2):
        desk.create(REQUEST, "ann", most=2)
    with pytest.raises(JobError, match="E816"):
        desk.create(REQUEST, "ann", most=2)
    desk.create(REQUEST, "bob", most=1)


def test_pages_hold_the_newest_first_and_only_ones_own(desk: TrainingDesk) -> None:
    made = [desk.create(REQUEST, owner).id for owner in ("ann", "bob") * 4]
    found: list[TrainingRun] = []
    after = None
    while True:
        page, after = desk.page("ann", after=after, limit=3)
        found += page
        if after is None:
            break
    assert [run.id for run in found] == sorted(made[::2], reverse=True)
    assert {run.owner for run in found} == {"ann"}


def test_a_marker_that_was_lost_comes_back_when_somebody_looks(
    desk: TrainingDesk, store: FolderPlace, clock: Clock
) -> None:
    run = desk.create(REQUEST, "ann").id
    RunFiles(store, run).close()
    queue = trainer(store, clock, "first")
    assert queue.claim() is None
    assert desk.run(run).state == "queued"
    assert queue.claim() is not None


def test_a_damaged_run_is_passed_over(desk: TrainingDesk, store: FolderPlace, clock: Clock) -> None:
    broken, whole = sorted(desk.create(REQUEST, "ann").id for _ in range(2))
    store.write(RunFiles(store, broken).name("request.json"), b"{")
    claim = trainer(store, clock, "first").claim()
    assert claim is not None and claim.files.id == whole
    with pytest.raises(TrainingError, match="E634"):
        desk.run(broken)
    assert [run.id for run in desk.page(None, limit=10)[0]] == [whole] == [run.id for run in desk.every()]


def test_scores_where_there_is_nothing_to_score_leave_a_run_readable(
    desk: TrainingDesk, store: FolderPlace, clock: Clock
) -> None:
    run, queue = desk.create(REQUEST, "ann").id, trainer(store, clock, "first")
    claim = queue.claim()
    assert claim is not None
    scores = {"validation, whole cells": {"f1": 0.5, "ap": 0.4}, "validation, nuclei": {"f1": math.nan, "ap": math.nan}}
    queue.end(claim, TrainingEnd(state="done", at_ms=1, scores=scores))
    assert desk.run(run).scores == {"validation, whole cells": {"f1": 0.5, "ap": 0.4}}


@dataclass
class Made:
    """Carries out runs without training."""

    queue: TrainingQueue
    trouble: list[OutputError] = field(default_factory=list)
    carried_out: list[str] = field(default_factory=list)

    def carry_out(self, claim: Claim, stop: threading.Event) -> bool:
        if self.trouble:
            raise self.trouble.pop()
        self.carried_out.append(claim.files.id)
        self.queue.end(claim, TrainingEnd(state="done", at_ms=1))
        return True

    def compare(self, files: RunFiles, wanted: WantedComparison) -> None:
        self.queue.answer(files, Comparison(state="done", present=wanted.present))


def test_rounds_carry_out_runs_and_comparisons_and_end_when_idle(
    desk: TrainingDesk, store: FolderPlace, clock: Clock
) -> None:
    runs = [desk.create(REQUEST, "ann").id for _ in range(3)]
    queue = trainer(store, clock, "first")
    made = Made(queue, [OutputError("E323", "the store is away")])

    def rounds() -> int:
        return work_off(queue, lambda: made, stop=threading.Event(), idle_seconds=0.01, look_seconds=0.001).ended

    assert rounds() == 3 and made.carried_out == sorted(runs)
    assert desk.comparison(runs[0], OTSU).state == "queued" == desk.comparison(runs[0], OTSU).state
    assert rounds() == 0
    assert desk.comparison(runs[0], OTSU).state == "done"
    assert not list(store.names("training/.wanted"))


def test_a_damaged_wish_holds_nobody_up(desk: TrainingDesk, store: FolderPlace, clock: Clock) -> None:
    queue, runs = trainer(store, clock, "first"), sorted(desk.create(REQUEST, "ann").id for _ in range(3))
    for _ in runs:
        claim = queue.claim()
        assert claim is not None
        queue.end(claim, TrainingEnd(state="done", at_ms=1))
    for run in runs:
        desk.comparison(run, OTSU)
    store.write(f"training/.wanted/{runs[0]}/{OTSU.sha256}", b"{")
    store.write(RunFiles(store, runs[1]).name("request.json"), b"{")
    asked = queue.wanted()
    assert asked is not None and asked[0].id == runs[2]


def test_a_comparison_at_which_trainers_die_again_and_again_is_answered_so(
    desk: TrainingDesk, store: FolderPlace, clock: Clock
) -> None:
    run = desk.create(REQUEST, "ann").id
    queue = trainer(store, clock, "first")
    claim = queue.claim()
    assert claim is not None
    queue.end(claim, TrainingEnd(state="done", at_ms=1))
    desk.comparison(run, OTSU)
    assert all(queue.wanted() is not None for _ in range(MOST_ATTEMPTS))
    assert queue.wanted() is None
    found = desk.comparison(run, OTSU)
    assert found.state == "failed" and isinstance(found.problem, Told) and found.problem.code == "E632"
