"""What is to do stands in manifests: a ledger that lost some or all of its memory is made to agree with them."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledgers import a_job, a_task, counts, each_program, redis_of, tasks_of, wipe

from cellfleet.errors import JobError
from cellfleet.jobs import manifest as manifest_module
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import (
    hold,
    list_expires,
    list_manifests,
    list_requests,
    read_expires,
    read_manifest,
    read_problem,
    read_request,
    read_tasks,
    read_tasks_from_image,
    recover,
    remove_manifest,
    remove_problem,
    remove_request,
    write_expires,
    write_manifest,
    write_problem,
    write_request,
)
from cellfleet.jobs.server import private_server, start_server
from cellfleet.spec.job import Done, JobSpec, Task
from cellfleet.spec.record import Told
from cellfleet.spec.segment import Shard
from cellfleet.stores.place import FolderPlace, Place, open_place

PROBLEM = Told(code="E101", what="no images were found", where="set:µ", action="Upload some")


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


# --- beside manifests ------------------------------------------------------------------------------------------------


def test_what_is_written_beside_a_manifest_is_read_back_and_goes_with_it(place: FolderPlace) -> None:
    for name in ("one", "two"):
        job = written(place, name, 3)
        assert (read_request(place, name), read_problem(place, name), read_expires(place, name)) == (None, None, None)
        write_request(place, job)
        write_problem(place, name, PROBLEM)
        write_expires(place, name, 1_763_850_000_123)
        hold(place, name, "paused")
        assert read_request(place, name) == job
        assert (read_problem(place, name), read_expires(place, name)) == (PROBLEM, 1_763_850_000_123)
    for listed in (list_expires, list_manifests):
        assert sorted(listed(place)) == ["one", "two"]
    assert list(list_requests(place)) == [], "nothing will come of one with a problem"
    remove_problem(place, "one")
    assert read_problem(place, "one") is None and read_problem(place, "two") == PROBLEM
    assert list(list_requests(place)) == ["one"]
    remove_request(place, "one")
    assert list(list_requests(place)) == []
    for name in ("one", "one", "two"):
        remove_manifest(place, name)
    assert list(place.names()) == []


@pytest.mark.parametrize(
    ("name", "read"),
    [("requests/job.json", read_request), ("jobs/job.problem", read_problem), ("jobs/job.expires", read_expires)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_damaged_beside_a_manifest_is_named(place: FolderPlace, name: str, read: Callable) -> None:
    place.write(name, b"-")
    with pytest.raises(JobError, match=rf"{name}.*E813"):
        read(place, "job")


def test_requests_are_announced_again_after_a_loss(place: FolderPlace, ledger: Ledger) -> None:
    for name, how in (("plain", None), ("paused", "paused"), ("cancelled", "cancelled"), ("empty", None)):
        write_request(place, a_job(name, owner="ann"))
        hold(place, name, how)
    write_problem(place, "empty", PROBLEM)
    written(place, "listed", 2)
    write_request(place, a_job("listed"))  # its tasks are written; nobody came to remove this
    for _ in range(2):
        assert recover(place, ledger, nothing_stands) == ["cancelled", "empty", "listed", "paused", "plain"]
        assert recover(place, ledger, nothing_stands) == []
        states = {job: (ledger.progress(job).state, ledger.progress(job).total) for job in ledger.jobs()}
        assert states == {
            "plain": ("queued", None),
            "paused": ("paused", None),
            "cancelled": ("cancelled", None),
            "empty": ("failed", None),
            "listed": ("queued", 2),
        }
        assert ledger.running("ann") == 2
        wipe(ledger)


def test_a_job_that_was_given_up_before_its_tasks_were_written_is_queued(place: FolderPlace, ledger: Ledger) -> None:
    ledger.announce(a_job())
    ledger.fail("job")
    written(place, "job", 2)
    assert recover(place, ledger, nothing_stands) == ["job"]
    assert ledger.progress("job").state == "queued" and ledger.progress("job").queued == 2


def bundles_and_shares(job: JobSpec, sizes: list[int]) -> Iterator[Task]:
    """Yield a bundle of n images for each n, and for each -n the n shares of one image."""
    number = image = 0
    for size in sizes:
        for share in range(1, max(-size, 1) + 1):
            task = a_task(job, number)
            images = task.images * max(size, 1)
            shard = Shard(number=share, count=-size) if size < 0 else None
            yield task.model_copy(update={"first_image": image, "images": images, "share": shard})
            number += 1
        image += max(size, 1)


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(1, 4) | st.integers(-9, -1), max_size=25))
def test_tasks_are_found_by_the_number_of_an_image(sizes: list[int]) -> None:
    job = a_job()
    expected = list(bundles_and_shares(job, sizes))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_module, "CHUNK", 4)
        place = FolderPlace(Path(folder))
        manifest = write_manifest(place, job, expected).model_copy(update={"tasks_per_file": 4})
        assert manifest.images == sum(max(size, 1) for size in sizes)
        for image in range(manifest.images + 2):
            ends = [task.first_image + len(task.images) > image for task in expected]
            first = ends.index(True) if True in ends else len(expected)
            assert list(read_tasks_from_image(place, manifest, image)) == expected[first:]


def test_an_image_of_a_large_job_is_found_with_few_reads(place: FolderPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(place, written(place, "job", 64_000).id)
    names: list[str] = []
    read = FolderPlace.read

    def noted(self: FolderPlace, name: str) -> bytes | None:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(FolderPlace, "read", noted)
    for image in (0, 31_999, 63_500):
        names.clear()
        assert next(read_tasks_from_image(place, manifest, image)).first_image == image
        assert len(names) <= 8


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
    written(place, "later", 1)
    with pytest.raises(JobError, match=rf"{name}.*E813"):
        recover(place, ledger, nothing_stands)
    assert ledger.told("later") == 1
    place.write(name, content)
    assert recover(place, ledger, nothing_stands) == [job.id]
    assert counts(ledger.progress(job.id)) == {"queued": 1500}
