"""A job from its request to its summary: desk, ledger, workers and keeper, without HTTP."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellfleet.cli import main
from cellfleet.errors import InputError, JobError, UsageError
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.keeper import Keeper
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.jobs.work import Patience, work
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.results.record import load_run_record
from cellfleet.spec.http import Job, JobRequest, Quota
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace
from cellfleet.worker.bench import Bench
from cellfleet.worker.tasks import Runner
from tests.services import wait_until

OTSU = SegmentSpec(model="otsu")
NO_QUOTA = Quota()


@dataclass
class House:
    """All parts of a service but HTTP."""

    store: FolderPlace
    ledger: Ledger
    desk: Desk
    keeper: Keeper

    def submit(self, *inputs: str, **more: object) -> Job:
        request = JobRequest.model_validate({"inputs": inputs, "segment": OTSU, **more})
        return self.desk.submit(request, "ann", NO_QUOTA)

    def work_off(self, tries: int = 1) -> None:
        bench = Bench(WarmModels(self.desk.models, "cpu"), 2, None)
        runner = Runner(self.store, self.ledger.spec, bench)
        for _ in range(tries):
            work(self.ledger, runner, stop=threading.Event(), patience=Patience(idle=0.3), at_once=2)
        bench.clear()

    def ended(self, job: Job) -> Job:
        wait_until(lambda: self.desk.job(job.id).summarised, f"job {job.id} ends")
        return self.desk.job(job.id)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = FolderPlace(tmp_path / "store")
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-") as short, private_server(Path(short) / "l") as server:
        ledger = Ledger(server.url, lease_seconds=1)
        desk = Desk(store, ledger, Repository(store, tmp_path / "cache"))
        keeper = Keeper(desk)
        keeper.start()
        yield House(store, ledger, desk, keeper)
        keeper.stop()
        ledger.close()


def write(path: Path, seed: int = 0, side: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    image = random.integers(0, 30, (side, side), dtype=np.uint16)
    for y, x in random.integers(5, side - 5, (6, 2)):
        image[y - 3 : y + 3, x - 3 : x + 3] += 200
    tifffile.imwrite(path, image)


NAMES = ("plate/a.tif", "plate/b, µ 😀.tif", "plate/sub/a.tif", "c.tif")


@pytest.fixture
def uploads(house: House) -> Path:
    folder = house.store.path / "uploads" / "one"
    for seed, name in enumerate(NAMES):
        write(folder / name, seed)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cellfleet" not in path.parts and path.name not in {"run.json", "report.html"}
    }


def test_results_are_those_of_a_run_on_this_machine(house: House, uploads: Path, tmp_path: Path) -> None:
    job = house.submit("set:one", name="two plates")
    assert (job.state, job.progress.images, job.progress.listed, job.owner) == ("queued", 4, True, "ann")
    house.work_off()
    job = house.ended(job)
    assert job.state == "done"
    assert (job.progress.images_done, job.progress.images_failed, job.progress.pixels) == (4, 0, 4 * 3600)
    assert main(["segment", str(uploads), "-o", str(tmp_path / "here"), "--model", "otsu"]) == 0
    results = house.store.path / "results" / job.id
    assert files(results) == files(tmp_path / "here")
    run = load_run_record(house.desk.results(job.id))
    assert run is not None and run.status == "done" and [image.image for image in run.images] == sorted(NAMES)
    assert job.progress.objects == sum(image.objects for image in run.images) > 0
    assert [(image.number, image.status) for image in house.desk.images(job.id, start=2)] == [(2, "done"), (3, "done")]
    assert not [name for name in house.store.names("requests")]


def test_an_image_that_cannot_be_read_costs_only_itself_and_may_be_tried_again(house: House, uploads: Path) -> None:
    (uploads / "c.tif").write_bytes(b"no image")
    job = house.submit("set:one")
    house.work_off()
    job = house.ended(job)
    assert (job.state, job.progress.images_done, job.progress.images_failed) == ("failed", 3, 1)
    (dead,) = house.desk.dead(job.id)
    assert dead.attempts == 1 and "c.tif" in dead.reason
    run = load_run_record(house.desk.results(job.id))
    assert run is not None and run.status == "done-with-failures"
    assert [image.error.code for image in run.images if image.error] == [dead.code]
    write(uploads / "c.tif")
    assert house.desk.retry(job.id) == 1
    assert house.desk.job(job.id).progress.images_failed == 0
    house.work_off()
    job = house.ended(job)
    assert (job.state, job.progress.images_done, job.progress.images_failed) == ("done", 4, 0)
    wait_until(lambda: not house.ledger.ended(), "the summary is written anew")
    run = load_run_record(house.desk.results(job.id))
    assert run is not None and run.status == "done" and not any(image.error for image in run.images)


def test_a_request_with_nothing_to_do_is_refused_and_leaves_nothing(house: House) -> None:
    (house.store.path / "uploads" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="E101"):
        house.submit("set:empty")
    with pytest.raises(JobError, match="E817"):
        house.submit("set:../../etc")
    assert list(house.desk.jobs()) == []
    assert not [name for folder in ("requests", "jobs", "tasks") for name in house.store.names(folder)]


def test_a_request_that_was_cut_short_is_gone_on_with(house: House, uploads: Path) -> None:
    job = house.submit("set:one")
    house.desk.cancel(job.id)
    from cellfleet.jobs import manifest

    again = house.desk.spec(job.id).model_copy(update={"id": "cut-short"})
    manifest.write_request(house.store, again)
    house.keeper.recover()
    wait_until(lambda: house.ledger.told("cut-short") == 4, "the request is brought in")
    house.work_off()
    assert house.ended(house.desk.job("cut-short")).state == "done"


def test_a_wiped_ledger_is_built_again_and_nothing_is_done_twice(house: House, uploads: Path) -> None:
    done, open_ = house.submit("set:one"), None
    house.work_off()
    house.ended(done)
    open_ = house.submit("set:one")
    results = house.store.path / "results" / done.id
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*_labels.tif")}
    house.ledger._client.flushall()
    house.keeper.recover()
    wait_until(lambda: house.ledger.told(open_.id) == 4, "the ledger knows the jobs again")
    house.work_off()
    assert house.ended(open_).state == house.ended(done).state == "done"
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*_labels.tif")} == before


def test_pause_resume_cancel_and_removal(house: House, uploads: Path) -> None:
    job = house.submit("set:one")
    house.desk.pause(job.id)
    house.work_off()
    assert house.desk.job(job.id).state == "paused" and house.desk.job(job.id).progress.images_done == 0
    house.desk.resume(job.id)
    house.work_off()
    assert house.ended(job).state == "done"
    for refused in (house.desk.pause, house.desk.resume, house.desk.cancel):
        with pytest.raises(JobError, match="E812"):
            refused(job.id)
    other = house.submit("set:one")
    with pytest.raises(JobError, match="E812"):
        house.desk.remove(other.id)
    house.desk.cancel(other.id)
    assert house.ended(other).state == "cancelled"
    house.desk.remove(other.id)
    house.desk.expire(job.id, 0)
    house.keeper._remove_expired()
    assert list(house.desk.jobs()) == []
    assert not list(house.store.names("results")) and not list(house.store.names("jobs"))


def test_a_request_that_is_repeated_means_the_same_job(house: House, uploads: Path) -> None:
    first, second = house.submit("set:one", key="k"), house.submit("set:one", key="k")
    assert first.id == second.id != house.submit("set:one", key="l").id


def test_results_of_another_run_are_not_written_over(house: House, uploads: Path, tmp_path: Path) -> None:
    out = (tmp_path / "out").as_uri()
    job = house.submit("set:one", out=out)
    house.work_off()
    house.ended(job)
    assert (tmp_path / "out" / "c_labels.tif").exists()
    with pytest.raises(UsageError, match="E819"):
        house.submit("set:one", out=out)
