"""What is to do stands in manifests: a ledger that lost some or all of its memory is made to agree with them."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from tests.ledgers import a_job, a_task, counts, each_program, redis_of, tasks_of, wipe

from cellfleet.errors import JobError
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import (
    hold,
    list_manifests,
    read_manifest,
    read_tasks,
    recover,
    remove_manifest,
    write_manifest,
)
from cellfleet.jobs.server import private_server, start_server
from cellfleet.spec.job import Done, JobSpec
from cellfleet.stores.place import FolderPlace, Place, open_place


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path)


def nothing_stands(_: JobSpec):
    return lambda _: False


def first_half_stands(_: JobSpec):
    return lambda task: task.number < 600


def written(place: Place, name: str, count: int) -> JobSpec:
    job = a_job(name)
    assert write_manifest(place, job, tasks_of(job, count)).tasks == count
    return job


@pytest.mark.parametrize("count", [0, 1, 1000, 2345])
def test_tasks_are_read_back_from_anywhere(place: FolderPlace, count: int) -> None:
    job = written(place, "job", count)
    manifest = read_manifest(place, job.id)
    assert manifest.job == job and list(list_manifests(place)) == [job.id]
    expected = list(tasks_of(job, count))
    for start in (0, 1, 999, 1000, 1001, count):
        assert list(read_tasks(place, manifest, start=start)) == expected[start:]


def test_a_bucket_keeps_manifests_too(bucket: str, ledger: Ledger) -> None:
    place = open_place(f"{bucket}/service")
    job = written(place, "job", 5)
    assert recover(place, ledger, nothing_stands) == [job.id]
    hold(place, job.id, "paused")
    assert recover(place, ledger, nothing_stands) == [] and ledger.progress(job.id).state == "paused"
    remove_manifest(place, job.id)
    assert list(place.names()) == []


def test_a_job_whose_writing_was_cut_short_was_never_submitted(place: FolderPlace, ledger: Ledger) -> None:
    job = a_job()

    def cut_short():
        yield from tasks_of(job, 2500)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_manifest(place, job, cut_short())
    assert list(list_manifests(place)) == [] and recover(place, ledger, nothing_stands) == []
    with pytest.raises(JobError, match="E810"):
        read_manifest(place, job.id)


def test_a_million_tasks_would_fit_into_little_memory(place: FolderPlace) -> None:
    job = a_job()
    task = a_task(job, 0, "x" * 1000)
    tasks = (task.model_copy(update={"number": number, "first_image": number}) for number in range(20_000))
    tracemalloc.start()
    manifest = write_manifest(place, job, tasks)
    assert sum(1 for _ in read_tasks(place, manifest)) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000  # 20 MB in all


def test_a_wiped_ledger_is_rebuilt_without_what_is_done(place: FolderPlace, ledger: Ledger) -> None:
    job = written(place, "job", 1200)
    assert recover(place, ledger, nothing_stands) == [job.id]
    assert recover(place, ledger, nothing_stands) == []
    wipe(ledger)
    assert recover(place, ledger, first_half_stands) == [job.id]
    assert counts(ledger.progress(job.id)) == {"queued": 600, "done": 600}
    lease = ledger.claim("w")
    assert lease is not None and lease.task.number == 600


def test_a_submission_that_was_cut_short_is_finished(place: FolderPlace, ledger: Ledger) -> None:
    job = written(place, "job", 2600)
    with pytest.raises(StopAsyncIteration):
        ledger.submit(job, stopping(job, 1300))
    assert ledger.told(job.id) == 1000
    assert recover(place, ledger, first_half_stands) == [job.id]
    assert counts(ledger.progress(job.id)) == {"queued": 2600}, "what was told before is not told again"


@pytest.mark.parametrize("program", each_program())
def test_what_a_server_lost_in_its_last_second_is_done_again(place: FolderPlace, program: Path) -> None:
    job = written(place, "job", 700)
    done: list[int] = []

    def work(ledger: Ledger, count: int) -> None:
        while len(done) < count and (lease := ledger.claim("w")):
            done.append(lease.task.number)
            assert ledger.acknowledge(lease, Done())

    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        server = start_server(Path(folder), program=program)
        ledger = Ledger(server.url)
        with pytest.raises(StopAsyncIteration):
            ledger.submit(job, stopping(job, 600))
        work(ledger, 3)
        (file,) = (path for path in Path(folder).rglob("*") if path.name.endswith((".incr.aof", "appendonly.aof")))
        on_disk = file.stat().st_size
        recover(place, ledger, nothing_stands)
        work(ledger, 8)
        server.process.kill()
        server.process.wait()
        server.stop()
        os.truncate(file, on_disk)
        with private_server(Path(folder), program=program) as server:
            assert server.notices == () and (ledger.told(job.id), ledger.progress(job.id).done) == (500, 3)
            standing = set(done)
            assert recover(place, ledger, lambda _: lambda task: task.number in standing) == [job.id]
            work(ledger, 10_000)
            assert ledger.progress(job.id).state == "done" and ledger.progress(job.id).done == 700
            ledger.close()
    assert sorted(done) == sorted([*range(700), *done[3:8]]), "what was acknowledged in that second is done again"


def stopping(job: JobSpec, at: int):
    yield from tasks_of(job, at)
    raise StopAsyncIteration


def test_pauses_and_cancellations_outlast_the_ledger(place: FolderPlace, ledger: Ledger) -> None:
    for name, how in (("paused", "paused"), ("cancelled", "cancelled"), ("running", None)):
        hold(place, written(place, name, 3).id, how)
    assert recover(place, ledger, nothing_stands) == ["cancelled", "paused", "running"]
    assert ledger.progress("cancelled").state == "cancelled", "it is still in the lists"
    lease = ledger.claim("w")
    assert lease is not None and lease.task.job == "running"
    hold(place, "running", "cancelled")
    hold(place, "paused", None)
    assert recover(place, ledger, nothing_stands) == []
    assert {name: ledger.progress(name).state for name in ("paused", "running")} == {
        "paused": "queued",
        "running": "cancelled",
    }


def test_a_resumption_that_was_cut_short_is_finished(place: FolderPlace, ledger: Ledger) -> None:
    job = written(place, "job", 3)
    recover(place, ledger, nothing_stands)
    ledger.pause(job.id)
    assert ledger.claim("w") is None
    redis_of(ledger).hset(f"cellfleet:job:{job.id}", "state", "queued")  # the first half of `resume`
    assert ledger.claim("w") is None
    recover(place, ledger, nothing_stands)
    while lease := ledger.claim("w"):
        assert ledger.acknowledge(lease, Done())
    assert ledger.progress(job.id).state == "done"


@pytest.mark.parametrize("damage", ["gone", "short", "changed", "other job", "head"])
def test_a_damaged_manifest_is_named(place: FolderPlace, ledger: Ledger, damage: str) -> None:
    job = written(place, "job", 1500)
    name = "jobs/job.json" if damage == "head" else "tasks/job/000001000.jsonl"
    content = place.read(name)
    assert content is not None
    changed = {
        "gone": None,
        "short": content[:-200],
        "changed": content.replace(b'"number":1100', b'"number":"x"'),
        "other job": content.replace(b'"job":"job"', b'"job":"another"'),
        "head": b"{}",
    }[damage]
    if changed is None:
        place.remove(name)
    else:
        place.write(name, changed)
    with pytest.raises(JobError, match=rf"{name}.*E813"):
        recover(place, ledger, nothing_stands)
    place.write(name, content)
    assert recover(place, ledger, nothing_stands) == [job.id]
    assert counts(ledger.progress(job.id)) == {"queued": 1500}
