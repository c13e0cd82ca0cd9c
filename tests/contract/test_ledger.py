"""What the ledger promises, on every server it may meet: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable

import pytest
from tests.ledgers import a_job, a_task, counts, keys, redis_of, submitted, tasks_of, wipe

from cellfleet.errors import JobError, LedgerError
from cellfleet.jobs.keys import KEYS, RETURNED, STREAM
from cellfleet.jobs.ledger import Lease, Ledger
from cellfleet.spec.job import Done, Failed, Tally

WAIT_MS = 5000
BOOM = Failed(code="E102", reason="boom")


def claim(ledger: Ledger, worker: str = "w") -> Lease:
    lease = ledger.claim(worker, block_ms=WAIT_MS)
    assert lease is not None
    return lease


def test_a_job_runs_from_queued_to_done(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 2)
    assert ledger.progress(job.id).state == "queued" and ledger.progress(job.id).started_ms is None
    first = claim(ledger)
    assert (first.task.number, first.attempt, first.task.images[0].name) == (0, 1, "well A1, field µ 0 🦠.png")
    assert ledger.progress(job.id).state == "running" and counts(ledger.progress(job.id)) == {"queued": 1, "leased": 1}
    assert ledger.acknowledge(first, Done(tally=Tally(images=3, objects=70, pixels=2**40)))
    assert ledger.acknowledge(claim(ledger), Done(tally=Tally(images=2, failed_images=1)))
    progress = ledger.progress(job.id)
    assert (progress.state, counts(progress), progress.total, progress.told) == ("done", {"done": 2}, 2, 2)
    assert progress.tally == Tally(images=5, failed_images=1, objects=70, pixels=2**40)
    assert progress.submitted_ms <= (progress.started_ms or 0) <= (progress.finished_ms or 0)
    assert ledger.claim("w") is None
    assert ledger.spec(job.id) == job and list(ledger.jobs()) == [job.id]


def test_a_job_without_tasks_is_done(ledger: Ledger) -> None:
    assert ledger.progress(submitted(ledger, a_job(), 0).id).state == "done"


def test_a_task_is_leased_to_one_worker_at_a_time(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger(lease_seconds=60)
    job = submitted(ledger, a_job(), 100)
    seen: list[int] = []

    def drain(name: str) -> None:
        while lease := ledger.claim(name):
            seen.append(lease.task.number)
            assert ledger.acknowledge(lease, Done())

    threads = [threading.Thread(target=drain, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(100)) and ledger.progress(job.id).state == "done"


def test_urgent_tasks_overtake_a_large_job(ledger: Ledger) -> None:
    batch = submitted(ledger, a_job("batch", priority="batch"), 3000)
    assert claim(ledger).task.job == batch.id
    for name, priority in (("normal", "normal"), ("urgent", "interactive")):
        submitted(ledger, a_job(name, priority=priority), 1)
    assert [claim(ledger).task.job for _ in range(3)] == ["urgent", "normal", "batch"]
    submitted(ledger, a_job("other", priority="interactive"), 1)
    lease = ledger.claim("w", ["batch"])
    assert lease is not None and lease.task.job == "batch"


def test_a_waiting_claim_hears_of_a_new_task(ledger: Ledger) -> None:
    found: list[Lease] = []
    waiting = threading.Thread(target=lambda: found.append(claim(ledger)))
    waiting.start()
    submitted(ledger, a_job(), 1)
    waiting.join()
    assert found[0].task.number == 0


def test_a_lease_that_is_not_renewed_goes_to_another_worker_and_only_that_one_counts(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    hung, rescuer = claim(ledger, "hung"), claim(ledger, "rescuer")
    assert (rescuer.task, rescuer.attempt) == (hung.task, 2)
    assert counts(ledger.progress(job.id)) == {"leased": 1}
    assert ledger.renew(hung) == "lost"
    for outcome in (Done(tally=Tally(images=1)), BOOM):
        assert not ledger.acknowledge(hung, outcome)
    assert not ledger.release(hung)
    assert ledger.acknowledge(rescuer, Done(tally=Tally(images=1)))
    assert not ledger.acknowledge(rescuer, Done(tally=Tally(images=1)))
    assert counts(ledger.progress(job.id)) == {"done": 1} and ledger.progress(job.id).tally.images == 1


def test_the_same_worker_does_not_mistake_an_old_lease_for_its_new_one(ledger: Ledger) -> None:
    submitted(ledger, a_job(), 1)
    old, new = claim(ledger), claim(ledger)
    assert not ledger.acknowledge(old, Done()) and ledger.acknowledge(new, Done())


def test_a_lease_that_is_renewed_stays(ledger: Ledger) -> None:
    submitted(ledger, a_job(), 1)
    lease = claim(ledger)
    for _ in range(8):  # 0.1 s each, with leases of 0.3 s
        assert ledger.claim("other", block_ms=100) is None
        assert ledger.renew(lease) == "held"
    assert ledger.acknowledge(lease, Done())


def test_a_released_task_is_taken_at_once_and_the_attempt_does_not_count(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger(lease_seconds=3600)
    job = submitted(ledger, a_job(max_attempts=1), 1)
    for worker in ("a", "b", "c"):
        lease = ledger.claim(worker)
        assert lease is not None and lease.attempt == 1
        assert ledger.claim("somebody") is None, "from now on nobody looks for leases that ended for a while"
        assert ledger.release(lease) and not ledger.release(lease)
        assert counts(ledger.progress(job.id)) == {"queued": 1}


def test_a_task_that_fails_is_tried_again_later_and_in_the_end_is_dead_with_its_reason(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=3), 2)
    poison = claim(ledger)
    assert ledger.acknowledge(poison, BOOM)
    assert counts(ledger.progress(job.id)) == {"queued": 2}
    assert ledger.acknowledge(claim(ledger), Done()), "the other task is not held up"
    for attempt in (2, 3):
        lease = claim(ledger, f"w{attempt}")
        assert (lease.task, lease.attempt) == (poison.task, attempt)
        assert ledger.acknowledge(lease, BOOM)
    progress = ledger.progress(job.id)
    assert (progress.state, counts(progress)) == ("failed", {"done": 1, "dead": 1})
    (dead,) = ledger.dead(job.id)
    assert (dead.task, dead.attempts, dead.worker, dead.code, dead.reason) == (poison.task, 3, "w3", "E102", "boom")
    # The clock may tick between the two in one script.
    assert 0 <= progress.finished_ms - dead.at_ms < 100


def test_a_task_whose_workers_vanish_is_dead_in_the_end(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=2), 1)
    assert [claim(ledger, name).attempt for name in ("a", "b")] == [1, 2]
    assert ledger.claim("c", block_ms=800) is None
    (dead,) = ledger.dead(job.id)
    assert (dead.code, dead.attempts, dead.worker) == ("E814", 2, "b")
    assert ledger.progress(job.id).state == "failed"


def test_dead_tasks_are_retried_with_fresh_attempts(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=1), 1200)
    for _ in range(1200):
        assert ledger.acknowledge(claim(ledger), BOOM)
    assert ledger.progress(job.id).state == "failed"
    assert ledger.retry_failed(job.id) == 1200
    assert ledger.progress(job.id).state == "queued" and ledger.progress(job.id).finished_ms is None
    assert list(ledger.dead(job.id)) == [] and ledger.retry_failed(job.id) == 0
    numbers = set()
    for _ in range(1200):
        lease = claim(ledger)
        assert lease.attempt == 1
        numbers.add(lease.task.number)
        assert ledger.acknowledge(lease, Done())
    assert numbers == set(range(1200)) and ledger.progress(job.id).state == "done"


def test_a_paused_job_starts_nothing_and_lets_others_pass(ledger: Ledger) -> None:
    job = submitted(ledger, a_job("paused"), 700)
    running = claim(ledger)
    submitted(ledger, a_job("other"), 1)
    ledger.pause(job.id)
    other = claim(ledger)
    assert other.task.job == "other" and ledger.acknowledge(other, Done())
    assert ledger.renew(running) == "held" and ledger.acknowledge(running, Done())
    assert (ledger.progress(job.id).state, counts(ledger.progress(job.id))) == ("paused", {"queued": 699, "done": 1})
    ledger.resume(job.id)
    for _ in range(699):
        assert ledger.acknowledge(claim(ledger), Done())
    assert ledger.progress(job.id).state == "done"


def test_retrying_does_not_wake_a_paused_job(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=1), 2)
    assert ledger.acknowledge(claim(ledger), BOOM)
    ledger.pause(job.id)
    assert ledger.retry_failed(job.id) == 1
    assert ledger.claim("w") is None and ledger.progress(job.id).state == "paused"


def test_a_cancelled_job_stops_and_leaves_no_key(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 900)
    running, idle = claim(ledger), claim(ledger)
    ledger.cancel(job.id)
    ledger.cancel(job.id)
    assert ledger.renew(running) == "cancelled" and ledger.release(running)
    assert ledger.claim("w") is None
    assert ledger.acknowledge(idle, Done()), "what was nearly done may end"
    assert counts(ledger.progress(job.id)) == {"done": 1, "dropped": 899}
    assert redis_of(ledger).xlen(STREAM(priority="normal")) == 0
    with pytest.raises(JobError, match="E812"):
        ledger.retry_failed(job.id)
    ledger.forget(job.id)
    assert not [name for name in keys(ledger) if job.id in name]


def test_a_paused_job_can_be_cancelled(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 10)
    ledger.pause(job.id)
    assert ledger.claim("w") is None
    ledger.cancel(job.id)
    assert counts(ledger.progress(job.id)) == {"dropped": 10}


def test_forgotten_jobs_leave_nothing(ledger: Ledger) -> None:
    before = keys(ledger)
    for name, end in (("done", Done()), ("failed", BOOM), ("cancelled", None)):
        job = submitted(ledger, a_job(name, max_attempts=1), 3)
        while end is not None and (lease := ledger.claim("w")):
            assert ledger.acknowledge(lease, end)
        if end is None:
            lease = claim(ledger)
            ledger.cancel(job.id)
        ledger.forget(job.id)
        ledger.forget(job.id)
    assert lease is not None and ledger.acknowledge(lease, Done()), "an acknowledgement makes no key anew"
    assert ledger.claim("w") is None
    redis_of(ledger).delete("cellfleet:swept")
    assert keys(ledger) == before
    for priority in ("interactive", "normal", "batch"):
        assert redis_of(ledger).xlen(STREAM(priority=priority)) == 0
    with pytest.raises(JobError, match="E810"):
        ledger.progress("done")


def test_states_that_may_not_follow_are_refused(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    with pytest.raises(JobError, match=r"the job is queued and cannot be forgotten.*E812"):
        ledger.forget(job.id)
    assert ledger.acknowledge(claim(ledger), Done())
    for forbidden in (ledger.pause, ledger.cancel):
        with pytest.raises(JobError, match=r"the job is done and cannot become.*E812"):
            forbidden(job.id)
    for asked in (ledger.pause, ledger.resume, ledger.cancel, ledger.progress, ledger.spec, ledger.retry_failed):
        with pytest.raises(JobError, match="E810"):
            asked("nobody")


def test_an_id_names_one_job(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    with pytest.raises(JobError, match="E811"):
        ledger.submit(job.model_copy(update={"name": "other"}), [])


def test_a_submission_that_was_cut_short_goes_on_where_it_ended(ledger: Ledger) -> None:
    job = a_job()

    def cut_short():
        yield from (task for task in tasks_of(job, 700))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        ledger.submit(job, cut_short())
    told = ledger.told(job.id)
    assert told == 500 and ledger.progress(job.id).total is None
    for _ in range(500):
        assert ledger.acknowledge(claim(ledger), Done())
    assert ledger.progress(job.id).state == "running", "not done before all is told"
    later = (task for task in tasks_of(job, 1300) if task.number >= 300)
    assert ledger.submit(job, later) == 1300
    assert ledger.submit(job, tasks_of(job, 1300)) == 1300
    assert counts(ledger.progress(job.id)) == {"done": 500, "queued": 800}


def test_two_that_submit_the_same_job_tell_each_task_once(ledger: Ledger) -> None:
    job = a_job()
    threads = [threading.Thread(target=ledger.submit, args=(job, tasks_of(job, 5000))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redis_of(ledger).xlen(STREAM(priority="normal")) == ledger.progress(job.id).queued == 5000


def test_tasks_whose_results_stand_are_done_at_once(ledger: Ledger) -> None:
    job = a_job()
    assert ledger.submit(job, tasks_of(job, 10), stands=lambda task: task.number % 2 == 0) == 10
    assert counts(ledger.progress(job.id)) == {"queued": 5, "done": 5}
    assert [claim(ledger).task.number for _ in range(5)] == [1, 3, 5, 7, 9]
    other = a_job("other")
    ledger.submit(other, tasks_of(other, 3), stands=lambda _: True)
    assert ledger.progress("other").state == "done"


def test_a_cancelled_job_is_told_no_further(ledger: Ledger) -> None:
    job = a_job()

    def cancelled_meanwhile():
        for task in tasks_of(job, 3000):
            if task.number == 700:
                ledger.cancel(job.id)
            yield task

    assert ledger.submit(job, cancelled_meanwhile()) == 500


def test_a_ledger_that_is_wiped_during_a_submission_says_so(ledger: Ledger) -> None:
    job = a_job()

    def wiped_meanwhile():
        for task in tasks_of(job, 3000):
            if task.number == 700:
                wipe(ledger)
            yield task

    with pytest.raises(LedgerError, match="E808"):
        ledger.submit(job, wiped_meanwhile())


def test_submission_holds_a_part_of_the_tasks_only(ledger: Ledger) -> None:
    job = a_job()
    tracemalloc.start()
    ledger.submit(job, (a_task(job, number, "x" * 1000) for number in range(20_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000  # 20 MB in all


def test_a_wiped_ledger_is_ready_for_new_jobs(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    lease = claim(ledger)
    wipe(ledger)
    assert ledger.renew(lease) == "lost" and not ledger.acknowledge(lease, Done()) and not ledger.release(lease)
    assert ledger.claim("w") is None
    submitted(ledger, job, 1)
    assert claim(ledger).attempt == 1


def test_all_processes_use_the_same_time_of_lease(open_ledger: Callable[..., Ledger]) -> None:
    assert open_ledger(lease_seconds=7).lease_seconds == open_ledger(lease_seconds=1).lease_seconds == 7


def test_a_ledger_of_another_format_is_refused(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    redis_of(ledger).hset("cellfleet:about", "format_version", "2")
    with pytest.raises(LedgerError, match="E802"):
        open_ledger()
    wipe(ledger)


def test_a_server_that_would_throw_jobs_away_is_refused(open_ledger: Callable[..., Ledger]) -> None:
    server = redis_of(open_ledger())
    server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(LedgerError, match=r"maxmemory-policy allkeys-lru.*E809"):
            open_ledger()
    finally:
        server.config_set("maxmemory-policy", "noeviction")


def test_a_full_server_says_so_and_nothing_is_half_done(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    redis_of(ledger).config_set("maxmemory", "1mb")
    try:
        with pytest.raises(LedgerError, match=r"takes no writes.*E807"):
            ledger.submit(a_job(), tasks_of(a_job(), 20_000))
    finally:
        redis_of(ledger).config_set("maxmemory", "0")
    assert ledger.submit(a_job(), tasks_of(a_job(), 700)) == 700
    assert counts(ledger.progress("job")) == {"queued": 700}


def test_workers_that_end_leave_no_trace_and_those_with_leases_stay(ledger: Ledger) -> None:
    submitted(ledger, a_job(), 2)
    busy, idle = claim(ledger, "busy"), claim(ledger, "idle")
    assert ledger.acknowledge(idle, Done())
    ledger.retire("idle")
    ledger.retire("busy")
    group = redis_of(ledger).xinfo_consumers(STREAM(priority="normal"), "workers")
    assert {consumer["name"] for consumer in group} - {RETURNED} == {"busy"}
    assert ledger.acknowledge(busy, Done())


def test_every_kind_of_key_has_the_type_that_the_table_says(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=1), 3)
    submitted(ledger, a_job("ended"), 0)
    assert ledger.reserve("local", 1)
    assert ledger.acknowledge(claim(ledger), BOOM)
    assert ledger.claim("w", ["batch"]) is None
    ledger.pause(job.id)
    assert ledger.claim("w") is None
    found = {key.template: redis_of(ledger).type(name) for name in keys(ledger) for key in KEYS if key.matches(name)}
    assert found == {key.template: key.type for key in KEYS}
    assert 0 < redis_of(ledger).pttl("cellfleet:swept") <= 250
