"""Training as a job with real parts: the service, the command, and trainers that are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import tifffile
from tests.services import Running, running_service, wait_until
from tests.trainings import make_quick, write_dataset
from tests.worked import work_off

from cellfleet.cli import main
from cellfleet.errors import OutputError
from cellfleet.jobs.training_claims import TrainingQueue
from cellfleet.jobs.training_desk import TrainingDesk
from cellfleet.jobs.training_files import RunFiles
from cellfleet.models import load_model, read_manifest
from cellfleet.models.repository import Repository
from cellfleet.service.state import Settings
from cellfleet.spec.training_http import TrainingRequest
from cellfleet.stores.folder import FolderPlace
from cellfleet.training.job import Trainer

pytestmark = pytest.mark.slow

LONG: Final = 120
STEPS: Final = 10


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), settings=Settings(trains=True)) as running:
        running.store.write("lease", b"1")  # a dead trainer is missed soon
        yield running


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is called `lab`."""
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLFLEET_TOKEN", raising=False)
    (tmp_path / "cellfleet.toml").write_text(f'[servers.lab]\nurl = "{running.url}"\n')
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def training(running: Running) -> Iterator[subprocess.Popen[bytes]]:
    """Run `cellfleet trainer`; killed at the end, if it runs then."""
    words = ["trainer", "--store", running.store.url, "--first-look", "0.01"]
    with subprocess.Popen([sys.executable, "-m", "cellfleet", *words]) as process:
        try:
            yield process
        finally:
            process.kill()


def begun(running: Running, capsys: pytest.CaptureFixture[str], dataset: Path, *words: str) -> str:
    """Begin a run by command; return its id."""
    assert main(["train", str(dataset), "--on", "lab", "--detach", *words]) == 0
    run = capsys.readouterr().out.strip()
    make_quick(running.store, run)
    return run


def test_a_run_outlives_its_trainer_and_its_model_segments_by_name(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk, dataset = TrainingDesk(running.store), write_dataset(tmp_path / "data" / "discs")
    run = begun(running, capsys, dataset, "--steps", "24", "--compare-with", "otsu")
    with training(running) as first:
        wait_until(lambda: desk.run(run).points >= 2, "there are points", LONG)
        os.kill(first.pid, signal.SIGKILL)
    known = [point.step for point in desk.points(run)]
    with training(running) as second:
        # The same command watches the run that it began.
        words = ["train", str(dataset), "--on", "lab", "--steps", "24", "--compare-with", "otsu", "-o", "fetched"]
        assert main([*words, "--name", "discs"]) == 0
        told = capsys.readouterr().err
        assert "The model card is" in told and "step     24" in told
        done = desk.run(run)
        assert (done.state, done.attempts, done.latest and done.latest.step) == ("done", 2, 24)
        steps = [point.step for point in desk.points(run)]
        # Of the last point the checkpoint may not have been kept any more.
        assert steps == sorted(set(steps)) and set(known[:-1]) <= set(steps), (known, steps)
        assert read_manifest(tmp_path / "fetched").training["steps"] == 24
        assert main(["training", "compare", run[:-2], "--on", "lab"]) == 0
        assert "all images" in capsys.readouterr().out
        assert main(["training", "publish", "discs", "--on", "lab", "--version", "1.2.0"]) == 0
        second.terminate()
        assert second.wait(LONG) == 0
    made = running.client().post("/api/v1/sets", json={}).json()["id"]
    running.store.write(f"uploads/{made}/a.tif", (dataset / "images" / "0.tif").read_bytes())
    job = running.client().post("/api/v1/jobs", json={"inputs": [f"set:{made}"], "segment": {"model": "discs"}}).json()
    work_off(running)
    job = running.client().get(f"/api/v1/jobs/{job['id']}").json()
    assert (job["model"]["version"], job["state"]) == ("1.2.0", "done")


def test_a_run_is_stopped_and_resumed_by_command(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = TrainingDesk(running.store)
    run = begun(running, capsys, write_dataset(tmp_path / "more"), "--minutes", "60", "--name", "more")
    with training(running):
        wait_until(lambda: desk.run(run).points >= 1, "there is a point", LONG)
        assert main(["training", "stop", "more", "--on", "lab"]) == 0
        assert main(["training", "watch", run, "--on", "lab"]) == 130
        assert "cellfleet training resume" in capsys.readouterr().err
        at = desk.run(run)
        assert at.state == "stopped" and 0 < at.share < 1
        assert main(["training", "resume", run, "--on", "lab"]) == 0
        wait_until(lambda: desk.run(run).points > at.points, "it goes on", LONG)
        assert desk.run(run).attempts == 2
        assert main(["training", "stop", run, "--on", "lab"]) == 0
        wait_until(lambda: desk.run(run).state == "stopped", "it stops", LONG)
    capsys.readouterr()
    assert main(["training", "--on", "lab"]) == 0
    assert f"{run}  more" in capsys.readouterr().out
    assert main(["training", "delete", run, "--on", "lab"]) == 0
    assert main(["training", "show", run, "--on", "lab"]) == 4
    assert "[E630]" in capsys.readouterr().err


class _KilledError(OutputError):
    """Whoever meets it has been killed."""


@dataclass(frozen=True)
class Mortal(FolderPlace):
    """A folder whose user dies before or after some change, and does nothing any more."""

    left: list[int]
    """Changes until then."""
    after: bool

    def _changed(self, change: Callable[[], Any]) -> Any:
        self.left[0] -= 1
        if self.left[0] < 0 or (self.left[0] == 0 and not self.after):
            raise _KilledError("E305", "killed")
        return change()

    def write(self, name: str, content: bytes) -> None:
        self._changed(lambda: FolderPlace.write(self, name, content))

    def create(self, name: str, content: bytes) -> bool:
        return bool(self._changed(lambda: FolderPlace.create(self, name, content)))

    def remove(self, name: str) -> None:
        self._changed(lambda: FolderPlace.remove(self, name))

    def replacing(self, name: str, *, needed_bytes: int | None = None) -> AbstractContextManager[Path]:
        made: AbstractContextManager[Path] = self._changed(lambda: FolderPlace.replacing(self, name))
        return made


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Crew:
    """Trainers of one store, one after the other, all in this process."""

    store: FolderPlace
    folder: Path
    clock: Clock = field(default_factory=Clock)

    def attempt(self, name: str, store: FolderPlace | None = None) -> None:
        """Have a trainer claim the run of the one before it, which has died, and carry it out."""
        queue = TrainingQueue(store or self.store, name, lease_seconds=60, clock=self.clock)
        queue.show()
        claim = queue.claim()
        if claim is None:
            self.clock.now += 60
            claim = queue.claim()
        assert claim is not None
        self.trainer(queue).carry_out(claim, threading.Event())

    def trainer(self, queue: TrainingQueue) -> Trainer:
        """Return what carries out runs."""
        return Trainer(queue, Repository(queue.store, self.folder), self.folder, "cpu", first_look_seconds=0.001)

    def compare(self) -> None:
        """Have a trainer answer the comparison that somebody waits for."""
        queue = TrainingQueue(self.store, "compares", clock=self.clock)
        wanted = queue.wanted()
        assert wanted is not None
        self.trainer(queue).compare(*wanted)


def test_whenever_trainers_are_killed_a_run_ends_with_all_its_steps_and_none_is_lost_beyond_a_look(
    tmp_path: Path, request: pytest.FixtureRequest, running: Running
) -> None:
    seeds = request.config.getoption("--seeds")
    for seed in range(seeds):
        rng, crew = random.Random(seed), Crew(FolderPlace(tmp_path / f"store {seed}"), tmp_path)
        desk, data = TrainingDesk(crew.store), write_dataset(tmp_path / "data", 4)
        run = desk.create(TrainingRequest(name="discs", dataset=str(data), steps=STEPS, compare_with="otsu"), "ann").id
        make_quick(crew.store, run)
        for number in range(2):
            mortal = Mortal(crew.store.path, [rng.randrange(4, 22)], after=rng.random() < 0.5)
            with contextlib.suppress(_KilledError):
                crew.attempt(f"{number}", mortal)
            if desk.run(run).state == "done":
                break
            steps = [point.step for point in desk.points(run)]
            files = RunFiles(crew.store, run)
            assert files.checkpoint_step() >= (steps[-2] if len(steps) > 1 else 0), (seed, number)
        else:
            crew.attempt("last")
        done, steps = desk.run(run), [point.step for point in desk.points(run)]
        assert (done.state, done.share, steps[-1]) == ("done", 1, STEPS), (seed, done)
        assert steps == sorted(set(steps)), (seed, steps)
        package = crew.store.local(f"training/{run}/package")
        assert read_manifest(package).training["steps"] == STEPS
        assert load_model(package).manifest.name == "discs"


def test_a_finished_run_is_compared_on_its_own_images_alone_and_others_begin_with_it(
    tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew, data = Crew(FolderPlace(tmp_path / "store"), tmp_path), write_dataset(tmp_path / "data", 4)
    desk = TrainingDesk(crew.store)
    run = desk.create(TrainingRequest(name="discs", dataset=str(data), steps=2, compare_with="otsu"), "ann").id
    make_quick(crew.store, run)
    crew.attempt("first")
    models = Repository(crew.store, tmp_path)
    at_once = desk.comparison(run, models.resolve("otsu"))
    assert at_once.state == "done" and at_once.results[0].present.f1 == 1
    nuclei, detector, tissue = (models.resolve(name) for name in ("nuclei", "detector", "tissue"))
    assert desk.comparison(run, nuclei).state == "queued"
    begun_with = TrainingRequest(name="more", dataset=str(data), steps=2, start=run)
    for owner in ("ann", "bob"):
        other = desk.create(begun_with, owner).id
        make_quick(crew.store, other)
        crew.attempt(owner)
        ended = desk.run(other)
        assert (ended.state, ended.problem and ended.problem.code) == (
            ("done", None) if owner == "ann" else ("failed", "E401")
        )
    # The only trainer made it when it looked at the validation images of the run after.
    assert desk.comparison(run, nuclei).state == "done"
    # Published, it is a start for others, too.
    models.add(crew.store.local(f"training/{run}/package"))
    other = desk.create(begun_with.model_copy(update={"start": "discs:1.0.0"}), "bob").id
    make_quick(crew.store, other)
    crew.attempt("published")
    assert desk.run(other).state == "done"
    started = read_manifest(crew.store.local(f"training/{other}/package")).training["started_from"]
    assert started == "discs"
    with monkeypatch.context() as broken:
        broken.delattr("cellfleet.training.job.compare")
        assert desk.comparison(run, detector).state == "queued"
        crew.compare()
        with_a_bug = desk.comparison(run, detector)
        assert with_a_bug.problem is not None and with_a_bug.problem.code == "E599"
    # The labels are corrected once more: what was held out is not any more what it was.
    for path in (data / "labels").iterdir():
        tifffile.imwrite(path, tifffile.imread(path)[::-1])
    assert desk.comparison(run, tissue).state == "queued"
    crew.compare()
    late = desk.comparison(run, tissue)
    assert late.state == "failed" and late.problem is not None and late.problem.code == "E636"
