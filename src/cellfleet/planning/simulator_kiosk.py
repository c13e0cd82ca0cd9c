"""The DeepCell Kiosk, simulated event by event: consumers on CPUs that share servers on GPUs, and its coupled loops.

A consumer takes a key, prepares the image, waits for a server, and finishes the image; servers and consumers are
counted by the kiosk's own policy (`policies.kiosk_replicas`), with Kubernetes' way of going up and down around it.
Consumers are alike and served in turn, so that counts are all the state there is. What the kiosk loses by time-outs, by
keys left behind and by its zip consumers is left out: the simulated kiosk is kinder than the real one. Knows no price.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from cellfleet.planning.formulas import StartUp
from cellfleet.planning.policies import (
    KioskReplicas,
    KioskSigns,
    PaperPolicy,
    kiosk_replicas,
    scale_up_limit,
    server_switch,
    stabilised,
)
from cellfleet.planning.simulator import Bundle


@dataclass(frozen=True)
class Kiosk:
    """A kiosk, how fast its parts are, and how its loops look at them."""

    policy: PaperPolicy
    server_images_per_second: float
    before_seconds: float
    """A consumer's work on an image before it asks a server."""
    after_seconds: float
    """And after the server's answer."""
    server_start_up: StartUp = field(default_factory=StartUp)
    consumer_start_seconds: float = 60.0
    images_per_key: int = 1
    """So many images are simulated as one: their times add up, which leaves throughput and sizes as they are. Bundles
    should hold a multiple."""
    switch_seconds: float = 5.0
    """Between two looks of the kiosk-autoscaler (0 ↔ 1)."""
    hpa_seconds: float = 15.0
    """Between two looks of the HPA."""
    metric_seconds: float = 60.0
    """The GPUs' duty cycle is the mean over this time."""
    stabilisation_seconds: float = 300.0
    """Before the HPA goes down."""


class KioskSample(NamedTuple):
    """The kiosk at one moment."""

    seconds: float
    waiting: int
    """Keys in the queue."""
    servers: int
    """Servers that answer."""
    consumers: int
    """Consumers that work or wait for work."""
    gpu_percent: float


@dataclass(frozen=True)
class KioskOutcome:
    """What came of a run."""

    images: int
    makespan_seconds: float
    server_seconds: float
    """Machine time of the servers, from a machine's arrival to its end."""
    server_busy_seconds: float
    consumer_seconds: float
    """Time of all consumers."""
    timeline: list[KioskSample]


class _Event(IntEnum):
    """What can happen; at one moment in this order."""

    ARRIVAL = 0
    SERVED = 1
    FINISHED = 2
    PREPARED = 3
    SERVER_READY = 4
    CONSUMER_READY = 5
    SWITCH = 6
    HPA = 7


class _Pods:
    """Pods of one kind: counts, and the machine time that they have cost."""

    def __init__(self) -> None:
        self.starting = self.free = self.busy = 0
        self.leaving = 0
        """Busy ones that go when they are done."""
        self.cancelled = 0
        """Starting ones that nobody wants any more; they go when they are ready."""
        self.seconds = self.busy_seconds = 0.0
        self.then = 0.0

    @property
    def replicas(self) -> int:
        return self.starting - self.cancelled + self.free + self.busy - self.leaving

    @property
    def ready(self) -> int:
        return self.free + self.busy

    def pass_time(self, now: float) -> None:
        self.seconds += (now - self.then) * (self.starting + self.free + self.busy)
        self.busy_seconds += (now - self.then) * self.busy
        self.then = now

    def remove(self, count: int) -> None:
        """Starting ones first, then the free; the busy finish what they have begun."""
        cancelled = min(count, self.starting - self.cancelled)
        self.cancelled += cancelled
        freed = min(count - cancelled, self.free)
        self.free -= freed
        self.leaving += min(count - cancelled - freed, self.busy - self.leaving)

    def arrive(self) -> bool:
        """One has started; False: it is not wanted any more."""
        self.starting -= 1
        if self.cancelled:
            self.cancelled -= 1
            return False
        self.free += 1
        return True

    def release(self) -> None:
        """A busy one is done."""
        self.busy -= 1
        if self.leaving:
            self.leaving -= 1
        else:
            self.free += 1


class _Run:
    """The state of a simulation."""

    def __init__(self, bundles: Sequence[Bundle], kiosk: Kiosk) -> None:
        self.bundles, self.kiosk = bundles, kiosk
        self.now = self.last = 0.0
        self.events: list[tuple[float, int, int]] = []
        self.keys = [math.ceil(bundle.images / kiosk.images_per_key) for bundle in bundles]
        self.left = sum(self.keys)
        self.waiting = self.asking = 0
        self.servers, self.consumers = _Pods(), _Pods()
        self.recent: deque[tuple[float, KioskReplicas]] = deque()
        self.usage: deque[tuple[float, float, float]] = deque([(0.0, 0.0, 0.0)])
        self.ready_seconds = self.ready_then = 0.0
        self.timeline: list[KioskSample] = []

    def outcome(self) -> KioskOutcome:
        """Run to the end."""
        self.consumers.free = 1  # minReplicas
        self.push(0.0, _Event.SWITCH)
        self.push(0.0, _Event.HPA)
        for number, bundle in enumerate(self.bundles):
            self.push(bundle.arrival_seconds, _Event.ARRIVAL, number)
        act = {
            _Event.ARRIVAL: self.arrive,
            _Event.PREPARED: self.ask,
            _Event.SERVED: self.answer,
            _Event.FINISHED: self.finish,
            _Event.SERVER_READY: self.server_ready,
            _Event.CONSUMER_READY: self.consumer_ready,
            _Event.SWITCH: self.switch,
            _Event.HPA: self.scale,
        }
        while self.events:
            moment, kind, subject = heapq.heappop(self.events)
            self.now = moment
            self.pass_time()
            act[_Event(kind)](subject)
        return KioskOutcome(
            images=sum(bundle.images for bundle in self.bundles),
            makespan_seconds=self.last,
            server_seconds=self.servers.seconds,
            server_busy_seconds=self.servers.busy_seconds,
            consumer_seconds=self.consumers.seconds,
            timeline=self.timeline,
        )

    def push(self, moment: float, kind: _Event, subject: int = 0) -> None:
        heapq.heappush(self.events, (moment, kind, subject))

    def pass_time(self) -> None:
        self.ready_seconds += (self.now - self.ready_then) * self.servers.ready
        self.ready_then = self.now
        self.servers.pass_time(self.now)
        self.consumers.pass_time(self.now)

    # the life of a key

    def arrive(self, number: int) -> None:
        self.waiting += self.keys[number]
        self.take()

    def take(self) -> None:
        """Free consumers take what waits."""
        count = min(self.waiting, self.consumers.free)
        self.waiting -= count
        self.consumers.free -= count
        self.consumers.busy += count
        for _ in range(count):
            self.push(self.now + self.kiosk.images_per_key * self.kiosk.before_seconds, _Event.PREPARED)

    def ask(self, _: int) -> None:
        self.asking += 1
        self.serve()

    def serve(self) -> None:
        """Free servers serve who asks."""
        count = min(self.asking, self.servers.free)
        self.asking -= count
        self.servers.free -= count
        self.servers.busy += count
        for _ in range(count):
            self.push(self.now + self.kiosk.images_per_key / self.kiosk.server_images_per_second, _Event.SERVED)

    def answer(self, _: int) -> None:
        self.servers.release()
        self.push(self.now + self.kiosk.images_per_key * self.kiosk.after_seconds, _Event.FINISHED)
        self.serve()

    def finish(self, _: int) -> None:
        self.consumers.release()
        self.left -= 1
        self.last = self.now
        self.take()

    # pods

    def server_ready(self, _: int) -> None:
        if self.servers.arrive():
            self.serve()

    def consumer_ready(self, _: int) -> None:
        if self.consumers.arrive():
            self.take()

    def set_servers(self, wanted: int) -> None:
        add = wanted - self.servers.replicas
        start_up = self.kiosk.server_start_up
        for _ in range(add):
            self.servers.starting += 1
            self.push(self.now + start_up.seconds, _Event.SERVER_READY)
            self.servers.seconds -= start_up.allocate_seconds  # no machine yet: not billed
        self.servers.remove(max(0, -add))

    def set_consumers(self, wanted: int) -> None:
        add = wanted - self.consumers.replicas
        for _ in range(add):
            self.consumers.starting += 1
            self.push(self.now + self.kiosk.consumer_start_seconds, _Event.CONSUMER_READY)
        self.consumers.remove(max(0, -add))

    # the loops

    def switch(self, _: int) -> None:
        self.set_servers(server_switch([self.waiting + self.consumers.busy], servers=self.servers.replicas))
        if self.left or self.servers.replicas:
            self.push(self.now + self.kiosk.switch_seconds, _Event.SWITCH)

    def scale(self, _: int) -> None:
        gpu_percent = self.gpu_percent()
        waiting = self.waiting * self.kiosk.images_per_key
        signs = KioskSigns(waiting, self.consumers.busy, gpu_percent, self.servers.ready)
        now = KioskReplicas(self.servers.replicas, self.consumers.replicas)
        law = kiosk_replicas(self.kiosk.policy, signs, now)
        while self.recent and self.recent[0][0] < self.now - self.kiosk.stabilisation_seconds:
            self.recent.popleft()
        self.recent.append((self.now, law))
        if now.servers and law.servers:  # the switch alone starts the first and takes the last
            wanted = stabilised(now.servers, law.servers, [one.servers for _, one in self.recent])
            self.set_servers(min(wanted, scale_up_limit(now.servers)))
        wanted = stabilised(now.consumers, law.consumers, [one.consumers for _, one in self.recent])
        self.set_consumers(min(wanted, scale_up_limit(now.consumers)))
        self.timeline.append(KioskSample(self.now, waiting, self.servers.ready, self.consumers.ready, gpu_percent))
        if self.left:
            self.push(self.now + self.kiosk.hpa_seconds, _Event.HPA)
        else:
            self.set_consumers(0)  # the run is over: the consumer that stays is nobody's bill

    def gpu_percent(self) -> float:
        """Mean duty cycle over the last `metric_seconds`."""
        self.usage.append((self.now, self.servers.busy_seconds, self.ready_seconds))
        while len(self.usage) > 2 and self.usage[1][0] <= self.now - self.kiosk.metric_seconds:
            self.usage.popleft()
        (_, busy_then, ready_then), (_, busy, ready) = self.usage[0], self.usage[-1]
        return 100.0 * (busy - busy_then) / (ready - ready_then) if ready > ready_then else 0.0


def simulate_kiosk(bundles: Sequence[Bundle], kiosk: Kiosk) -> KioskOutcome:
    """Run `bundles`, sorted by arrival, through a kiosk until all is done and every server is gone."""
    return _Run(bundles, kiosk).outcome()
