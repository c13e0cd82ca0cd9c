"""A job from its request to its summary: desk, ledger, workers and keeper, without HTTP."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.services import wait_until
from tests.worked import runner_of

from cellfleet.cli import main
from cellfleet.errors import InputError, JobError, LedgerError, OutputError, UsageError
from cellfleet.jobs import keeper, manifest, split
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.keeper import Keeper
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.jobs.work import Patience, Run, work
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.results.record import load_run_record
from cellfleet.run import process
from cellfleet.spec.access import Quota
from cellfleet.spec.http import Job, JobRequest
from cellfleet.spec.job import Done, Failed
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores import atomic
from cellfleet.stores.place import FolderPlace
from cellfleet.tiling.blocks import blocks
from cellfleet.worker import tasks
from cellfleet.worker.bench import Bench

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

    def runner(self) -> Run:
        return runner_of(self.store, self.ledger, Bench(WarmModels(self.desk.models, "cpu"), 2, None))

    def work_off(self) -> None:
        work(self.ledger, self.runner(), stop=threading.Event(), patience=Patience(idle=0.3), at_once=2)

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
    assert not list(house.store.names("requests"))


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


def test_a_request_with_nothing_to_do_is_refused_and_leaves_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    (house.store.path / "uploads" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="E101"):
        house.submit("set:empty")
    with pytest.raises(JobError, match="E817"):
        house.submit("set:../../etc")
    assert all(code in caplog.text for code in ("[E101]", "[E817]"))
    assert house.desk.page()[0] == []
    assert not [name for folder in ("requests", "jobs", "tasks") for name in house.store.names(folder)]


def test_a_request_that_was_cut_short_is_gone_on_with(house: House, uploads: Path) -> None:
    job = house.submit("set:one")
    house.desk.cancel(job.id)
    again = house.desk.spec(job.id).model_copy(update={"id": "cut-short"})
    manifest.write_request(house.store, again)
    house.keeper.recover()
    wait_until(lambda: house.ledger.told("cut-short") == 4, "the request is brought in")
    house.work_off()
    assert house.ended(house.desk.job("cut-short")).state == "done"


def test_a_wiped_ledger_is_built_again_and_nothing_is_done_twice(house: House, uploads: Path) -> None:
    done = house.submit("set:one")
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


def test_a_job_that_the_ledger_lost_is_not_said_to_be_gone(house: House, uploads: Path) -> None:
    job = house.submit("set:one")
    house.ledger._client.flushall()
    with pytest.raises(LedgerError, match="E829"):
        house.desk.job(job.id)
    with pytest.raises(JobError, match="E810"):
        house.desk.job("no-such-job")
    house.keeper.recover()
    wait_until(lambda: house.ledger.told(job.id) == 4, "the ledger knows the job again")
    assert house.desk.job(job.id).state == "queued"


def test_a_second_loss_while_the_ledger_is_built_again_is_not_missed(
    house: House, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, losses = house.submit("set:one"), [1]
    recover = keeper.recover_all

    def lost_again(desk: Desk) -> list[str]:
        found = recover(desk)
        if losses:
            losses.clear()
            house.ledger._client.flushall()
            house.keeper.recover()
        return found

    monkeypatch.setattr(keeper, "recover_all", lost_again)
    house.keeper.recover()
    wait_until(lambda: not losses and house.ledger.told(job.id) == 4, "the ledger knows the job again")


def test_what_killed_processes_left_half_written_is_removed(house: House, uploads: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    job = house.submit("set:one")
    left = [
        house.store.path / folder / f".cellfleet-{atomic._host()}-{dead.pid}-x.part" for folder in ("jobs", "tasks")
    ]
    left.append(house.store.path / "results" / job.id / "plate" / left[0].name)
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    house.keeper.recover()
    house.work_off()
    house.ended(job)
    wait_until(lambda: not any(path.exists() for path in left), "it is removed")


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
    house.store.write("jobs/0-half-removed.expires", b"0")
    house.keeper._remove_expired()
    assert house.desk.page()[0] == []
    assert not list(house.store.names("results")), "one that cannot be removed keeps no other"
    assert list(house.store.names("jobs")) == ["jobs/0-half-removed.expires"]


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


SIDE = 64
"""Of the blocks below, px."""


@pytest.fixture
def shared(house: House, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job of one image that is done in shares of four of its 64 blocks."""
    monkeypatch.setattr(split, "LARGE_BYTES", 1)
    monkeypatch.setattr(split, "SHARE_BLOCKS", 4)
    monkeypatch.setattr(split, "blocks", functools.partial(blocks, side=SIDE))
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=SIDE))
    write(house.store.path / "uploads" / "one" / "large.tif", side=8 * SIDE)
    return house.submit("set:one", formats=("labels-tiff", "csv", "ome-zarr"))


def test_an_image_that_workers_share_is_that_of_one_machine(house: House, shared: Job, tmp_path: Path) -> None:
    assert (shared.progress.tasks, shared.progress.images) == (16, 1)
    house.work_off()
    job = house.ended(shared)
    assert (job.state, job.progress.images_done, job.progress.pixels) == ("done", 1, (8 * SIDE) ** 2)
    image = house.store.path / "uploads" / "one"
    assert main(["segment", str(image), "-o", str(tmp_path / "here"), "--model", "otsu", *FORMATS]) == 0
    results = house.store.path / "results" / job.id
    assert files(results) == files(tmp_path / "here")
    assert {path.name for path in (results / ".cellfleet").iterdir()} == {"records", "thumbnails"}


FORMATS = ("--format", "labels-tiff", "--format", "csv", "--format", "ome-zarr")


def test_shares_that_come_again_change_nothing_and_count_once(house: House, shared: Job) -> None:
    tasks = [lease.task for lease in iter(lambda: house.ledger.claim("lost"), None)]
    runner = house.runner()
    outcomes = [runner(task, 1, lambda: None) for task in tasks]
    assert sum(outcome.tally.images for outcome in outcomes) == 1
    results = house.store.path / "results" / shared.id
    before = files(results)
    again = [runner(task, 2, lambda: None) for task in tasks]
    assert [outcome.tally for outcome in again] == [outcome.tally for outcome in outcomes]
    assert files(results) == before


def test_who_fails_too_late_takes_no_result_away(house: House, uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = house.submit("set:one")
    lease = house.ledger.claim("slow")
    assert lease is not None
    runner, attempt = house.runner(), tasks.attempt

    def done_elsewhere_meanwhile(*given: Any) -> object:
        monkeypatch.setattr(tasks, "attempt", attempt)
        assert isinstance(house.runner()(lease.task, 2, lambda: None), Done)
        (uploads / lease.task.images[0].name).unlink()
        return attempt(*given)

    monkeypatch.setattr(tasks, "attempt", done_elsewhere_meanwhile)
    assert isinstance(runner(lease.task, 1, lambda: None), Failed)
    (image, *_) = house.desk.images(job.id)
    assert image.status == "done"
    assert (house.store.path / "results" / job.id / f"{lease.task.images[0].stem}_labels.tif").exists()


def test_an_image_that_ends_its_worker_is_told_from_its_bundle(
    house: House, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "_UNBUNDLED", 1)
    for seed in range(6):
        write(uploads / f"more{seed}.tif", seed)
    house.submit("set:one")
    bundles = [lease.task for lease in iter(lambda: house.ledger.claim("lost"), None)]
    bundle = max(bundles, key=lambda task: len(task.images))
    assert len(bundle.images) > 2
    poison, attempt = bundle.images[0].name, tasks.attempt

    class Killed(BaseException):
        pass

    @contextlib.contextmanager
    def mark(*given: Any) -> Iterator[None]:
        trials.append(tasks_trial(*given))  # held: else it would end with this generator
        trials[-1].__enter__()
        yield
        trials[-1].__exit__(None, None, None)  # a killed process comes not so far

    def deadly(task: Any, work: Any) -> Any:
        if task.name == poison:
            raise Killed
        return attempt(task, work)

    tasks_trial, trials = tasks.trial, list[Any]()
    monkeypatch.setattr(tasks, "trial", mark)
    monkeypatch.setattr(tasks, "attempt", deadly)
    runner = house.runner()
    for tries in (1, 2, 3):
        with pytest.raises(Killed):
            runner(bundle, tries, lambda: None)
    outcome = runner(bundle, 4, lambda: None)
    assert isinstance(outcome, Failed) and outcome.final and outcome.code == "E820" and poison in outcome.reason
    assert (outcome.tally.images, outcome.tally.failed_images) == (len(bundle.images) - 1, 1)


def test_a_full_disk_is_waited_for(house: House, uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house.submit("set:one")
    lease = house.ledger.claim("patient")
    assert lease is not None
    attempt, seen = tasks.attempt, []

    def full_at_first(*given: Any) -> Any:
        seen.append(given)
        if len(seen) < 3:
            raise OutputError("E301", "the disk is full")
        return attempt(*given)

    monkeypatch.setattr(tasks, "attempt", full_at_first)
    monkeypatch.setattr(tasks, "_FIRST_PAUSE", 0.01)
    signs: list[None] = []
    outcome = house.runner()(lease.task, 1, lambda: signs.append(None))
    assert isinstance(outcome, Done) and len(seen) == 3 and signs


def test_tasks_of_two_models_take_turns(house: House, uploads: Path) -> None:
    jobs = [house.submit("set:one", segment=SegmentSpec(model=model)) for model in ("otsu", "nuclei")]
    house.work_off()
    assert [house.ended(job).state for job in jobs] == ["done", "done"]
