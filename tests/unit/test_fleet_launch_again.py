"""The same order again, at every point of a job: what is started, what is done anew, what the user is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support import discs

from cellfleet.cli import main
from cellfleet.cluster.batch import launch as module
from cellfleet.cluster.batch.fleet import Wanted, fleet_store
from cellfleet.cluster.batch.launch import FleetOrder, Outcome, launch
from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.fleet import FleetSpec
from cellfleet.spec.job import Done, Failed, Tally, Task
from cellfleet.spec.job import Outcome as TaskOutcome
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import Place, open_place

FLEET = FleetSpec(where="slurm", max_workers=2, lease_seconds=1)
_LAST = 3
"""Workers of the third request stay."""
Run = Callable[[Task, int, Callable[[], None]], TaskOutcome]


def done(task: Task, attempt: int, alive: Callable[[], None]) -> TaskOutcome:
    return Done(tally=Tally(images=len(task.images)))


class Lab:
    """A folder of images, and a batch system whose workers are threads that work until there is nothing to do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images, self.out = folder / "plate µ (1) [a]", folder / "results of µ"
        self.images.mkdir()
        self.asked, self.said = list[Wanted](), list[str]()
        self.run: Run | None = done
        self.tasks_each: int | None = None
        """After so many a worker of this lab is taken away."""
        monkeypatch.setattr(module, "_SYSTEMS", {"slurm": self})
        monkeypatch.setattr(module, "_POLL_SECONDS", 0.05)
        monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.2)

    def add(self, name: str) -> None:
        tifffile.imwrite(self.images / name, np.asarray(discs()))

    @property
    def store(self) -> Place:
        return open_place(fleet_store(FLEET, str(self.out)))

    def shown(self, wanted: Wanted) -> str:
        return ""

    def send(self, wanted: Wanted) -> str:
        self.asked.append(wanted)
        if self.run is not None:
            self.work(self.run)
        return str(len(self.asked))

    def work(self, run: Run) -> None:
        stop, begun = threading.Event(), list[int]()

        def counted(task: Task, attempt: int, alive: Callable[[], None]) -> TaskOutcome:
            begun.append(task.number)
            if len(begun) == self.tasks_each and len(self.asked) < _LAST:
                stop.set()
            return run(task, attempt, alive)

        ledger = StoreLedger(self.store, summarise=self._sum_up, look_seconds=0.05)
        work(ledger, counted, stop=stop, patience=Patience(idle=0.3))

    def _sum_up(self, ledger: StoreLedger, job: str) -> None:
        open_place(ledger.spec(job).results).write("run.json", b"{}")

    def launch(self, *, detach: bool = False) -> Outcome:
        order = FleetOrder((str(self.images),), str(self.out), SegmentSpec(model="otsu"), ("csv",), detach)
        return launch(order, FLEET, self.said.append, threading.Event())


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    made = Lab(tmp_path, monkeypatch)
    made.add("a.tif")
    made.add("b.tif")
    return made


def test_a_job_that_is_done_starts_nothing_again(lab: Lab) -> None:
    assert lab.launch() == "done" and len(lab.asked) == 1
    assert lab.launch() == "done" and len(lab.asked) == 1
    assert lab.said[-1] == f"Results are in {lab.out}"


def test_images_that_came_since_are_done(lab: Lab) -> None:
    assert lab.launch() == "done"
    lab.add("c.tif")
    assert lab.launch() == "done" and len(lab.asked) == 2
    assert any("3 images" in line for line in lab.said)


def test_results_that_are_gone_are_made_once_more(lab: Lab) -> None:
    assert lab.launch() == "done"
    (lab.out / "run.json").unlink()
    assert lab.launch() == "done" and len(lab.asked) == 2
    assert (lab.out / "run.json").exists()


def test_a_damaged_manifest_is_written_again(lab: Lab) -> None:
    lab.run = None
    assert lab.launch(detach=True) == "detached"
    (tasks,) = lab.store.names("tasks")
    lab.store.write(tasks, b"")
    lab.run = done
    assert lab.launch() == "done"


def test_workers_that_are_all_gone_are_replaced_as_long_as_they_end_tasks(lab: Lab) -> None:
    lab.add("c.tif")
    lab.tasks_each = 1
    assert lab.launch() == "done"
    assert len(lab.asked) == 3
    assert not any("No worker shows life" in line for line in lab.said)


def test_two_requests_of_one_second_have_two_names(lab: Lab) -> None:
    lab.run = None
    lab.launch(detach=True)
    lab.launch(detach=True)
    assert len({wanted.name for wanted in lab.asked}) == 2
    assert all(len(wanted.name) <= 63 for wanted in lab.asked)


def test_a_job_is_paused_resumed_and_cancelled_from_the_terminal(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.run = None
    lab.launch(detach=True)
    (job,) = (name.split("/")[1].removesuffix(".json") for name in lab.store.names("jobs") if name.endswith(".json"))
    assert f"cellfleet jobs cancel {job} --store {lab.store.url}` ends it" in lab.said[-1]
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert main(["jobs", action, job, "--store", lab.store.url]) == 0
        assert f"{job} is {state}." in capsys.readouterr().err
    assert main(["jobs", "delete", job, "--store", lab.store.url]) == 2
    assert "E970" in capsys.readouterr().err


def test_failures_are_tried_again_by_the_same_order(lab: Lab) -> None:
    lab.run = lambda task, *_: Failed(code="E102", reason="no image", final=True)
    assert lab.launch() == "some failed"
    lab.run = done
    assert lab.launch() == "done" and any("2 tasks that failed" in line for line in lab.said)
