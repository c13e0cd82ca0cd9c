"""Scaling without Kubernetes: a stand-in adds and SIGTERMs real workers as the policy decides, over a real ledger.

Nothing may be lost and nothing done twice, however often the number of workers goes up and down.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.services import wait_until
from tests.support import discs

from cellfleet.jobs.desk import Desk
from cellfleet.jobs.keeper import Keeper
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.models.repository import Repository
from cellfleet.planning.policies import WorkPolicy, work_replicas
from cellfleet.spec.access import Quota
from cellfleet.spec.http import JobRequest
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

pytestmark = pytest.mark.slow

POLICY = WorkPolicy(max_workers=3, tasks_per_worker=4, cool_down_seconds=1)
EVERY_SECONDS = 1.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("seed", range(max(metafunc.config.getoption("seeds") // 2, 1)))


@dataclass
class Autoscaler:
    """What KEDA and the HPA do: look at the queue, add workers, or end some with SIGTERM."""

    ledger: Ledger
    store: FolderPlace
    logs: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: list[subprocess.Popen[bytes]] = field(default_factory=list)
    history: list[int] = field(default_factory=list)
    idle_since: float | None = None

    def step(self, policy: WorkPolicy) -> None:
        """Decide once, and act."""
        depths = self.ledger.depths().values()
        waiting, leased = sum(queued for queued, _ in depths), sum(leased for _, leased in depths)
        now = time.monotonic()
        self.idle_since = None if waiting or leased else (self.idle_since or now)
        idle = 0.0 if self.idle_since is None else now - self.idle_since
        workers = len(self.workers)
        wanted = work_replicas(policy, waiting=waiting, leased=leased, workers=workers, idle_seconds=idle)
        while len(self.workers) < wanted:
            self.workers.append(self._start())
        while len(self.workers) > wanted:
            gone = self.workers.pop(0)  # Kubernetes may take a busy one, so the oldest goes
            gone.send_signal(signal.SIGTERM)
            self.ended.append(gone)
        self.history.append(wanted)

    def _start(self) -> subprocess.Popen[bytes]:
        words = ["worker", "--ledger", self.ledger.url, "--store", self.store.url]
        words += ["--threads", "1", "--memory", "2GB", "--grace", "0.3"]
        number = len(self.workers) + len(self.ended)
        with (self.logs / f"{number}.log").open("wb") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CELLFLEET_LOG": "json"}
            command = [sys.executable, "-m", "cellfleet", *words]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def stop(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in [*self.workers, *self.ended]:
            worker.wait(60)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Desk, Autoscaler]]:
    store = FolderPlace(tmp_path / "store")
    (tmp_path / "logs").mkdir()
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-") as short, private_server(Path(short) / "l") as server:
        ledger = Ledger(server.url, lease_seconds=5)
        desk = Desk(store, ledger, Repository(store, tmp_path / "cache"))
        keeper = Keeper(desk)
        keeper.start()
        scaler = Autoscaler(ledger, store, tmp_path / "logs")
        try:
            yield desk, scaler
        finally:
            scaler.stop()
            keeper.stop()
            ledger.close()


def test_going_up_and_down_loses_nothing_and_does_nothing_twice(fleet: tuple[Desk, Autoscaler], tmp_path: Path, seed: int) -> None:  # fmt: skip # noqa: E501
    desk, scaler = fleet
    rng = random.Random(seed)
    jobs = {}
    for name, images in (("first", 36), ("second", rng.randrange(8, 24))):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(images):
            tifffile.imwrite(folder / f"a{i:02}.tif", np.tile(np.roll(discs(), i, axis=1), (6, 6)))
        request = JobRequest(inputs=(str(folder),), segment=SegmentSpec(model="otsu"))
        jobs[desk.submit(request, "ann", Quota()).id] = images
        until = time.monotonic() + 180
        while desk.job(next(reversed(jobs))).progress.finished_ms is None:
            assert time.monotonic() < until, _logs(tmp_path)
            # Whims of a cluster: now and then it takes machines away and gives them back.
            scaler.step(WorkPolicy(max_workers=1, tasks_per_worker=4) if rng.random() < 0.15 else POLICY)
            time.sleep(EVERY_SECONDS)
        while scaler.workers:  # to zero between the jobs
            assert time.monotonic() < until, _logs(tmp_path)
            scaler.step(POLICY)
            time.sleep(EVERY_SECONDS)
    assert max(scaler.history) == 3 and scaler.ended, "it went up and down"
    for worker in scaler.ended:
        assert worker.wait(60) == 0, _logs(tmp_path)
    counted = _results_by_workers(tmp_path)
    for job, images in jobs.items():
        wait_until(lambda job=job: desk.job(job).summarised, f"{job} is summed up")  # type: ignore[misc]
        progress = desk.job(job).progress
        assert (progress.images_done, progress.images_failed) == (images, 0)
        record = json.loads(desk.results(job).read("run.json") or b"")
        assert Counter(image["status"] for image in record["images"]) == {"done": images}
    assert sum(counted.values()) == sum(jobs.values()), "each image was done by one worker, once"


def _results_by_workers(folder: Path) -> Counter[str]:
    """Return how often each worker said that it was done with an image."""
    lines = (line for log in (folder / "logs").glob("*.log") for line in log.read_text().splitlines())
    said = (json.loads(line) for line in lines if line.startswith("{"))
    return Counter(line["worker"] for line in said if "image" in line and line["message"].startswith("done"))


def _logs(folder: Path) -> str:
    return "\n".join(log.read_text()[-2000:] for log in sorted((folder / "logs").glob("*.log")))
