"""A ledger of files in the store: every task ends exactly once, whoever dies, on a folder and on a real S3 server."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.claims import JOB, LEASE, broken, crew, ledger, one_object, submit
from tests.servers import S3

from cellfleet.errors import JobError, OutputError
from cellfleet.jobs.beats import living
from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.ends import Ends
from cellfleet.jobs.manifest import hold
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import Done, Failed, Outcome, Tally, Task
from cellfleet.stores.place import Place, open_place

pytestmark = pytest.mark.slow


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield open_place(str(tmp_path / "store"))
    else:
        yield open_place(f"{request.getfixturevalue('bucket')}/fleet")


def test_several_workers_do_every_task_and_one_summary(store: Place) -> None:
    submit(store, 40, lease=60)  # a machine that stands still for a moment kills nobody
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


def test_who_ends_the_last_task_closes_the_job_though_it_last_looked_before_the_others_went_on(store: Place) -> None:
    submit(store, 3)
    summaries = list[str]()
    one, last = (
        StoreLedger(store, summarise=lambda _, job: summaries.append(job), lease_seconds=LEASE, look_seconds=3600)
        for _ in range(2)
    )
    held = last.claim("last")
    for _ in range(2):
        lease = one.claim("one")
        assert lease is not None and one.acknowledge(lease, Done(tally=Tally(images=1)))
    assert held is not None and last.acknowledge(held, Done(tally=Tally(images=1)))
    assert last.claim("last") is None
    assert summaries == [JOB] and Ends(store).is_summarised(JOB)


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
    submit(store, 1, lease=2.5)
    mine, other, until = ledger(store), ledger(store), time.monotonic() + 5
    lease = mine.claim("mine")
    assert lease is not None
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


class Shaky:
    """A store whose answers to some requests are lost: what was asked happened, or did not."""

    def __init__(self, store: Place, lost: Callable[[str, str], bool], *, happens: bool) -> None:
        self._store, self._lost, self._happens = store, lost, happens

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def create(self, name: str, content: bytes) -> bool:
        lost = self._lost("create", name)
        made = self._store.create(name, content) if self._happens or not lost else False
        if lost:
            raise OutputError("E323", "the server cannot be reached", where=name, action="Wait")
        return made

    def write(self, name: str, content: bytes) -> None:
        if self._lost("write", name):
            raise OutputError("E323", "the server cannot be reached", where=name, action="Wait")
        self._store.write(name, content)


@pytest.mark.parametrize("happens", [True, False], ids=["answer lost", "request lost"])
def test_a_store_that_fails_now_and_then_loses_and_repeats_nothing(store: Place, happens: bool) -> None:
    submit(store, 12)
    rng, done, lock = random.Random(3), Counter[int](), threading.Lock()

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        with lock:
            done[task.number] += 1
        return one_object(task, attempt, alive)

    shaky, until = Shaky(store, lambda *_: rng.random() < 0.3, happens=happens), time.monotonic() + 60
    while True:
        try:
            mine = ledger(cast(Place, shaky))
            break
        except OutputError:
            assert time.monotonic() < until
    worked = work(mine, run, stop=threading.Event(), patience=Patience(idle=2.0))
    assert ledger(store).progress(JOB).state == "done" and ledger(store).is_summarised(JOB)
    assert done == dict.fromkeys(range(12), 1) and worked.failed == 0


def test_a_job_that_is_done_leaves_no_claims_and_is_told_for_good(store: Place) -> None:
    submit(store, 5)
    crew(store, one_object).join(60)
    assert [*store.names("claims"), *store.names("ends")] == []
    progress = ledger(store).progress(JOB)
    assert (progress.state, progress.done, progress.tally.objects) == ("done", 5, 5)
    assert ledger(store).retry_failed(JOB) == 0 and ledger(store).is_summarised(JOB)


def test_who_comes_late_to_a_job_that_is_done_leaves_no_trace(store: Place) -> None:
    submit(store, 1)
    slow = ledger(store)
    lease = slow.claim("slow")
    assert lease is not None
    crew(store, one_object).join(60)
    assert not slow.acknowledge(lease, Failed(code="E599", reason="late", final=True))
    assert list(store.names("ends")) == [] and ledger(store).progress(JOB).state == "done"


def test_a_long_summary_is_written_once_and_takes_no_tasks_from_its_worker(store: Place) -> None:
    submit(store, 1)
    submit(store, 1, job="other")
    begun, go_on, summaries = threading.Event(), threading.Event(), list[str]()

    def summarise(_: StoreLedger, job: str) -> None:
        summaries.append(job)
        if job == JOB:
            begun.set()
            assert go_on.wait(30)

    mine = ledger(store, summarise)
    leases = [lease for lease in (mine.claim("mine"), mine.claim("mine")) if lease is not None]
    (first,) = (lease for lease in leases if lease.task.job == JOB)
    (second,) = (lease for lease in leases if lease.task.job == "other")
    assert mine.acknowledge(first, Done())
    summing = threading.Thread(target=lambda: mine.claim("mine", block_ms=5000))
    summing.start()
    assert begun.wait(30)
    other, until = ledger(store, summarise), time.monotonic() + 4 * LEASE
    while time.monotonic() < until:
        assert other.claim("other") is None
        assert mine.renew(second) == "held", "also while the other thread sums up"
        time.sleep(LEASE / 10)
    go_on.set()
    summing.join(30)
    assert summaries == [JOB] and mine.acknowledge(second, Done())


@pytest.mark.parametrize("moment", ["before", "while"])
def test_what_is_tried_again_while_a_summary_is_written_is_done_before_the_job_ends(store: Place, moment: str) -> None:
    submit(store, 2)
    seen, retried = ledger(store), list[int]()

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        return (broken if task.number == 1 and not retried else one_object)(task, attempt, alive)

    def summarise(mine: StoreLedger, job: str) -> None:
        if not retried:
            retried.append(seen.retry_failed(JOB))

    mine = ledger(store, summarise)
    if moment == "before":  # between its look and its claim
        take_summary = mine._claim_summary

        def late(*given: Any) -> Any:
            summarise(mine, JOB)
            return take_summary(*given)

        mine._claim_summary = late  # type: ignore[method-assign]
    work(mine, run, stop=threading.Event(), patience=Patience(idle=4 * LEASE))
    progress = ledger(store).progress(JOB)
    assert retried == [1] and (progress.state, progress.done) == ("done", 2)
    assert ledger(store).is_summarised(JOB)


def test_a_retry_that_was_cut_off_is_finished_by_the_next(store: Place) -> None:
    for cut in range(8):
        job = f"cut-{cut}"
        submit(store, 2, job=job)
        work(ledger(store), broken, stop=threading.Event(), patience=Patience(idle=0.3))
        steps = iter(range(cut))

        class Cut(Shaky):
            def remove(self, name: str, steps: Iterator[int] = steps) -> None:
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                self._store.remove(name)

        with contextlib.suppress(KeyboardInterrupt):
            Ends(cast(Place, Cut(store, lambda *_: False, happens=True))).retry_failed(job)
        Ends(store).retry_failed(job)
        work(ledger(store), one_object, stop=threading.Event(), patience=Patience(idle=0.3))
        progress = Ends(store).progress(job)
        assert (progress.state, progress.done, Ends(store).is_summarised(job)) == ("done", 2, True), cut


def test_a_cancelled_job_is_summed_up_once_its_workers_let_go(store: Place) -> None:
    submit(store, 3)
    mine = ledger(store)
    lease = mine.claim("mine")
    assert lease is not None
    Ends(store).hold(JOB, "cancelled")
    summaries = list[str]()
    other = ledger(store, lambda _, job: summaries.append(job))
    assert other.claim("other", block_ms=300) is None and summaries == []
    assert mine.renew(lease) == "cancelled" and mine.release(lease)
    assert other.claim("other", block_ms=1000) is None and summaries == [JOB]
    assert ledger(store).progress(JOB).state == "cancelled"
    with pytest.raises(JobError, match="E812"):
        Ends(store).hold(JOB, "paused")
    ledger(store).retry_failed(JOB)
    crew(store, one_object).join(60)
    assert ledger(store).progress(JOB).state == "done"


def test_damage_of_one_job_keeps_no_worker_from_another(store: Place, caplog: pytest.LogCaptureFixture) -> None:
    for job in ("a-head", "a-tasks", "a-end"):
        submit(store, 1, job=job)
    submit(store, 2)
    store.write("jobs/a-head.json", b"{")
    store.write("tasks/a-tasks/000000000.jsonl", b"")
    store.write("claims/a-end/0.1", b"")
    crew(store, one_object).join(60)
    assert ledger(store).progress(JOB).state == "done"
    assert {record.__dict__.get("job") for record in caplog.records} >= {"a-head", "a-tasks", "a-end"}
    assert list(store.names("claims/a-tasks")) == [], "nobody holds what cannot be read"


def test_beats_of_workers_that_died_long_ago_are_removed(store: Place) -> None:
    submit(store, 1)
    ms = time.time_ns() // 1_000_000
    store.write("beats/yesterday", f"7 {ms - 90_000_000}".encode())
    store.write("beats/lately", f"7 {ms - 9_000}".encode())
    store.write("beats/tomorrow", f"7 {ms + 90_000_000}".encode())
    assert living(store, 60) == 1, "a clock that is a day ahead makes nobody live"
    crew(store, one_object).join(60)
    assert set(store.names("beats")) == {"beats/lately", "beats/tomorrow"}


def test_a_server_that_ignores_conditions_is_refused(nanio: S3, clean_environment: pytest.MonkeyPatch) -> None:
    for name, value in nanio.environment.items():
        clean_environment.setenv(name, value)
    with pytest.raises(OutputError, match=r"would claim one task.*E725"):
        ledger(open_place(f"s3://{nanio.new_bucket()}/fleet"))
