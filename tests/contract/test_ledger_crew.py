"""Several tasks in one process: beside each other, alone when they were interrupted twice, and all or none go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.ledgers import a_job, counts, redis_of, submitted

from cellfleet.errors import LedgerError
from cellfleet.jobs.keys import GROUP, STREAM
from cellfleet.jobs.ledger import Lease, Ledger
from cellfleet.jobs.room import Room
from cellfleet.jobs.work import Patience, Worked, work
from cellfleet.spec.job import Done, Failed, JobSpec, Outcome, Task

SOON = Patience(idle=0)
DEADLINE = 10.0


@pytest.fixture
def finish() -> Iterator[threading.Event]:
    """Set at the end, so that tasks that hang do not outlast their test."""
    event = threading.Event()
    yield event
    event.set()


class Present:
    """Which tasks run, and which ran beside which."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.now: set[tuple[str, int]] = set()
        self.most = 0
        self.met: dict[tuple[str, int], set[tuple[str, int]]] = {}
        self.attempts: dict[tuple[str, int], int] = {}

    def enter(self, task: Task, attempt: int) -> None:
        with self.changed:
            self.attempts[task.job, task.number] = attempt
            self.now.add((task.job, task.number))
            self.most = max(self.most, len(self.now))
            for one in self.now:
                self.met.setdefault(one, set()).update(self.now - {one})
            self.changed.notify_all()

    def leave(self, task: Task) -> None:
        with self.changed:
            self.now.discard((task.job, task.number))
            self.changed.notify_all()

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, DEADLINE)


def a_suspect(ledger: Ledger) -> JobSpec:
    """Submit a job of one task that failed twice, and that comes after all others."""
    job = submitted(ledger, a_job("suspect", priority="batch", max_attempts=9), 1)
    for _ in range(2):
        lease = ledger.claim("w", block_ms=5000)
        assert lease is not None and ledger.acknowledge(lease, Failed(reason="boom"))
    return job


def waits(ledger: Ledger) -> bool:
    """Say whether a task of lowest priority is leased, and its attempt does not count yet."""
    pending = redis_of(ledger).xpending_range(STREAM(priority="batch"), GROUP, "-", "+", 9)
    return any(one["times_delivered"] >= 1_000_000 for one in pending)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_that_many_tasks_run_at_once(open_ledger: Callable[..., Ledger]) -> None:
    ledger, present = open_ledger(lease_seconds=60), Present()
    job = submitted(ledger, a_job(), 9)

    def run(task: Task, attempt: int, _: object) -> Outcome:
        present.enter(task, attempt)
        present.wait_for(lambda: present.most == 3)
        present.leave(task)
        return Done()

    assert work(ledger, run, stop=threading.Event(), at_once=3, patience=SOON) == Worked(done=9)
    assert present.most == 3 and ledger.progress(job.id).state == "done"
    assert redis_of(ledger).xinfo_consumers(STREAM(priority="normal"), GROUP) == []


def test_a_loop_that_finds_nothing_waits_while_another_is_busy(
    open_ledger: Callable[..., Ledger], finish: threading.Event
) -> None:
    ledger, present = open_ledger(lease_seconds=60), Present()
    submitted(ledger, a_job("first"), 1)

    def run(task: Task, attempt: int, _: object) -> Outcome:
        present.enter(task, attempt)
        if task.job == "first":  # goes on until the other loop has done what came later
            finish.wait(DEADLINE)
        else:
            finish.set()
        return Done()

    answers: list[Worked] = []
    words = {"stop": threading.Event(), "at_once": 2, "patience": SOON}
    working = threading.Thread(target=lambda: answers.append(work(ledger, run, **words)))
    working.start()
    present.wait_for(lambda: bool(present.now))
    time.sleep(0.3)  # the other loop has found nothing, and its idle time is none at all
    submitted(ledger, a_job("second"), 1)
    working.join(DEADLINE)
    assert answers == [Worked(done=2)]


def test_a_task_that_was_interrupted_twice_runs_alone_and_nothing_starts_beside_it(
    open_ledger: Callable[..., Ledger], finish: threading.Event
) -> None:
    ledger, present = open_ledger(lease_seconds=0.6), Present()
    suspect = a_suspect(ledger)
    submitted(ledger, a_job("others", priority="batch"), 9)
    submitted(ledger, a_job("neighbours"), 3)

    def run(task: Task, attempt: int, _: object) -> Outcome:
        present.enter(task, attempt)
        if task.job == "neighbours":
            until(lambda: waits(ledger))
            finish.wait(2.5 * ledger.lease_seconds)  # for so long that its lease must be renewed
        else:
            finish.wait(0.1)
        present.leave(task)
        return Done()

    worked = work(ledger, run, stop=threading.Event(), at_once=4, patience=Patience(idle=1))
    assert worked == Worked(done=13) and present.most >= 3
    assert present.met["suspect", 0] == set() and present.attempts["suspect", 0] == 3
    assert counts(ledger.progress(suspect.id)) == {"done": 1}


def test_at_a_stop_a_task_that_waits_for_its_turn_is_given_back_uncounted(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger, stop = open_ledger(lease_seconds=0.6), threading.Event()
    a_suspect(ledger)
    submitted(ledger, a_job("neighbour"), 1)

    def run(*_: object) -> Outcome:
        until(lambda: waits(ledger))
        stop.set()
        return Done()

    assert work(ledger, run, stop=stop, at_once=2) == Worked(done=1, released=1)
    again = ledger.claim("next")
    assert again is not None and (again.task.job, again.attempt) == ("suspect", 3)


def test_a_task_of_a_job_that_is_cancelled_while_it_waits_is_not_run(open_ledger: Callable[..., Ledger]) -> None:
    ledger, ran = open_ledger(lease_seconds=0.6), []
    job = a_suspect(ledger)
    submitted(ledger, a_job("neighbour"), 1)

    def run(task: Task, *_: object) -> Outcome:
        ran.append(task.job)
        until(lambda: waits(ledger))
        ledger.cancel(job.id)
        until(lambda: ledger.depths()["batch"] == (0, 0))
        return Done()

    assert work(ledger, run, stop=threading.Event(), at_once=2, patience=SOON) == Worked(done=1, released=1)
    assert ran == ["neighbour"] and counts(ledger.progress(job.id)) == {"dropped": 1}


def test_when_a_task_shows_no_life_its_neighbours_may_end_and_none_is_begun(
    open_ledger: Callable[..., Ledger], finish: threading.Event
) -> None:
    ledger, present = open_ledger(lease_seconds=60), Present()
    job = submitted(ledger, a_job(max_attempts=1), 4)

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        present.enter(task, attempt)
        if task.number == 0:
            finish.wait()  # shows no life
        for _ in range(20):
            alive()
            finish.wait(0.05)
        return Done()

    worked = work(ledger, run, stop=threading.Event(), at_once=2, patience=Patience(stall=0.6, grace=5))
    assert worked == Worked(done=1, failed=1)
    assert counts(ledger.progress(job.id)) == {"queued": 2, "done": 1, "dead": 1}


def test_an_error_of_one_loop_ends_all(open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(lease_seconds=60)
    submitted(ledger, a_job(), 8)
    acknowledge = ledger.acknowledge

    def refused(lease: Lease, outcome: Outcome) -> bool:
        if lease.task.number == 3:
            raise LedgerError("E807", "the ledger takes no writes")
        return acknowledge(lease, outcome)

    monkeypatch.setattr(ledger, "acknowledge", refused)
    with pytest.raises(LedgerError, match="E807"):
        work(ledger, lambda *_: Done(), stop=threading.Event(), at_once=3)


def test_a_room_keeps_who_is_alone_from_all_others() -> None:
    room, wrong, inside = Room(), [], set()

    def visit(who: int) -> None:
        alone = who % 5 == 0
        while not room.enter(who, alone=alone, seconds=0.01):
            pass
        inside.add(who)
        if inside != {who} if alone else any(other % 5 == 0 for other in inside):
            wrong.append(who)
        time.sleep(0.0005)
        inside.discard(who)
        room.leave(who)

    threads = [threading.Thread(target=visit, args=(who,)) for who in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and room.open(0) and room.quiet_seconds() >= 0
