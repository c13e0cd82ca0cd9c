"""Whatever is done in whatever order, the ledger's counters are those of a model that keeps a list of tasks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.ledgers import a_job, counts, keys, redis_of, tasks_of, wipe

from cellfleet.errors import JobError
from cellfleet.jobs.keys import GROUP, PRIORITIES, SWEPT, stray
from cellfleet.jobs.ledger import Lease, Ledger
from cellfleet.jobs.server import LedgerServer
from cellfleet.spec.job import FINAL_JOB_STATES, NEXT_JOB_STATES, Done, Failed, JobState, Tally

MAX_ATTEMPTS = 2
LEASE_SECONDS = 3600
OWNERS = ("ann", "bob@example.org")


@dataclass
class Job:
    """What the model knows of a job."""

    owner: str
    state: JobState = "queued"
    told: bool = False
    """Whether all tasks are told."""
    unsummarised: bool = False
    tasks: dict[int, str] = field(default_factory=dict)
    """Number → state."""
    images: dict[int, int] = field(default_factory=dict)
    """Number of a task that is done or dead → images."""

    def become(self, state: JobState) -> None:
        if state != self.state:
            self.unsummarised = state in FINAL_JOB_STATES
        self.state = state

    def put(self, number: int, state: str, images: int = 0) -> None:
        was, self.tasks[number], self.images[number] = self.tasks[number], state, images
        if self.state == "cancelled" and was == "leased" and "leased" not in self.tasks.values():
            self.unsummarised = True
        self.end()

    def end(self) -> None:
        left = Counter(self.tasks.values())
        if self.told and self.state not in FINAL_JOB_STATES and not left["queued"] + left["leased"]:
            self.become("failed" if left["dead"] else "done")


class LedgerMachine(RuleBasedStateMachine):
    """Rules for one ledger whose leases never end by themselves; a rule ends them."""

    ledger: Ledger

    jobs = Bundle("jobs")
    leases = Bundle("leases")
    old_leases = Bundle("old_leases")

    def __init__(self) -> None:
        super().__init__()
        wipe(self.ledger)
        self.ledger.claim("nobody")  # makes the streams anew
        self.model: dict[str, Job] = {}
        self.held: dict[tuple[str, int], Lease] = {}
        self.announced = 0
        self.begun: dict[str, bool] = {}
        """Entry → whether the attempt of the present lease counts, if that was said."""

    @rule(target=jobs, priority=st.sampled_from(PRIORITIES), owner=st.sampled_from(OWNERS), most=st.integers(1, 4))
    def announce(self, priority: Any, owner: str, most: int) -> Any:
        job = a_job(f"job-{self.announced}", priority=priority, max_attempts=MAX_ATTEMPTS, owner=owner)
        if self.running(owner) >= most:
            with pytest.raises(JobError, match="E816"):
                self.ledger.announce(job, most_running=most)
            return multiple()
        self.ledger.announce(job, most_running=most)
        self.announced += 1
        self.model[job.id] = Job(owner)
        return job.id

    @rule(job=jobs, count=st.integers(0, 4), stand=st.booleans())
    def submit(self, job: str, count: int, stand: bool) -> None:
        known = self.model.get(job)
        if known is None or known.told:
            return
        spec = self.ledger.spec(job)
        for _ in range(2):
            self.ledger.submit(spec, tasks_of(spec, count), stands=lambda task: stand and task.number == 0)
        if known.state == "failed":
            known.become("queued")
        if known.state == "cancelled":
            known.told = count == 0  # nothing more is told, so that the rest is not known
        else:
            known.told = True
            known.tasks = {number: "done" if stand and number == 0 else "queued" for number in range(count)}
            known.end()

    @rule(job=jobs, back=st.booleans())
    def nothing_to_do(self, job: str, back: bool) -> None:
        known = self.model.get(job)
        may_follow = known and (known.state in {"queued", "failed"} or (known.state == "paused" and not back))
        if known and may_follow and not known.told:
            (self.ledger.reopen if back else self.ledger.fail)(job)
            known.become("queued" if back else "failed")
        else:
            with pytest.raises(JobError):
                (self.ledger.reopen if back else self.ledger.fail)(job)

    @rule(job=jobs)
    def summarise(self, job: str) -> None:
        self.ledger.summarised(job)
        if job in self.model:
            self.model[job].unsummarised = False

    @rule(target=leases, worker=st.sampled_from("ab"))
    def claim(self, worker: str) -> Any:
        lease = self.ledger.claim(worker)
        self.learn_what_the_claim_met()
        if lease is None:
            waiting = [job for job in self.model.values() if job.state not in {"paused", "cancelled"}]
            assert not any("queued" in job.tasks.values() for job in waiting)
            return multiple()
        job = self.model[lease.task.job]
        assert job.state in {"queued", "running"}
        assert job.tasks[lease.task.number] in {"queued", "leased"}
        job.put(lease.task.number, "leased")
        job.become("running")
        self.held[lease.task.job, lease.task.number] = lease
        self.begun[lease.entry] = True
        return lease

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        job = self.model.get(lease.task.job)
        wanted = "held" if job and job.state != "cancelled" else "cancelled"
        assert self.ledger.renew(lease) == (wanted if self.holds(lease) else "lost")

    @rule(target=old_leases, lease=consumes(leases), images=st.integers(0, 3))
    def acknowledge(self, lease: Lease, images: int) -> Lease:
        job = self.model.get(lease.task.job)
        holds = self.holds(lease)
        assert self.ledger.acknowledge(lease, Done(tally=Tally(images=images))) == holds
        if holds and job:
            job.put(lease.task.number, "done", images)
        self.let_go(lease)
        return lease

    @rule(target=old_leases, lease=consumes(leases), how=st.sampled_from(["released", "failed", "final"]))
    def give_back(self, lease: Lease, how: str) -> Lease:
        job = self.model.get(lease.task.job)
        holds = self.holds(lease)
        failed = Failed(reason="it did not work", final=how == "final", tally=Tally(images=7))
        assert (self.ledger.release(lease) if how == "released" else self.ledger.acknowledge(lease, failed)) == holds
        if holds and job:
            last = how == "final" or (how == "failed" and lease.attempt >= MAX_ATTEMPTS)
            to = "dropped" if job.state == "cancelled" else "dead" if last else "queued"
            job.put(lease.task.number, to, 7 if to == "dead" else 0)
        self.let_go(lease)
        self.age(lease)
        return lease

    @rule(lease=leases)
    def the_lease_ends(self, lease: Lease) -> None:
        if self.holds(lease):
            self.age(lease)

    @rule(target=leases, old=consumes(leases), begin=st.booleans())
    def wait_for_its_turn(self, old: Lease, begin: bool) -> Any:
        lease = self.ledger.defer(old)
        if lease and begin:
            lease = self.ledger.begin(lease)
        assert (lease is not None) == self.holds(old)
        if lease is None:
            return multiple()
        self.held[lease.task.job, lease.task.number] = lease
        self.begun[lease.entry] = begin
        assert not self.ledger.release(old)
        return lease

    @rule(lease=old_leases)
    def say_it_again(self, lease: Lease) -> None:
        assert not self.ledger.acknowledge(lease, Done(tally=Tally(images=100)))
        assert not self.ledger.release(lease)
        assert self.ledger.renew(lease) == "lost"

    @rule(job=jobs, to=st.sampled_from(["paused", "cancelled", "queued"]))
    def control(self, job: str, to: JobState) -> None:
        known = self.model.get(job)
        ask = {"paused": self.ledger.pause, "cancelled": self.ledger.cancel, "queued": self.ledger.resume}[to]
        if known is None:
            with pytest.raises(JobError, match="E810"):
                ask(job)
        elif to == "queued":
            self.ledger.resume(job)
            known.become("queued" if known.state == "paused" else known.state)
        elif to == known.state or to in NEXT_JOB_STATES[known.state]:
            ask(job)
            known.become(to)
        else:
            with pytest.raises(JobError, match="E812"):
                ask(job)

    @rule(job=jobs)
    def retry(self, job: str) -> None:
        known = self.model.get(job)
        if known is None or known.state == "cancelled":
            with pytest.raises(JobError):
                self.ledger.retry_failed(job)
            return
        dead = [number for number, state in known.tasks.items() if state == "dead"]
        assert self.ledger.retry_failed(job) == len(dead)
        for number in dead:
            known.put(number, "queued")
        if dead and known.state == "failed":
            known.become("queued")

    @rule(job=jobs)
    def forget(self, job: str) -> None:
        known = self.model.get(job)
        if known and known.state not in {"done", "failed", "cancelled"}:
            with pytest.raises(JobError, match="E812"):
                self.ledger.forget(job)
            return
        self.ledger.forget(job)
        self.model.pop(job, None)

    @invariant()
    def counters_agree(self) -> None:
        for name, job in self.model.items():
            progress = self.ledger.progress(name)
            assert progress.state == job.state
            assert progress.tally.images == sum(job.images.values())
            assert progress.told == len(job.tasks) == sum(counts(progress).values())
            met = Counter(job.tasks.values())
            if job.state == "cancelled":  # what was queued is dropped when a claim meets it
                assert progress.queued + progress.dropped == met["queued"] + met["dropped"]
                met["queued"], met["dropped"] = progress.queued, progress.dropped
            assert counts(progress) == dict(+met)
            assert len(list(self.ledger.dead(name))) == met["dead"]
            assert progress.images == progress.told and (progress.total is not None) == job.told

    @invariant()
    def lists_agree(self) -> None:
        assert set(self.ledger.ended()) == {name for name, job in self.model.items() if job.unsummarised}
        assert list(self.ledger.jobs(newest_first=False)) == list(self.model)
        for owner in OWNERS:
            assert self.ledger.running(owner) == self.running(owner)
            assert list(self.ledger.jobs(owner, newest_first=False)) == [
                name for name, job in self.model.items() if job.owner == owner
            ]
        assert stray(keys(self.ledger)) == []

    def running(self, owner: str) -> int:
        return sum(job.owner == owner and job.state not in FINAL_JOB_STATES for job in self.model.values())

    def learn_what_the_claim_met(self) -> None:
        """Of leases that ended: tasks are dead after the last attempt, dropped or parked where the job is stopped."""
        for (name, number), lease in list(self.held.items()):
            pending = redis_of(self.ledger).xpending_range(lease.stream, GROUP, lease.entry, lease.entry, 1)
            job = self.model.get(name)
            if not pending and job:
                ends = {"paused": "queued", "cancelled": "dropped"}
                dead = {task.task.number for task in self.ledger.dead(name)}
                counted = lease.attempt if self.begun.get(lease.entry, True) else lease.attempt - 1
                assert (number in dead) == (counted >= MAX_ATTEMPTS and job.state != "cancelled")
                job.put(number, "dead" if number in dead else ends[job.state])
            if not pending:
                del self.held[name, number]

    def age(self, lease: Lease) -> None:
        """Let the time of a lease, or until the next attempt, be over."""
        redis = redis_of(self.ledger)
        for pending in redis.xpending_range(lease.stream, GROUP, lease.entry, lease.entry, 1):
            words = (lease.stream, GROUP, pending["consumer"], 0, lease.entry)
            redis.execute_command("XCLAIM", *words, "IDLE", LEASE_SECONDS * 1000, "JUSTID")
        redis.delete(SWEPT())

    def holds(self, lease: Lease) -> bool:
        return self.held.get((lease.task.job, lease.task.number)) is lease

    def let_go(self, lease: Lease) -> None:
        if self.holds(lease):
            del self.held[lease.task.job, lease.task.number]


def test_counters_are_those_of_the_model(server: LedgerServer) -> None:
    class Machine(LedgerMachine):
        ledger = Ledger(server.url, lease_seconds=LEASE_SECONDS)

    wipe(Machine.ledger)
    Machine.ledger.close()
    Machine.ledger = Ledger(server.url, lease_seconds=LEASE_SECONDS)
    often = settings(max_examples=60, stateful_step_count=40, phases=[Phase.generate])  # shrinking takes minutes
    run_state_machine_as_test(Machine, settings=often)
    Machine.ledger.close()
