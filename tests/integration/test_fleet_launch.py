"""`cellfleet segment --on slurm`, with a stand-in scheduler that really runs the workers, and kills them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.schedulers import Scheduler, scheduler
from tests.support import discs

import cellfleet

pytestmark = pytest.mark.slow

SETTINGS = """[fleets.lab]
where = "slurm"
idle_timeout = {idle}
lease_seconds = 4
cpus = 1
memory_gb = 2
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(max(metafunc.config.getoption("seeds") // 2, 1)))


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Scheduler]:
    found = scheduler(tmp_path / "slurm")
    yield found
    found.end()


def make_images(folder: Path, number: int) -> None:
    folder.mkdir()
    for i in range(number):
        tifffile.imwrite(folder / f"a{i:02}.tif", np.roll(discs(), 3 * i, axis=1))


def command(slurm: Scheduler, images: str, out: str, *more: str, idle: float = 3) -> subprocess.Popen[str]:
    here = slurm.folder.parent
    (here / "cellfleet.toml").write_text(SETTINGS.format(idle=idle))
    words = [sys.executable, "-m", "cellfleet", "segment", images, "-o", out, "-m", "otsu", "--on", "lab", *more]
    environment = {**os.environ, "PATH": slurm.path, "CELLFLEET_CACHE": str(here / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=here, env=environment, stderr=subprocess.PIPE, text=True)


def ended(run: subprocess.Popen[str], code: int = 0) -> str:
    said = run.communicate(timeout=90)[1]
    assert run.returncode == code, said
    return said


def test_a_job_runs_on_an_array_and_its_results_are_those_of_this_machine(tmp_path: Path, slurm: Scheduler) -> None:
    make_images(tmp_path / "images", 5)
    said = ended(command(slurm, "images", "results", "--max-workers", "2"))
    assert "5 images in 5 tasks" in said and "Results are in" in said
    assert "--array=1-2" in (slurm.folder / "1.script").read_text()
    here = cellfleet.segment(tmp_path / "images" / "a03.tif", model="otsu").labels
    assert np.array_equal(tifffile.imread(tmp_path / "results" / "a03_labels.tif"), here)
    assert json.loads((tmp_path / "results" / "run.json").read_text())["status"] == "done"
    slurm.wait_idle(60)  # workers go by themselves


def test_a_second_data_set_runs_on_the_warm_workers(tmp_path: Path, slurm: Scheduler) -> None:
    for name in ("first", "second"):
        make_images(tmp_path / name, 2)
    ended(command(slurm, "first", "out-1", "--max-workers", "1", idle=90))
    ended(command(slurm, "second", "out-2", "--max-workers", "1", idle=90))
    assert slurm.jobs() == 1, "no further workers were asked for"
    assert len(list((tmp_path / "out-2").glob("*_labels.tif"))) == 2


def test_workers_are_warmed_before_the_images_are_listed(tmp_path: Path, slurm: Scheduler) -> None:
    run = command(slurm, "not-there-yet", "out", "--max-workers", "2", "--min-workers", "1")
    said = ended(run, 4)
    assert "E101" in said or "not-there-yet" in said
    assert "--array=1-1" in (slurm.folder / "1.script").read_text()


def test_detached_the_same_command_finds_the_job_again(tmp_path: Path, slurm: Scheduler) -> None:
    make_images(tmp_path / "images", 3)
    assert "is on its way" in ended(command(slurm, "images", "out", "--max-workers", "1", "--detach"))
    said = ended(command(slurm, "images", "out", "--max-workers", "1"))
    assert "Results are in" in said and "images in" not in said, "it is the same job, whether it is done yet or goes on"
    assert slurm.jobs() <= 2 and len(list((tmp_path / "out").glob("*_labels.tif"))) == 3


def test_an_unreadable_image_is_told_and_the_others_stand(tmp_path: Path, slurm: Scheduler) -> None:
    make_images(tmp_path / "images", 2)
    (tmp_path / "images" / "broken.tif").write_bytes(b"II*\0 no image")
    ended(command(slurm, "images", "out", "--max-workers", "1"), 3)
    assert len(list((tmp_path / "out").glob("*_labels.tif"))) == 2
    assert "broken" in (tmp_path / "out" / "failures.csv").read_text()


def test_machines_that_are_taken_away_cost_nothing_but_time(tmp_path: Path, slurm: Scheduler, seed: int) -> None:
    make_images(tmp_path / "images", 24)
    rng = random.Random(seed)
    run = command(slurm, "images", "out", "--max-workers", "3", idle=12)
    out, until = tmp_path / "out", time.monotonic() + 120
    wait_for = rng.randrange(1, 20)
    while len(list(out.glob("*_labels.tif"))) < wait_for:
        assert time.monotonic() < until, slurm.logs()
        time.sleep(0.02)
    victims = rng.sample(slurm.running(), rng.choice((1, 2)))
    for pid in victims:
        slurm.kill(pid)
    ended(run)
    assert len(list(out.glob("*_labels.tif"))) == 24
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "done" and len(record["images"]) == 24
    for number in rng.sample(range(24), 4):
        here = cellfleet.segment(tmp_path / "images" / f"a{number:02}.tif", model="otsu").labels
        assert np.array_equal(tifffile.imread(out / f"a{number:02}_labels.tif"), here)
