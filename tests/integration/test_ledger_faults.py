"""Any process dies at any moment: in the end each image has its one result, and poison is on the dead list.

`pytest tests/integration/test_ledger_faults.py --seeds 20` is the long form.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.ledger_worker import REFUSED, result
from tests.ledgers import a_job, counts, each_program, tasks_of, wipe

from cellfleet.errors import JobError, LedgerError
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import recover, write_manifest
from cellfleet.jobs.server import start_server
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, Progress, Task
from cellfleet.stores.place import FolderPlace

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TASKS = 300
WORKERS = 3
DEADLY = (13,)
"""Numbers of tasks that kill whoever tries them."""
EVENTS = 8
LEASE_SECONDS = 0.6
MAX_ATTEMPTS = 6
"""More than random kills will hit one innocent task; a deadly one takes this many workers with it."""
LIMIT_SECONDS = 120


class Fleet:
    """A server, workers and a job, and what may happen to them."""

    def __init__(
        self,
        folder: Path,
        program: Path,
        random: random.Random,
        *,
        at_once: int,
        deadly: Iterable[int],
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self.folder, self.program, self.random = folder, program, random
        self.words = [str(at_once), *map(str, deadly)]
        self.place = FolderPlace(folder / "store")
        self.results = FolderPlace(folder / "results")
        self.server = start_server(folder / "ledger", program=program)
        self.ledger = Ledger(self.server.url, lease_seconds=LEASE_SECONDS)
        self.job = a_job(max_attempts=max_attempts)
        write_manifest(self.place, self.job, tasks_of(self.job, TASKS))
        self.ledger.submit(self.job, tasks_of(self.job, TASKS))
        self.workers = [self.hire() for _ in range(WORKERS)]

    def hire(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        words = [self.server.url, str(LEASE_SECONDS), str(self.results.path), *self.words]
        command = [sys.executable, "-m", "tests.ledger_worker", *words]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})

    def replace_the_dead(self) -> None:
        self.workers = [self.hire() if worker.poll() is not None else worker for worker in self.workers]

    def standing(self, _: JobSpec) -> Callable[[Task], bool]:
        return lambda task: self.results.exists(f"{task.number}.txt")

    def happen(self) -> None:
        """Let one thing happen."""
        events = [
            self.kill_worker,
            self.stop_worker,
            self.freeze_worker,
            self.kill_server,
            self.freeze_server,
            self.wipe,
        ]
        self.random.choice(events)()

    def kill_worker(self) -> None:
        self.random.choice(self.workers).kill()

    def stop_worker(self) -> None:
        self.random.choice(self.workers).terminate()

    def freeze_worker(self) -> None:
        """Let it hang for longer than its lease, and go on with it afterwards."""
        worker = self.random.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * 1.5)
        worker.send_signal(signal.SIGCONT)

    def kill_server(self) -> None:
        """What it was told in its last second may be lost."""
        self.server.process.kill()
        self.server.process.wait()
        self.server.stop()
        self.server = start_server(self.server.folder, program=self.program)
        recover(self.place, self.ledger, self.standing)

    def freeze_server(self) -> None:
        self.server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        self.server.process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        wipe(self.ledger)
        recover(self.place, self.ledger, self.standing)

    def progress(self) -> Progress | None:
        """Return how far the job is; None at a moment when nobody knows."""
        with contextlib.suppress(LedgerError, JobError):
            return self.ledger.progress(self.job.id)
        return None

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.ledger.close()
        self.server.stop()


@pytest.fixture(params=each_program())
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cellfleet-faults-") as name:
        yield Path(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("seed", range(metafunc.config.getoption("seeds")))


def test_each_image_has_one_result_whatever_dies(folder: Path, program: Path, seed: int) -> None:
    random_ = random.Random(seed)
    with contextlib.closing(Fleet(folder, program, random_, at_once=random_.choice([1, 2, 4]), deadly=DEADLY)) as fleet:
        deadline = time.monotonic() + LIMIT_SECONDS
        next_event, events = time.monotonic() + 1, 0
        while (progress := fleet.progress()) is None or progress.state not in FINAL_JOB_STATES:
            assert time.monotonic() < deadline, progress
            fleet.replace_the_dead()
            if events < EVENTS and time.monotonic() >= next_event:
                fleet.happen()
                events += 1
                next_event = time.monotonic() + fleet.random.uniform(0.1, 0.6)
            time.sleep(0.02)
        assert events >= 3, "the job was over before anything happened"
        check(fleet, progress, DEADLY)


def test_tasks_that_kill_their_process_take_no_others_with_them(folder: Path, program: Path, seed: int) -> None:
    random_ = random.Random(seed)
    deadly = random_.sample([number for number in range(TASKS) if number != REFUSED], 4)
    with contextlib.closing(Fleet(folder, program, random_, at_once=4, deadly=deadly, max_attempts=4)) as fleet:
        deadline = time.monotonic() + LIMIT_SECONDS
        while (progress := fleet.ledger.progress(fleet.job.id)).state not in FINAL_JOB_STATES:
            assert time.monotonic() < deadline, progress
            fleet.replace_the_dead()
            time.sleep(0.02)
        check(fleet, progress, deadly)


def check(fleet: Fleet, progress: Progress, deadly: Sequence[int]) -> None:
    dead = {task.task.number: (task.code, task.attempts) for task in fleet.ledger.dead(fleet.job.id)}
    assert dead.pop(REFUSED)[0] == "E201"
    assert dead == dict.fromkeys(deadly, ("E814", fleet.job.max_attempts))
    lost = len(deadly) + 1
    assert (progress.state, counts(progress)) == ("failed", {"done": TASKS - lost, "dead": lost})
    expected = {f"{task.number}.txt": result(task) for task in tasks_of(fleet.job, TASKS)}
    for number in (REFUSED, *deadly):
        del expected[f"{number}.txt"]
    fleet.results.sweep()
    assert {name: fleet.results.read(name) for name in fleet.results.names()} == expected
    fleet.ledger.forget(fleet.job.id)
