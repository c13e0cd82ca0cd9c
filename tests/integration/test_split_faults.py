"""Split mode when something dies, with a real Triton, `cellfleet triton` beside it and workers as processes: each image
has one result, that of fused mode, no attempt is counted in vain, and no shared memory is left.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.fleets import free_port
from tests.ledgers import counts
from tests.services import wait_until
from tests.support import discs, results
from tests.tritons import Triton, running_triton

from cellfleet.cli import main
from cellfleet.inference.shared_memory import FOLDER
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.models.repository import Repository
from cellfleet.spec.job import ImageRef, JobSpec, PinnedModel, Task
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.folder import FolderPlace

pytestmark = pytest.mark.slow

IMAGES, SECONDS = 30, 90
LEASE_SECONDS = 1.5


@dataclass
class Split:
    """A ledger, a store with images, a Triton and `cellfleet triton`; and the workers of one test."""

    folder: Path
    triton: Triton
    ledger: Ledger
    ledger_url: str
    model: PinnedModel
    expected: dict[str, bytes]
    """Label images and tables by path, as one process makes them."""
    probes: int = field(default_factory=free_port)
    jobs: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of ours."""
        own = {"OMP_NUM_THREADS": "1", "CELLFLEET_CACHE": str(self.folder / "cache"), "CELLFLEET_LOG": "text"}
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "cellfleet", *words, "--store", str(self.store)]
            process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def hire(self) -> subprocess.Popen[bytes]:
        """Start a worker that asks the Triton."""
        words = ["--ledger", self.ledger_url, "--model-server", self.triton.address, "--threads", "2", "--grace", "5"]
        return self.run("worker", *words, "--memory", "2GB")

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            end(process)

    def submit(self) -> JobSpec:
        """Hand in a job over all images, one task for each; twice begun is dead."""
        self.jobs += 1
        segment = SegmentSpec(model="nuclei")
        name = f"job{self.jobs}"
        job = JobSpec(id=name, model=self.model, segment=segment, results=f"results/{name}", max_attempts=2)
        self.ledger.submit(job, (task_of(job, number) for number in range(IMAGES)))
        return job

    def done(self, job: JobSpec) -> int:
        return self.ledger.progress(job.id).done

    def finished(self, job: JobSpec) -> None:
        """Wait for the end of a job; all of it has to be there, once."""
        wait_until(lambda: self.ledger.progress(job.id).state in {"done", "failed"}, "the job ends", SECONDS)
        progress = self.ledger.progress(job.id)
        log = (self.folder / "log").read_text()[-6000:]
        assert (counts(progress), progress.tally.images, progress.tally.failed_images) == (
            {"done": IMAGES},
            IMAGES,
            0,
        ), log
        assert results(self.store / job.results) == self.expected

    def probe(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probes}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def strays(self) -> list[str]:
        return [path.name for path in FOLDER.glob("cellfleet-*")]

    def registered(self) -> list[str]:
        """Return the shared memory that the server knows."""
        with self.triton.client() as client:
            return list(client.get_system_shared_memory_status().regions)


def task_of(job: JobSpec, number: int) -> Task:
    image = ImageRef(path=f"store:images/{number}.tif", name=f"{number}.tif", stem=str(number))
    return Task(job=job.id, number=number, first_image=number, images=(image,))


@pytest.fixture(scope="module")
def split() -> Iterator[Split]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cellfleet-test-")))
        url = stack.enter_context(private_server(folder / "l")).url
        ledger = stack.enter_context(contextlib.closing(Ledger(url, lease_seconds=LEASE_SECONDS)))
        store, rng = FolderPlace(folder / "store"), np.random.default_rng(0)
        (folder / "store" / "images").mkdir(parents=True)
        for number in range(IMAGES):
            pixels = np.kron(discs(80, 80), np.ones((2, 2), np.uint16)) + rng.integers(0, 40, (160, 160), np.uint16)
            tifffile.imwrite(folder / "store" / "images" / f"{number}.tif", pixels)
        words = ["segment", str(folder / "store" / "images"), "-o", str(folder / "fused"), "--progress", "none"]
        assert main([*words, "--device", "cpu"]) == 0
        triton = stack.enter_context(running_triton(folder / "triton"))
        model = Repository(store, folder / "cache").resolve("nuclei")
        split = Split(folder, triton, ledger, url, model, results(folder / "fused"))
        beside = ["--server", triton.address, "--model", "nuclei", "--backend", "python", "--every", "0.5"]
        stack.callback(split.close)
        split.run("triton", *beside, "--probes", f"127.0.0.1:{split.probes}")
        wait_until(lambda: split.probe("/health/live") == 200, "the probes are answered", SECONDS)
        assert split.probe("/health/ready") == 503
        wait_until(lambda: split.probe("/health/ready") == 200, "the model is served", SECONDS)
        yield split


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def worker(split: Split) -> Iterator[subprocess.Popen[bytes]]:
    worker = split.hire()
    yield worker
    end(worker)


def test_models_whose_processes_are_killed_come_back_and_their_tiles_are_predicted(
    split: Split, worker: subprocess.Popen[bytes]
) -> None:
    job = split.submit()
    wait_until(lambda: split.done(job) >= 3, "some images are done", SECONDS)
    split.triton.kill_models()
    assert split.done(job) < IMAGES
    with split.triton.client() as client:
        assert client.is_server_ready(), "which is why there are canaries"
    wait_until(lambda: split.probe("/health/ready") == 503, "the canary notices", SECONDS)
    split.finished(job)
    wait_until(lambda: split.probe("/health/ready") == 200, "all models are back", SECONDS)
    assert split.probe("/health/live") == 200
    assert b'cellfleet_model_reloads_total{model="nuclei:1.0.0"} 6.0' in page(split)


def page(split: Split) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{split.probes}/metrics", timeout=10) as answer:
        return bytes(answer.read())


def test_a_server_that_is_killed_is_waited_for_unless_a_worker_is_told_to_end(
    split: Split, worker: subprocess.Popen[bytes]
) -> None:
    other, job = split.hire(), split.submit()
    wait_until(lambda: split.done(job) >= 3, "some images are done", SECONDS)
    split.triton.kill()
    other.terminate()
    assert other.wait(30) == 0
    assert "dead" not in counts(split.ledger.progress(job.id)) and split.done(job) < IMAGES
    wait_until(lambda: split.probe("/health/ready") == 503, "the canary notices", SECONDS)
    split.triton.start()
    split.finished(job)


def test_what_a_killed_worker_had_is_done_and_its_shared_memory_removed(
    split: Split, worker: subprocess.Popen[bytes]
) -> None:
    job = split.submit()
    wait_until(lambda: split.done(job) >= 3, "some images are done", SECONDS)
    worker.kill()
    worker.wait()
    assert split.done(job) < IMAGES
    wait_until(lambda: not split.strays() and not split.registered(), "its shared memory is removed", SECONDS)
    other = split.hire()
    split.finished(job)
    assert split.strays() and split.registered(), "it uses shared memory itself"
    other.terminate()
    assert other.wait(30) == 0
    assert not split.strays() and not split.registered()
