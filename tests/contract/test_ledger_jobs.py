"""What the ledger keeps beside tasks: whose jobs, which have ended, what stands of the dead, and how much is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledgers import a_job, a_task, counts, keys, redis_of, submitted, tasks_of, wipe

from cellfleet.errors import JobError
from cellfleet.jobs.keys import PRIORITIES
from cellfleet.jobs.ledger import Lease, Ledger
from cellfleet.jobs.server import LedgerServer
from cellfleet.spec.job import Done, Failed, Tally
from cellfleet.spec.segment import Shard

STANDS = Tally(images=3, failed_images=2, pixels=2**50 + 1, objects=70)
NO_IMAGE = Failed(code="E106", reason="it is cut short", final=True, tally=STANDS)


def claim(ledger: Ledger) -> Lease:
    lease = ledger.claim("w", block_ms=5000)
    assert lease is not None
    return lease


# --- what stands of dead tasks ---------------------------------------------------------------------------------------


def test_a_failure_that_is_final_is_the_last_attempt_and_what_stands_counts(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=5), 2)
    assert ledger.acknowledge(claim(ledger), NO_IMAGE)
    assert counts(ledger.progress(job.id)) == {"queued": 1, "dead": 1} and ledger.progress(job.id).tally == STANDS
    assert ledger.acknowledge(claim(ledger), Done(tally=Tally(images=1)))
    progress = ledger.progress(job.id)
    assert progress.state == "failed" and progress.tally == STANDS.model_copy(update={"images": 4})
    (dead,) = ledger.dead(job.id)
    assert (dead.attempts, dead.code, dead.tally) == (1, "E106", STANDS)


def test_what_stands_of_a_dead_task_is_taken_off_once_when_it_is_tried_again(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    for _ in range(3):
        assert ledger.acknowledge(claim(ledger), NO_IMAGE)
        assert ledger.progress(job.id).tally == STANDS
        with ThreadPoolExecutor(4) as pool:
            retried = sum(pool.map(ledger.retry_failed, [job.id] * 4))
        assert retried == 1 and ledger.progress(job.id).tally == Tally()
    assert ledger.acknowledge(claim(ledger), Done(tally=Tally(images=5)))
    assert ledger.progress(job.id).tally == Tally(images=5)


def test_what_an_attempt_did_that_is_followed_by_another_counts_nothing(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=2), 1)
    again = Failed(code="E300", reason="the store is slow", tally=STANDS)
    assert ledger.acknowledge(claim(ledger), again)
    assert ledger.progress(job.id).tally == Tally()
    last = claim(ledger)
    assert last.attempt == 2 and ledger.acknowledge(last, again)
    assert ledger.progress(job.id).tally == STANDS, "the last attempt makes it dead"
    assert not ledger.acknowledge(last, again) and ledger.progress(job.id).tally == STANDS


def test_the_images_of_a_job_are_counted_once_however_many_tasks_share_them(ledger: Ledger) -> None:
    job = a_job()
    bundle = a_task(job, 0)
    bundle = bundle.model_copy(update={"images": bundle.images * 3})
    shares = [
        a_task(job, number).model_copy(update={"first_image": 3, "share": Shard(number=number, count=4)})
        for number in range(1, 5)
    ]
    for _ in range(2):
        ledger.submit(job, [bundle, *shares], stands=lambda task: task.number == 1)
        assert ledger.progress(job.id).images == 4


# --- jobs before their tasks -----------------------------------------------------------------------------------------


def test_a_job_is_known_before_its_tasks_are(ledger: Ledger) -> None:
    job = a_job()
    for _ in range(2):
        ledger.announce(job)
    progress = ledger.progress(job.id)
    assert (progress.state, progress.total, progress.told) == ("queued", None, 0)
    assert ledger.spec(job.id) == job and list(ledger.jobs()) == [job.id] and ledger.claim("w") is None
    submitted(ledger, job, 3)
    ledger.announce(job)
    assert ledger.progress(job.id).total == 3
    with pytest.raises(JobError, match="E811"):
        ledger.announce(a_job(max_attempts=9))


def test_a_user_has_no_more_jobs_under_way_than_allowed(ledger: Ledger) -> None:
    def refused(number: int) -> str:
        try:
            ledger.announce(a_job(f"job-{number}", owner="ann.b@c-d_e"), most_running=3)
        except JobError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        refusals = [text for text in pool.map(refused, range(8)) if text]
    assert ledger.running("ann.b@c-d_e") == 3 and len(refusals) == 5
    assert "has 3 jobs running, as many as the quota allows" in refusals[0] and "[E816]" in refusals[0]
    ledger.announce(a_job("other", owner="bob"), most_running=1)
    known, *_ = ledger.jobs("ann.b@c-d_e")
    ledger.announce(ledger.spec(known), most_running=3)
    ledger.cancel(known)
    ledger.announce(a_job("next", owner="ann.b@c-d_e"), most_running=3)
    assert (ledger.running("ann.b@c-d_e"), ledger.running("bob"), ledger.running("nobody")) == (3, 1, 0)


def test_a_retried_job_is_under_way_again(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 1)
    assert ledger.acknowledge(claim(ledger), NO_IMAGE) and ledger.running("local") == 0
    assert ledger.retry_failed(job.id) == 1 and ledger.running("local") == 1


def test_a_job_for_which_there_is_nothing_to_do_fails_and_may_be_listed_again(ledger: Ledger) -> None:
    job = a_job()
    ledger.announce(job)
    for _ in range(2):
        ledger.fail(job.id)
        assert ledger.progress(job.id).state == "failed" and ledger.progress(job.id).finished_ms
    for _ in range(2):
        ledger.reopen(job.id)
        assert ledger.progress(job.id).state == "queued" and ledger.progress(job.id).finished_ms is None
    ledger.fail(job.id)
    submitted(ledger, job, 1)
    assert ledger.progress(job.id).state == "queued", "there are tasks: there is something to do"
    for asked in (ledger.fail, ledger.reopen):
        with pytest.raises(JobError, match="E812"):
            asked(job.id)
        with pytest.raises(JobError, match="E810"):
            asked("nobody")


def test_failing_and_listing_again_leave_other_states_alone(ledger: Ledger) -> None:
    for name, ask in (("paused", ledger.pause), ("cancelled", ledger.cancel)):
        ledger.announce(a_job(name))
        ask(name)
        with pytest.raises(JobError, match=rf"the job is {name} and cannot become queued.*E812"):
            ledger.reopen(name)
    ledger.fail("paused")
    with pytest.raises(JobError, match="E812"):
        ledger.fail("cancelled")


# --- lists of jobs ---------------------------------------------------------------------------------------------------


def test_the_jobs_of_each_user_are_listed_from_anywhere(ledger: Ledger) -> None:
    expected: dict[str, list[str]] = {"ann": [], "bob": []}
    for number in range(1200):
        owner = "bob" if number % 5 == 0 else "ann"
        ledger.announce(a_job(f"job-{number * 7919 % 1200}", owner=owner))
        expected[owner].append(f"job-{number * 7919 % 1200}")
    everybody = [f"job-{number * 7919 % 1200}" for number in range(1200)]
    assert list(ledger.jobs(newest_first=False)) == everybody
    assert list(ledger.jobs()) == everybody[::-1]
    for owner, jobs in expected.items():
        assert list(ledger.jobs(owner)) == jobs[::-1]
        for place in (0, 1, len(jobs) // 2, len(jobs) - 1):
            assert list(ledger.jobs(owner, after=jobs[place])) == jobs[:place][::-1]
            assert list(ledger.jobs(owner, after=jobs[place], newest_first=False)) == jobs[place + 1 :]
    assert list(ledger.jobs("carl")) == []
    for owner, after in (("ann", expected["bob"][0]), (None, "nobody")):
        with pytest.raises(JobError, match="E810"):
            next(ledger.jobs(owner, after=after))


def test_a_list_that_is_read_while_jobs_come_and_go_has_each_job_once(ledger: Ledger) -> None:
    for number in range(1100):
        submitted(ledger, a_job(f"job-{number}"), 0)
    listing = ledger.jobs()
    first = [next(listing) for _ in range(500)]
    for number in range(500, 700):
        ledger.forget(f"job-{number}")
        ledger.announce(a_job(f"new-{number}"))
    assert first + list(listing) == [f"job-{number}" for number in reversed(range(1100)) if not 500 <= number < 600]


def test_jobs_that_ended_are_listed_until_they_are_summarised(ledger: Ledger) -> None:
    for name, end in (("done", Done()), ("failed", NO_IMAGE)):
        submitted(ledger, a_job(name), 1)
        assert ledger.acknowledge(claim(ledger), end)
    ledger.announce(a_job("nothing"))
    ledger.fail("nothing")
    submitted(ledger, a_job("cancelled"), 1)
    ledger.cancel("cancelled")
    submitted(ledger, a_job("running"), 1)
    assert sorted(ledger.ended()) == ["cancelled", "done", "failed", "nothing"] == sorted(ledger.ended())
    ledger.summarised("done")
    ledger.summarised("failed")
    ledger.retry_failed("failed")
    ledger.reopen("nothing")
    assert ledger.ended() == ["cancelled"]
    ledger.forget("cancelled")
    assert ledger.ended() == []
    while ledger.progress("failed").state != "done":
        assert ledger.acknowledge(claim(ledger), Done())
    assert "failed" in ledger.ended(), "it ended once more"


def test_what_ends_after_a_cancellation_is_summarised_as_well(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(), 4)
    first, second = claim(ledger), claim(ledger)
    ledger.cancel(job.id)
    for lease, expected in ((first, []), (second, [job.id])):
        ledger.summarised(job.id)
        assert ledger.acknowledge(lease, Done(tally=Tally(images=1))) and ledger.ended() == expected
    ledger.summarised(job.id)
    assert ledger.claim("w") is None and ledger.ended() == [], "what was never begun changes no summary"


def test_any_number_of_jobs_is_looked_at_in_one_round_trip(ledger: Ledger, sent: list[object]) -> None:
    names = [f"job-{number}" for number in range(200)]
    for name in names:
        ledger.announce(a_job(name))
    submitted(ledger, a_job("job-7"), 3)
    assert ledger.acknowledge(claim(ledger), NO_IMAGE)
    ledger.fail("job-8")
    expected = [(ledger.spec(name), ledger.progress(name)) for name in names]
    unsummarised = ledger.ended()
    ledger.forget("job-8")
    sent.clear()
    found = ledger.look([*names, "no-job"])
    assert len(sent) == 1
    assert found[8] is None and found[-1] is None
    known = [job for job in found if job is not None]
    assert [(job.spec, job.progress) for job in known] == [*expected[:8], *expected[9:]]
    assert unsummarised == ["job-8"] and not any(job.unsummarised for job in known)
    assert ledger.look([]) == []


def test_whoever_looks_at_a_job_sees_whether_its_summary_is_still_to_come(ledger: Ledger) -> None:
    ledger.announce(a_job())
    for unsummarised, change in ((False, None), (True, ledger.fail), (False, ledger.summarised)):
        if change is not None:
            change("job")
        (known,) = ledger.look(["job"])
        assert known is not None and known.unsummarised == unsummarised


# --- bytes of users --------------------------------------------------------------------------------------------------


def test_bytes_are_reserved_up_to_the_quota_by_however_many_at_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(lambda _: ledger.reserve("ann", 10, most=75), range(12)))
    assert sum(granted) == 7 and ledger.used("ann") == 70 and ledger.used("bob") == 0
    ledger.give_back("ann", 30)
    assert ledger.reserve("ann", 35, most=75) and ledger.used("ann") == 75
    assert not ledger.reserve("ann", 1, most=75) and ledger.reserve("ann", 1)
    ledger.set_used("ann", 5)
    ledger.set_used("bob", 2**45)
    assert (ledger.used("ann"), ledger.used("bob")) == (5, 2**45)
    ledger.give_back("ann", 6)
    ledger.set_used("bob", 0)
    assert ledger.used("ann") == 0 and redis_of(ledger).exists("cellfleet:used") == 0


# --- the whole -------------------------------------------------------------------------------------------------------


def test_depths_are_those_of_each_priority(ledger: Ledger) -> None:
    assert ledger.depths() == dict.fromkeys(PRIORITIES, (0, 0))
    submitted(ledger, a_job("large", priority="batch"), 50)
    submitted(ledger, a_job("small", priority="interactive"), 2)
    claim(ledger)
    released, returned = claim(ledger), claim(ledger)
    assert ledger.release(released) and ledger.acknowledge(returned, Failed(reason="boom"))
    assert ledger.depths() == {"interactive": (1, 1), "normal": (0, 0), "batch": (50, 0)}
    wipe(ledger)
    assert ledger.depths() == dict.fromkeys(PRIORITIES, (0, 0))


def test_forgotten_jobs_and_users_without_bytes_leave_nothing(ledger: Ledger) -> None:
    ledger.claim("w")
    before = keys(ledger)
    for number, owner in enumerate(("ann", "bob@x.org", "ann")):
        job = a_job(f"job-{number}", owner=owner)
        ledger.submit(job, tasks_of(job, 2))
        assert ledger.reserve(owner, 5)
        ledger.acknowledge(claim(ledger), NO_IMAGE)
        ledger.cancel(job.id) if number == 1 else ledger.acknowledge(claim(ledger), Done())
        ledger.forget(job.id)
        ledger.give_back(owner, 5)
    ledger.claim("w")
    assert set(keys(ledger)) - {"cellfleet:swept"} == set(before) - {"cellfleet:swept"}


# --- a task that waits for its turn ----------------------------------------------------------------------------------


def test_an_attempt_that_is_deferred_counts_when_it_begins(ledger: Ledger) -> None:
    job = submitted(ledger, a_job(max_attempts=2), 1)
    for _ in range(4):  # workers vanish while the task waits
        waiting = ledger.defer(claim(ledger))
        assert waiting is not None and waiting.attempt == 1 and ledger.renew(waiting) == "held"
    assert ledger.release(waiting)
    lease = claim(ledger)
    assert lease.attempt == 1
    waiting = ledger.defer(lease)
    assert waiting is not None and not ledger.release(lease), "the old one is lost"
    begun = ledger.begin(waiting)
    assert begun is not None and ledger.begin(waiting) is None and ledger.defer(waiting) is None
    rescuer = claim(ledger)
    assert rescuer.attempt == 2
    waiting = ledger.defer(rescuer)
    assert waiting is not None
    begun = ledger.begin(waiting)
    assert begun is not None and ledger.acknowledge(begun, Failed(code="E1", reason="boom"))
    assert ledger.progress(job.id).state == "failed"


@given(steps=st.lists(st.sampled_from(["defer", "begin", "release", "claim"]), max_size=12))
def test_however_a_task_waits_its_attempts_are_those_that_began(server: LedgerServer, steps: list[str]) -> None:
    ledger = Ledger(server.url, lease_seconds=3600)
    wipe(ledger)
    submitted(ledger, a_job(max_attempts=100), 1)
    held: Lease | None = ledger.claim("w")
    assert held is not None and held.attempt == 1
    for step in steps:
        if step == "claim" and held is None:
            held = ledger.claim("w")
        elif step == "release" and held is not None:
            assert ledger.release(held)
            held = None
        elif held is not None and step in {"defer", "begin"}:
            held = {"defer": ledger.defer, "begin": ledger.begin}[step](held)
        assert held is None or (held.attempt == 1 and ledger.renew(held) == "held")
    ledger.close()
