"""The loop of a worker: it ends when told, gives back what it cannot finish, and survives tasks and outages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.ledgers import a_job, counts, redis_of, submitted

from cellfleet.errors import CellfleetError, DeviceError, ImageError, InputError, LedgerError, ModelError, OutputError
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.work import Patience, Worked, work
from cellfleet.spec.job import Done, Failed, Outcome, Tally, Task

SOON = Patience(idle=0)


@pytest.fixture
def finish() -> Iterator[threading.Event]:
    """Set at the end, so that tasks that hang do not outlast their test."""
    event = threading.Event()
    yield event
    event.set()


def test_it_does_what_there_is_and_ends(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 5)
    done: list[int] = []

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        alive()
        done.append(task.number)
        return Done(tally=Tally(images=2))

    assert work(ledger, run, stop=threading.Event(), patience=SOON) == Worked(done=5)
    assert done == [0, 1, 2, 3, 4] and ledger.progress(job.id).tally.images == 10
    assert redis_of(ledger).xinfo_consumers("cellfleet:tasks:normal", "workers") == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (OutputError("E305", "is full", where="a.tif"), "E305", "a.tif: is full. [E305]"),
        (InputError("E153", "is overloaded"), "E153", "is overloaded. [E153]"),
        (DeviceError("E502", "runs on the CPU only"), "E502", "runs on the CPU only. [E502]"),
        (ModelError("E404", "does not load here"), "E404", "does not load here. [E404]"),
        (ValueError("µ" * 5000), "E599", f"ValueError: {'µ' * 988}"),
        (SystemExit(3), "E599", "SystemExit: 3"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_task_that_raises_ends_on_the_dead_list_and_blocks_nothing(
    ledger: Ledger, error: BaseException, code: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = submitted(ledger, a_job(max_attempts=2), 3)

    def run(task: Task, *_: object) -> Outcome:
        if task.number == 0:
            raise error
        return Done()

    assert work(ledger, run, stop=threading.Event(), patience=Patience(idle=0.8)) == Worked(done=2, failed=2)
    (dead,) = ledger.dead(job.id)
    assert (dead.code, dead.reason, dead.attempts) == (code, reason, 2)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2, "an attempt that failed is never passed over in silence"


def test_a_task_for_which_the_model_server_was_away_goes_back_and_loses_no_attempt(ledger: Ledger) -> None:
    job, tries = submitted(ledger, a_job(max_attempts=1), 1), []

    def run(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
        tries.append(attempt)
        if len(tries) < 4:
            raise DeviceError("E523", "nobody answers")
        return Done()

    assert work(ledger, run, stop=threading.Event(), patience=Patience(idle=0.8)) == Worked(done=1, released=3)
    assert tries == [1, 1, 1, 1] and counts(ledger.progress(job.id)) == {"done": 1}


@pytest.mark.parametrize(
    "error", [InputError("E106", "x"), ImageError("E201", "x"), ModelError("E401", "x")], ids=lambda error: error.code
)
def test_a_task_whose_input_cannot_be_used_is_tried_once(ledger: Ledger, error: CellfleetError) -> None:
    job = submitted(ledger, a_job(max_attempts=5), 1)

    def run(*_: object) -> Outcome:
        raise error

    assert work(ledger, run, stop=threading.Event(), patience=SOON) == Worked(failed=1)
    (dead,) = ledger.dead(job.id)
    assert (dead.attempts, dead.code) == (1, error.code)


def test_a_task_says_itself_how_it_ended_and_is_told_which_attempt_it_is(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=5), 1)
    attempts: list[int] = []

    def run(_: Task, attempt: int, __: object) -> Outcome:
        attempts.append(attempt)
        return Failed(code="E106", reason="two of three", final=attempt == 2, tally=Tally(images=1))

    assert work(ledger, run, stop=threading.Event(), patience=Patience(idle=1)) == Worked(failed=2)
    assert attempts == [1, 2] and ledger.progress(job.id).tally.images == 1
    assert [dead.attempts for dead in ledger.dead(job.id)] == [2]


def test_a_long_task_keeps_its_lease(ledger: Ledger, finish: threading.Event) -> None:
    job = submitted(ledger, a_job(), 1)

    def run(*_: object) -> Outcome:
        finish.wait(4 * ledger.lease_seconds)
        return Done()

    thief: list[object] = []
    watching = threading.Thread(target=lambda: thief.append(ledger.claim("thief", block_ms=1000)))
    running = threading.Thread(target=work, args=(ledger, run), kwargs={"stop": threading.Event(), "patience": SOON})
    running.start()
    while not ledger.progress(job.id).leased:
        pass
    watching.start()
    watching.join()
    running.join()
    assert thief == [None] and counts(ledger.progress(job.id)) == {"done": 1}


@pytest.mark.parametrize("ends", [True, False], ids=["ends in time", "does not"])
def test_at_a_stop_the_task_at_hand_ends_within_the_grace_period_or_is_given_back(
    ledger: Ledger, finish: threading.Event, ends: bool
) -> None:
    job = submitted(ledger, a_job(), 2)
    stop = threading.Event()

    def run(*_: object) -> Outcome:
        stop.set()
        finish.wait(0.1 if ends else None)
        return Done()

    worked = work(ledger, run, stop=stop, patience=Patience(grace=5 if ends else 0.1))
    assert worked == (Worked(done=1) if ends else Worked(released=1))
    assert counts(ledger.progress(job.id)) == ({"queued": 1, "done": 1} if ends else {"queued": 2})
    again = ledger.claim("next")
    assert again is not None and again.attempt == 1


def test_a_task_without_a_sign_of_life_is_given_up_and_its_worker_ends(ledger: Ledger, finish: threading.Event) -> None:
    job = submitted(ledger, a_job(max_attempts=1), 1)

    def run(*_: object) -> Outcome:
        finish.wait()
        return Done()

    worked = work(ledger, run, stop=threading.Event(), patience=Patience(stall=0.5))
    assert worked == Worked(failed=1)
    (dead,) = ledger.dead(job.id)
    assert (dead.code, dead.reason) == ("E815", "no sign of life for 0.5 s")


def test_a_task_of_a_cancelled_job_is_broken_off(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 2)

    def run(_: Task, __: int, alive: Callable[[], None]) -> Outcome:
        ledger.cancel(job.id)
        while True:
            alive()

    assert work(ledger, run, stop=threading.Event(), patience=SOON) == Worked(released=1)
    assert counts(ledger.progress(job.id)) == {"dropped": 2}


def test_a_result_that_comes_too_late_is_not_counted(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger(lease_seconds=60)
    job = submitted(ledger, a_job(), 1)

    def run(*_: object) -> Outcome:
        redis_of(ledger).xclaim("cellfleet:tasks:normal", "workers", "thief", 0, [entry()])
        return Done(tally=Tally(images=1))

    def entry() -> str:
        return str(redis_of(ledger).xrange("cellfleet:tasks:normal")[0][0])

    assert work(ledger, run, stop=threading.Event(), patience=SOON) == Worked(lost=1)
    assert ledger.progress(job.id).tally.images == 0 and counts(ledger.progress(job.id)) == {"leased": 1}


def test_an_outage_is_sat_out_and_a_long_one_ends_the_worker(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submitted(ledger, a_job(), 1)
    acknowledge, answers = ledger.acknowledge, iter([False, False, True])

    def sometimes(*words: object) -> bool:
        if next(answers):
            return acknowledge(*words)
        raise LedgerError("E801", "the ledger does not answer")

    monkeypatch.setattr(ledger, "acknowledge", sometimes)
    assert work(ledger, lambda *_: Done(), stop=threading.Event(), patience=SOON) == Worked(done=1)
    assert counts(ledger.progress(job.id)) == {"done": 1}
    submitted(ledger, a_job("other"), 1)
    answers = iter([False] * 100)
    with pytest.raises(LedgerError, match="E801"):
        work(ledger, lambda *_: Done(), stop=threading.Event(), patience=Patience(idle=0, outage=0))
