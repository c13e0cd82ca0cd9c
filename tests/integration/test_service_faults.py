"""Any process of a service dies at any moment, its disk is full, its store fails: each image has its one result.

`pytest tests/integration/test_service_faults.py --seeds 20` is the long form.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.faulty.sitecustomize import DEADLY, FULL, PACE, SIDE
from tests.fleets import START_SECONDS, Fleet
from tests.ledgers import keys
from tests.servers import S3
from tests.support import discs, results, segment
from tests.troubled import TROUBLES, TroubledWay

from cellfleet.jobs.keys import ABOUT, JOBS, PRIORITIES, STREAM, stray
from cellfleet.jobs.training_files import BEATS as TRAINERS
from cellfleet.results.record import load_run_record
from cellfleet.spec.http import DeadTasks, JobImages
from cellfleet.stores.atomic import is_temporary
from cellfleet.stores.place import FolderPlace

pytestmark = pytest.mark.slow

EVENTS = 6
LIMIT_SECONDS = 300
IMAGES = 44
"""More than the first 32, each of which is a task of its own."""
LARGE = "large µ.tif"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = metafunc.config.getoption("seeds")
    all_of_them = metafunc.function is test_each_image_has_one_result_whatever_dies
    metafunc.parametrize("seed", range(seeds if all_of_them else max(seeds // 2, 1)))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with names that are hard on separators and encodings, and a large one that is done in shares."""
    folder = tmp_path_factory.mktemp("images") / "plate 1, µ"
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        path = folder / f"well {'AB'[number % 2]}1, field µ 🦠" / f"{number:02}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.roll(discs(), random.integers(0, 30, 2), (0, 1)))
    tifffile.imwrite(folder / LARGE, np.tile(discs(SIDE, SIDE), (5, 5)))
    return folder


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Labels and tables of a run on this machine."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert segment(plate, "-o", out, "--format", "labels-tiff", "--format", "csv") == 0
    found = results(out)
    assert len(found) == 2 * (IMAGES + 1)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cf-") as name:  # a test's own folder may be too deep for a socket
        yield Path(name)


def test_each_image_has_one_result_whatever_dies(
    folder: Path, plate: Path, undisturbed: dict[str, bytes], seed: int
) -> None:
    with contextlib.closing(Fleet(folder, seed, **{PACE: "0.3"})) as fleet:
        first = fleet.submit(str(plate), key="first", priority="batch")
        happened = [fleet.happen()]
        second = fleet.submit(str(plate), key="second")
        while len(happened) < EVENTS and not fleet.ended(first):
            happened.append(fleet.happen())
            pass_time(fleet, first, second)
        assert len(happened) > EVENTS // 2, "the jobs were over before much had happened"
        for job in (first, second):
            fleet.until(partial(fleet.ended, job), f"job {job} ends after {happened}", LIMIT_SECONDS)
            check(fleet, job, undisturbed)
        check_nothing_is_left(fleet, first, second)


def test_deadly_images_end_on_the_dead_list_and_block_nothing(
    folder: Path, plate: Path, undisturbed: dict[str, bytes], seed: int
) -> None:
    sick = folder / "sick"
    shutil.copytree(plate, sick)
    deadly = {"a deadly, µ.tif", "z deadly 💀.tif"}  # one is a task of its own, one is in a bundle
    for name in deadly:
        tifffile.imwrite(sick / name, discs())
    (sick / "broken.tif").write_text("no image")
    with contextlib.closing(Fleet(folder, seed, **{PACE: "0.1", DEADLY: "deadly"})) as fleet:
        job = fleet.submit(str(sick), key="sick")
        pass_time(fleet, job)
        other = fleet.submit(str(plate), key="well", priority="interactive")
        fleet.freeze_worker()
        fleet.until(partial(fleet.ended, other), "the other job ends", LIMIT_SECONDS)
        check(fleet, other, undisturbed)
        fleet.until(partial(fleet.ended, job), "the job with deadly images ends", LIMIT_SECONDS)
        codes = check(fleet, job, undisturbed, failed=frozenset({*deadly, "broken.tif"}))
        assert codes == {"a deadly, µ.tif": "E814", "z deadly 💀.tif": "E820", "broken.tif": "E105"}
        check_nothing_is_left(fleet, job, other)


def test_a_full_disk_is_waited_for(folder: Path, plate: Path, undisturbed: dict[str, bytes], seed: int) -> None:
    with (
        small_disk(folder / "data", real=seed % 2 == 0) as disk,
        contextlib.closing(Fleet(folder, seed, **disk.environment)) as fleet,
    ):
        first = fleet.submit(str(plate), key="first")
        pass_time(fleet, first)
        disk.fill()
        pass_time(fleet, first, seconds=fleet.random.uniform(1, 4))
        disk.clear()
        second = fleet.submit(str(plate), key="second")
        for job in (first, second):
            fleet.until(partial(fleet.ended, job), f"job {job} ends", LIMIT_SECONDS)
            check(fleet, job, undisturbed)
        check_nothing_is_left(fleet, first, second)


def test_a_store_in_trouble_is_waited_for(
    folder: Path, plate: Path, undisturbed: dict[str, bytes], moto: S3, seed: int
) -> None:
    way = TroubledWay(int(moto.endpoint.rpartition(":")[2]))
    bucket = moto.new_bucket()
    environment = {**moto.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}", PACE: "0.2"}
    with contextlib.closing(way), contextlib.closing(Fleet(folder, seed, f"s3://{bucket}", **environment)) as fleet:
        job = fleet.submit(str(plate), key="first")
        for trouble in fleet.random.sample(TROUBLES, len(TROUBLES)):
            pass_time(fleet, job)
            way.trouble = trouble
            pass_time(fleet, job, seconds=fleet.random.uniform(1, 3))
            way.trouble = "none"
        fleet.until(partial(fleet.ended, job), "the job ends", LIMIT_SECONDS)
        mirror(moto, bucket, fleet.data / "store")
        check(fleet, job, undisturbed)
        assert moto.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def pass_time(fleet: Fleet, *jobs: str, seconds: float | None = None) -> None:
    """Let time go by; meanwhile the jobs are there whenever somebody asks."""
    until = time.monotonic() + (seconds or fleet.random.uniform(0.2, 1.5))
    fleet.until(lambda: [fleet.job(job) for job in jobs] and time.monotonic() > until, "time goes by", START_SECONDS)


@dataclass
class SmallDisk:
    """A disk that can be filled."""

    fill: Callable[[], object]
    clear: Callable[[], object]
    environment: dict[str, str]


@contextlib.contextmanager
def small_disk(folder: Path, *, real: bool) -> Iterator[SmallDisk]:
    """Yield a disk at `folder`: a real small one where this user may mount it, else one that says that it is full."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "small", str(folder)]
    mounted = real and os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    ballast = folder / "ballast" if mounted else folder.with_name("full")
    if not mounted:
        yield SmallDisk(ballast.touch, ballast.unlink, {FULL: str(ballast), PACE: "0.2"})
        return
    try:
        yield SmallDisk(lambda: fill(ballast), ballast.unlink, {PACE: "0.2"})
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def mirror(s3: S3, bucket: str, folder: Path) -> None:
    """Copy a bucket into a folder."""
    for page in s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            path = folder / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())


def check(
    fleet: Fleet, job: str, expected: dict[str, bytes], *, failed: frozenset[str] = frozenset()
) -> dict[str, str]:
    """See that a job has ended with exactly these results and failures; return why these failed."""
    found = fleet.job(job)
    assert found is not None
    done = len(expected) // 2
    progress = found.progress
    dead = DeadTasks.model_validate(fleet.client.get(f"/api/v1/jobs/{job}/dead").json())
    assert found.state == ("failed" if failed else "done"), [task.reason for task in dead.tasks]
    assert (progress.images, progress.tasks_running) == (done + len(failed), 0)
    assert progress.tasks_done + progress.tasks_dead == progress.tasks
    out = fleet.data / "store" / "results" / job
    assert results(out) == expected
    run = load_run_record(FolderPlace(out))
    assert run is not None
    names = [image.image for image in run.images]
    assert len(set(names)) == len(names) == done + len(failed)
    assert {image.image for image in run.images if image.status == "failed"} == failed
    page = JobImages.model_validate(fleet.client.get(f"/api/v1/jobs/{job}/images", params={"limit": 1000}).json())
    assert [image.number for image in page.images] == list(range(done + len(failed)))
    assert {image.image for image in page.images if image.status != "done"} == failed
    assert len(dead.tasks) == progress.tasks_dead == len(failed)
    return {image.image: image.error.code for image in run.images if image.error is not None}


def check_nothing_is_left(fleet: Fleet, *jobs: str) -> None:
    """See that nothing is stranded: no task, key, request or temporary file; and nothing at all without the jobs."""
    with fleet.ledger() as ledger:
        assert set(ledger.depths().values()) == {(0, 0)}
        assert stray(keys(ledger)) == []
    store = fleet.data / "store"
    assert [path for path in store.rglob("*") if is_temporary(path.name)] == []
    assert list(store.glob("requests/*")) == list(store.glob("incoming/*")) == []
    for job in jobs:
        assert fleet.client.delete(f"/api/v1/jobs/{job}").status_code == 204
    with fleet.ledger() as ledger:
        kept = {ABOUT(), "cellfleet:swept", JOBS(), *(STREAM(priority=priority) for priority in PRIORITIES)}
        assert set(keys(ledger)) <= kept
    rest = [path.relative_to(store) for path in store.rglob("*") if path.is_file()]
    assert {path.parts[0] for path in rest} <= {"access", "bills", "lease", "models", "speeds", "training"}, rest
    assert all(path.is_relative_to(TRAINERS) for path in rest if path.parts[0] == "training"), "they wait for a run"
