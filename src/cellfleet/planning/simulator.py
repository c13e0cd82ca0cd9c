"""A fleet of workers, simulated event by event: when a run is done, what it costs in machine time, how the fleet grows.

Workers pull tasks from one ledger, as `cellfleet worker` does: first come, first served, each task under a lease. A
machine that the cloud takes back loses its task, which is offered again when its lease ends; a worker that scales in
finishes what it has begun. A task is a bundle of images, so that a million images are a second's work here. Knows no
price: `Outcome.billed_seconds` times what a machine costs is the bill. Equal seeds give equal outcomes.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from cellfleet.planning.formulas import StartUp
from cellfleet.planning.policies import WorkPolicy, stabilised, work_replicas


class Bundle(NamedTuple):
    """A task: so many images, there from a moment on."""

    arrival_seconds: float
    images: int


def uploaded(images: int, *, per_task: int, per_second: float = math.inf) -> list[Bundle]:
    """Bundles of `per_task` images, each there when its last image is uploaded; all at once by an infinite upload."""
    bundles = []
    for first in range(0, images, per_task):
        count = min(per_task, images - first)
        bundles.append(Bundle((first + count) / per_second, count))
    return bundles


def at_random(tasks: int, *, per_second: float, seed: int) -> list[Bundle]:
    """Single images at random moments: a Poisson process."""
    source = random.Random(seed)
    now = 0.0
    bundles = []
    for _ in range(tasks):
        now += source.expovariate(per_second)
        bundles.append(Bundle(now, 1))
    return bundles


@dataclass(frozen=True)
class FixedPool:
    """So many workers from the start until the work is done, as an array job of a batch system has."""

    workers: int
    idle_seconds: float = 0.0
    """They wait so long for more before they go."""


@dataclass(frozen=True)
class Spot:
    """Machines that the cloud may take back."""

    preemptions_per_hour: float
    """Of one machine, on the average."""
    lease_seconds: float = 60.0
    """After so long a lost task is offered again."""


@dataclass(frozen=True)
class Fleet:
    """Workers, how fast they are, how they start and how many there are."""

    policy: WorkPolicy | FixedPool
    seconds_per_image: float
    seconds_per_task: float = 0.0
    """What a task costs beside its images."""
    start_up: StartUp = field(default_factory=StartUp)
    warm_workers: int = 0
    """Ready at the start, with the model loaded."""
    spot: Spot | None = None
    decide_every_seconds: float = 15.0
    """Between two decisions of the policy, and two samples."""
    stabilisation_seconds: float = 300.0
    """The policy goes down to the most that it wanted within this window."""


class Sample(NamedTuple):
    """The fleet at one moment."""

    seconds: float
    waiting: int
    """Tasks that nobody has."""
    leased: int
    starting: int
    """Workers asked for that are not ready."""
    ready: int


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    images: int
    tasks: int
    attempts: int
    """Tasks begun; more than `tasks` when machines were lost."""
    lost_machines: int
    makespan_seconds: float
    """From the start to the last result."""
    billed_seconds: float
    """Machine time, from a machine's arrival to its end, idle time with it."""
    busy_seconds: float
    """Machine time in which a task was in work."""
    mean_wait_seconds: float
    """Of a task, from its arrival to its last start."""
    started: list[float]
    """Last start of each task, seconds."""
    finished: list[float]
    """End of each task, seconds."""
    timeline: list[Sample]


class _Event(IntEnum):
    """What can happen; at one moment in this order."""

    ARRIVAL = 0
    BACK = 1
    DONE = 2
    READY = 3
    LOST = 4
    DECIDE = 5


@dataclass
class _Worker:
    """One machine."""

    billed_from: float
    ready: bool = False
    task: int | None = None
    since: float = 0.0
    leaving: bool = False


class _Run:
    """The state of a simulation."""

    def __init__(self, bundles: Sequence[Bundle], fleet: Fleet, seed: int) -> None:
        self.bundles = bundles
        self.fleet = fleet
        self.random = random.Random(seed)
        self.now = 0.0
        self.events: list[tuple[float, int, int, int]] = []
        self.pushed = 0
        self.waiting: deque[int] = deque()
        self.workers: dict[int, _Worker] = {}
        self.idle: deque[int] = deque()
        self.hired = 0
        self.leased = 0
        self.left = len(bundles)
        self.attempts = self.lost = 0
        self.billed = self.busy = 0.0
        self.idle_since = 0.0
        self.started = [math.nan] * len(bundles)
        self.finished = [math.nan] * len(bundles)
        self.recent: deque[tuple[float, int]] = deque()
        self.timeline: list[Sample] = []

    def outcome(self) -> Outcome:
        """Run to the end."""
        for _ in range(self.fleet.warm_workers):
            self.hire(StartUp())
        if self.bundles:
            self.push(self.bundles[0].arrival_seconds, _Event.ARRIVAL, 0)
        self.push(0.0, _Event.DECIDE, 0)
        act = {
            _Event.ARRIVAL: self.arrive,
            _Event.BACK: self.offer,
            _Event.DONE: self.finish,
            _Event.READY: self.ready,
            _Event.LOST: self.lose,
            _Event.DECIDE: self.decide,
        }
        while self.events:
            moment, kind, _, subject = heapq.heappop(self.events)
            self.now = moment
            act[_Event(kind)](subject)
        waits = (start - bundle.arrival_seconds for start, bundle in zip(self.started, self.bundles, strict=True))
        return Outcome(
            images=sum(bundle.images for bundle in self.bundles),
            tasks=len(self.bundles),
            attempts=self.attempts,
            lost_machines=self.lost,
            makespan_seconds=max(self.finished, default=0.0),
            billed_seconds=self.billed,
            busy_seconds=self.busy,
            mean_wait_seconds=math.fsum(waits) / max(1, len(self.bundles)),
            started=self.started,
            finished=self.finished,
            timeline=self.timeline,
        )

    def push(self, moment: float, kind: _Event, subject: int) -> None:
        self.pushed += 1
        heapq.heappush(self.events, (moment, kind, self.pushed, subject))

    # the ledger

    def arrive(self, task: int) -> None:
        if task + 1 < len(self.bundles):
            self.push(self.bundles[task + 1].arrival_seconds, _Event.ARRIVAL, task + 1)
        self.offer(task)

    def offer(self, task: int) -> None:
        if self.idle:
            self.begin(self.idle.popleft(), task)
        else:
            self.waiting.append(task)

    def begin(self, number: int, task: int) -> None:
        worker = self.workers[number]
        worker.task, worker.since = task, self.now
        self.leased += 1
        self.attempts += 1
        self.started[task] = self.now
        length = self.fleet.seconds_per_task + self.fleet.seconds_per_image * self.bundles[task].images
        self.push(self.now + length, _Event.DONE, number)

    def finish(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is None:  # lost meanwhile
            return
        task = worker.task
        assert task is not None and math.isnan(self.finished[task]), "a task is done once"
        self.finished[task] = self.now
        self.busy += self.now - worker.since
        worker.task = None
        self.leased -= 1
        self.left -= 1
        if not self.waiting and not self.leased:
            self.idle_since = self.now
        if self.left == 0 and isinstance(self.fleet.policy, FixedPool):
            self.push(self.now + self.fleet.policy.idle_seconds, _Event.DECIDE, 0)
        if worker.leaving:
            self.dismiss(number)
        else:
            self.take(number)

    def take(self, number: int) -> None:
        if self.waiting:
            self.begin(number, self.waiting.popleft())
        else:
            self.idle.append(number)

    # machines

    def hire(self, start_up: StartUp) -> None:
        number = self.hired
        self.hired += 1
        there = self.now + start_up.allocate_seconds
        self.workers[number] = _Worker(billed_from=there)
        self.push(self.now + start_up.seconds, _Event.READY, number)
        if self.fleet.spot is not None and self.fleet.spot.preemptions_per_hour > 0:
            life = self.random.expovariate(self.fleet.spot.preemptions_per_hour / 3600)
            self.push(there + life, _Event.LOST, number)

    def ready(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is not None:
            worker.ready = True
            self.take(number)

    def dismiss(self, number: int) -> None:
        worker = self.workers.pop(number)
        self.billed += max(0.0, self.now - worker.billed_from)

    def lose(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is None:  # gone before
            return
        self.lost += 1
        if worker.task is not None:
            assert self.fleet.spot is not None
            self.busy += self.now - worker.since
            self.leased -= 1
            self.push(self.now + self.fleet.spot.lease_seconds, _Event.BACK, worker.task)
        elif worker.ready:
            self.idle.remove(number)
        self.dismiss(number)
        if isinstance(self.fleet.policy, FixedPool) and self.left:
            self.hire(self.fleet.start_up)

    # decisions

    def decide(self, _: int) -> None:
        policy = self.fleet.policy
        here = sum(1 for worker in self.workers.values() if not worker.leaving)
        wanted = self.wanted(policy, here)
        for _ in range(wanted - here):
            self.hire(self.fleet.start_up)
        if wanted < here:
            self.scale_in(here - wanted)
        self.sample()
        if self.left or (self.workers and isinstance(policy, WorkPolicy)):
            self.push(self.now + self.fleet.decide_every_seconds, _Event.DECIDE, 0)

    def wanted(self, policy: WorkPolicy | FixedPool, here: int) -> int:
        if isinstance(policy, FixedPool):
            over = self.left == 0 and self.now >= self.idle_since + policy.idle_seconds
            return 0 if over else policy.workers
        idle_seconds = 0.0 if self.waiting or self.leased else self.now - self.idle_since
        if self.left == 0 and idle_seconds >= policy.cool_down_seconds:
            return 0  # the run is over: nobody keeps `min_workers` on its bill
        law = work_replicas(
            policy, waiting=len(self.waiting), leased=self.leased, workers=here, idle_seconds=idle_seconds
        )
        while self.recent and self.recent[0][0] < self.now - self.fleet.stabilisation_seconds:
            self.recent.popleft()
        self.recent.append((self.now, law))
        return law if law == 0 else stabilised(here, law, (count for _, count in self.recent))

    def scale_in(self, count: int) -> None:
        """Those that start go first, then the idle; the busy finish their task."""
        order = sorted(self.workers, key=self.cost_of_leaving)
        for number in [number for number in order if not self.workers[number].leaving][:count]:
            worker = self.workers[number]
            if worker.task is not None:
                worker.leaving = True
                continue
            if worker.ready:
                self.idle.remove(number)
            self.dismiss(number)

    def cost_of_leaving(self, number: int) -> tuple[bool, bool]:
        worker = self.workers[number]
        return worker.ready, worker.task is not None

    def sample(self) -> None:
        ready = sum(1 for worker in self.workers.values() if worker.ready)
        starting = len(self.workers) - ready
        self.timeline.append(Sample(self.now, len(self.waiting), self.leased, starting, ready))


def simulate(bundles: Sequence[Bundle], fleet: Fleet, *, seed: int = 0) -> Outcome:
    """Run `bundles`, sorted by arrival, through a fleet until all is done and every machine is gone."""
    return _Run(bundles, fleet, seed).outcome()
