"""An upgrade in the middle of a job loses nothing: docs/decisions/0026-upgrades.md.

`tests/data/messages/v1` holds what 0.1.0 wrote. Those files are never changed; messages of another form get a folder of
their own beside them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.ledgers import a_job, a_task, counts, ledger, open_ledger, redis_of, server, submitted

from cellfleet.errors import JobError
from cellfleet.jobs import manifest
from cellfleet.jobs.ends import Back, Claimed, End
from cellfleet.jobs.keys import GROUP
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import Manifest
from cellfleet.jobs.work import Patience, work
from cellfleet.service.access import _Token, _UserFile
from cellfleet.service.uploads import Upload
from cellfleet.spec.http import UploadSet
from cellfleet.spec.job import DeadTask, Done, Failed, JobSpec, Tally, Task
from cellfleet.spec.newer import read_order
from cellfleet.spec.plan import Speed
from cellfleet.spec.record import ImageRecord, RunRecord, Told
from cellfleet.spec.segment import SegmentSpec
from cellfleet.spec.usage import Usage
from cellfleet.stores.place import open_place

__all__ = ["ledger", "open_ledger", "server"]

V1 = Path(__file__).parents[1] / "data" / "messages" / "v1"
ORDERS: dict[str, type[BaseModel]] = {
    "job": JobSpec,
    "task-of-one-image": Task,
    "task-of-a-bundle": Task,
    "manifest": Manifest,
    "upload": Upload,
    "token": _Token,
    "user": _UserFile,
}
REPORTS: dict[str, type[BaseModel]] = {
    "upload-set": UploadSet,
    "tally": Tally,
    "done": Done,
    "failed": Failed,
    "problem": Told,
    "usage": Usage,
    "speed": Speed,
    "claim": Claimed,
    "given-back": Back,
    "end-done": End,
    "end-dead": End,
    "image-record": ImageRecord,
    "run-record": RunRecord,
}
LATER = {"a_field_of_tomorrow": 1}


class NewerJob(JobSpec):
    """A job that asks for what only tomorrow's workers can do."""

    denoise: bool = True


class NewerTask(Task):
    """A task of which only tomorrow's workers know how to run it."""

    planes: tuple[int, ...] = (1, 2)


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((V1 / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_every_message_of_the_first_version_is_tried() -> None:
    assert {file.stem for file in V1.glob("*.json")} == {*ORDERS, *REPORTS, "ledger"}


@pytest.mark.parametrize(("name", "model"), (ORDERS | REPORTS).items())
def test_what_the_first_version_wrote_is_read_as_it_was_meant(name: str, model: type[BaseModel]) -> None:
    written = stored(name)
    read = model.model_validate_json(json.dumps(written)).model_dump(mode="json")
    assert {field: read[field] for field in written} == written


@pytest.mark.parametrize(("name", "model"), ORDERS.items())
def test_orders_are_written_as_the_first_version_reads_them(name: str, model: type[BaseModel]) -> None:
    """A later field is left out as long as it has its default: `Field(exclude_if=…)`."""
    written = stored(name)
    assert json.loads(model.model_validate(written).model_dump_json()) == written


@pytest.mark.parametrize(("name", "model"), ORDERS.items())
def test_an_order_with_a_later_field_is_refused_as_newer_not_as_damaged(name: str, model: type[BaseModel]) -> None:
    with pytest.raises(JobError) as caught:
        read_order(model, json.dumps(stored(name) | LATER), name)
    assert caught.value.code == "E821"


@pytest.mark.parametrize(("name", "model"), REPORTS.items())
def test_of_a_report_with_a_later_field_the_rest_is_read(name: str, model: type[BaseModel]) -> None:
    written = stored(name)
    assert model.model_validate(written | LATER) == model.model_validate(written)


def test_a_damaged_order_is_not_taken_for_a_newer_one() -> None:
    with pytest.raises(ValueError, match="Field required"):
        read_order(Task, json.dumps({"job": "job", **LATER}), "task")


def test_results_keep_their_keys_so_that_none_is_made_twice() -> None:
    job = JobSpec.model_validate(stored("job"))
    assert SegmentSpec().digest("0" * 64) == "fa4970678e78cfe43dd67997d7fe300b03ab2dad0d41892c30af123f0e545c54"
    assert job.segment.digest(job.model.sha256) == "fde77f2af2e879d78d9a69f85dd197c83b8dd7d879de677b98895ec6f7febdcb"


# --- the ledger -------------------------------------------------------------------------------------------------------


def fill(ledger: Ledger, dump: dict[str, Any]) -> None:
    """Put into an empty server what another version left there."""
    client = redis_of(ledger)
    client.flushall()
    for key, (kind, value) in dump.items():
        if kind == "hash":
            client.hset(key, mapping=value)
        elif kind == "zset":
            client.zadd(key, value)
        elif kind == "set":
            client.sadd(key, *value)
        elif kind == "list":
            client.rpush(key, *value)
        else:
            assert kind == "stream", kind
            fill_stream(client, key, value)


def fill_stream(client: Any, key: str, value: dict[str, Any]) -> None:
    client.xgroup_create(key, GROUP, id="0", mkstream=True)
    for entry, fields in value["entries"]:
        client.xadd(key, fields, id=entry)
    client.xgroup_setid(key, GROUP, value["delivered"])
    for entry, consumer, deliveries in value["pending"]:
        client.execute_command("XCLAIM", key, GROUP, consumer, 0, entry, "RETRYCOUNT", deliveries, "FORCE", "JUSTID")


def test_a_job_that_the_first_version_had_begun_is_ended_by_this_one(open_ledger: Callable[..., Ledger]) -> None:
    fill(open_ledger(), stored("ledger"))
    ledger = open_ledger()
    assert counts(ledger.progress("job-0143")) == {"queued": 2, "leased": 2, "done": 1, "dead": 1}
    assert ledger.progress("job-0143").tally == Tally(images=1, failed_images=1, pixels=100, objects=7)
    assert ledger.progress("job-0143").images == 6
    numbers = []
    while (lease := ledger.claim("new-1", block_ms=600)) is not None:
        numbers.append(lease.task.number)
        assert ledger.acknowledge(lease, Done(tally=Tally(images=1, objects=1)))
    assert sorted(numbers) == [2, 3, 4, 5]
    [dead] = ledger.dead("job-0143")
    assert isinstance(dead, DeadTask)
    assert (dead.task.number, dead.code, dead.worker) == (1, "E203", "old-1-aaaaaa")
    assert ledger.progress("job-0143").state == "failed"
    assert ledger.retry_failed("job-0143") == 1
    ledger.resume("paused-1")
    assert counts(ledger.progress("paused-1")) == {"queued": 1}


def test_a_job_may_be_told_again_by_a_version_with_other_words_for_it(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 2)
    key = "cellfleet:job:job"
    redis_of(ledger).hset(key, "spec", job.model_dump_json(exclude_defaults=True, indent=1))
    assert ledger.submit(job, iter(())) == 2
    with pytest.raises(JobError, match="E811"):
        ledger.submit(job.model_copy(update={"name": "another"}), iter(()))


def test_a_newer_task_costs_an_older_worker_no_attempt(ledger: Ledger) -> None:
    job = a_job(max_attempts=1)
    task = NewerTask(**a_task(job, 0).model_dump())
    ledger.submit(job, [task])
    for _ in range(3):
        with pytest.raises(JobError, match="E821"):
            ledger.claim("old", block_ms=2000)
        assert counts(ledger.progress(job.id)) == {"queued": 1}


@pytest.mark.parametrize("newer", ["job", "task"])
def test_an_older_worker_gives_newer_work_back_and_makes_room(ledger: Ledger, newer: str) -> None:
    job = a_job(max_attempts=1)
    if newer == "job":
        ledger.submit(NewerJob(**job.model_dump()), [a_task(job, 0)])
    else:
        ledger.submit(job, [NewerTask(**a_task(job, 0).model_dump())])

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Done:
        ledger.spec(task.job)
        return Done()

    with pytest.raises(JobError, match="E821"):
        work(ledger, run, stop=threading.Event(), at_once=2, patience=Patience(idle=5, grace=5))
    assert counts(ledger.progress(job.id)) == {"queued": 1}


def test_what_a_newer_service_took_in_is_not_called_damaged(tmp_path: Path) -> None:
    store = open_place(tmp_path)
    job = a_job()
    manifest.write_request(store, NewerJob(**job.model_dump()))
    with pytest.raises(JobError, match="E821"):
        manifest.read_request(store, job.id)
    listed = manifest.write_manifest(store, job, [NewerTask(**a_task(job, 0).model_dump())])
    with pytest.raises(JobError, match="E821"):
        list(manifest.read_tasks(store, listed))
