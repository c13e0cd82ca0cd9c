"""A ledger of files in the store: every task ends exactly once, whoever dies, on a folder and on a real S3 server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.ends import submitted
from cellfleet.jobs.manifest import hold, write_manifest
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import Done, Failed, ImageRef, JobSpec, Outcome, PinnedModel, Tally, Task
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import Place, open_place

pytestmark = pytest.mark.slow

LEASE = 0.4
JOB = "260101-fleet"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield open_place(str(tmp_path / "store"))
    else:
        yield open_place(f"{request.getfixturevalue('bucket')}/fleet")


def submit(store: Place, tasks: int, *, job: str = JOB, max_attempts: int = 3) -> None:
    model = PinnedModel(name="otsu", version="1", sha256="0" * 64)
    spec = JobSpec(id=job, model=model, segment=SegmentSpec(), results=f"results/{job}", max_attempts=max_attempts)
    image = ImageRef(path="a.tif", name="a", stem="a")
    write_manifest(store, spec, (Task(job=job, number=n, first_image=n, images=(image,)) for n in range(tasks)))
    submitted(store, job)


def ledger(store: Place, summarise: Callable[[StoreLedger, str], None] = lambda ledger, job: None) -> StoreLedger:
    return StoreLedger(store, summarise=summarise, lease_seconds=LEASE, look_seconds=0.05)


def crew(store: Place, run: Callable[[Task, int, Callable[[], None]], Outcome], **more: object) -> threading.Thread:
    """Work in a thread until there is nothing to do for a while."""
    mine = ledger(store, **more)  # type: ignore[arg-type]
    patience = Patience(idle=4 * LEASE)
    thread = threading.Thread(target=work, args=(mine, run), kwargs={"stop": threading.Event(), "patience": patience})
    thread.start()
    return thread


def one_object(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
    return Done(tally=Tally(images=1, objects=1))


def test_several_workers_do_every_task_and_one_summary(store: Place) -> None:
    submit(store, 40)
    done, summaries, lock = Counter[int](), list[str](), threading.Lock()

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        with lock:
            done[task.number] += 1
        return one_object(task, attempt, alive)

    crews = [crew(store, run, summarise=lambda _, job: summaries.append(job)) for _ in range(3)]
    for thread in crews:
        thread.join(60)
    assert done == dict.fromkeys(range(40), 1)
    assert summaries == [JOB]
    progress = ledger(store).progress(JOB)
    assert (progress.state, progress.done, progress.tally.objects) == ("done", 40, 40)
    assert progress.finished_ms is not None and progress.finished_ms >= progress.submitted_ms > 0
    assert list(store.names("beats")) == []


def test_the_task_of_a_worker_that_died_is_done_by_another(store: Place) -> None:
    submit(store, 3)
    dead = ledger(store)
    assert dead.claim("dead") is not None
    crew(store, one_object).join(60)
    progress = ledger(store).progress(JOB)
    assert (progress.state, progress.done, progress.tally.images) == ("done", 3, 3)


def test_a_worker_that_only_seemed_dead_does_not_count_twice(store: Place) -> None:
    submit(store, 1)
    slow = ledger(store)
    lease = slow.claim("slow")
    assert lease is not None
    crew(store, one_object).join(60)
    assert slow.renew(lease) == "lost"
    assert not slow.acknowledge(lease, Done(tally=Tally(images=1, objects=1)))
    assert ledger(store).progress(JOB).tally == Tally(images=1, objects=1)


def test_a_living_worker_keeps_its_task(store: Place) -> None:
    submit(store, 1)
    mine, other = ledger(store), ledger(store)
    lease = mine.claim("mine")
    assert lease is not None
    until = time.monotonic() + 4 * LEASE
    while time.monotonic() < until:
        assert mine.renew(lease) == "held"
        assert other.claim("other") is None
        time.sleep(LEASE / 10)


def test_a_task_that_fails_is_tried_again_then_given_up_with_its_reason(store: Place) -> None:
    submit(store, 2)
    attempts = list[int]()

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        if task.number == 1:
            return one_object(task, attempt, alive)
        attempts.append(attempt)
        return Failed(code="E599", reason="broken")

    crew(store, run).join(60)
    assert attempts == [1, 2, 3]
    seen = ledger(store)
    (dead,) = seen.dead(JOB)
    assert (dead.task.number, dead.attempts, dead.code, dead.reason) == (0, 3, "E599", "broken")
    assert seen.progress(JOB).state == "failed" and seen.is_summarised(JOB)
    assert seen.retry_failed(JOB) == 1
    crew(store, one_object).join(60)
    assert seen.progress(JOB).state == "done" and seen.is_summarised(JOB)


def test_a_task_that_kills_every_worker_is_given_up(store: Place) -> None:
    submit(store, 1, max_attempts=2)
    for attempt in (1, 2):
        victim, until = ledger(store), time.monotonic() + 30
        lease = victim.claim(f"victim {attempt}", block_ms=20_000)
        assert lease is not None and lease.attempt == attempt and time.monotonic() < until
    crew(store, one_object).join(60)
    (dead,) = ledger(store).dead(JOB)
    assert (dead.code, dead.attempts) == ("E814", 2)


def test_a_final_failure_is_not_tried_again(store: Place) -> None:
    submit(store, 1)
    crew(store, lambda *_: Failed(code="E102", reason="no image", final=True, tally=Tally(failed_images=1))).join(60)
    (dead,) = ledger(store).dead(JOB)
    assert (dead.attempts, dead.tally.failed_images) == (1, 1)


def test_what_is_given_back_is_taken_at_once_and_does_not_count(store: Place) -> None:
    submit(store, 1, max_attempts=1)
    first, second = ledger(store), ledger(store)
    lease = first.claim("first")
    assert lease is not None and first.release(lease)
    again = second.claim("second", block_ms=5000)
    assert again is not None and again.attempt == 1


def test_a_paused_job_waits_and_a_cancelled_one_ends_the_work(store: Place) -> None:
    submit(store, 2)
    mine = ledger(store)
    lease = mine.claim("mine")
    assert lease is not None
    hold(store, JOB, "paused")
    assert ledger(store).claim("other", block_ms=300) is None
    assert ledger(store).progress(JOB).state == "paused"
    hold(store, JOB, "cancelled")
    assert mine.renew(lease) == "cancelled"


def test_a_summary_that_was_cut_off_is_written_by_another(store: Place) -> None:
    submit(store, 1)

    class KilledError(BaseException):
        pass

    def killed(_: StoreLedger, job: str) -> None:
        raise KilledError

    victim = ledger(store, killed)
    lease = victim.claim("victim")
    assert lease is not None and victim.acknowledge(lease, Done())
    with pytest.raises(KilledError):
        victim.claim("victim", block_ms=5000)
    summaries = list[str]()
    crew(store, one_object, summarise=lambda _, job: summaries.append(job)).join(60)
    assert summaries == [JOB]


def test_jobs_that_come_while_workers_wait_are_done(store: Place) -> None:
    submit(store, 2)
    thread = crew(store, one_object)
    wait = ledger(store)
    until = time.monotonic() + 30
    while not wait.is_summarised(JOB):
        assert time.monotonic() < until
    submit(store, 2, job="second")
    thread.join(60)
    assert wait.progress("second").state == "done"
