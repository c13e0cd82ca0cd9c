"""How many replicas a policy asks for, given what it measures: ours, the DeepCell Kiosk's, and the HPA's arithmetic.

Pure functions of numbers; each call is one decision. They are the reference for the formulas in the chart and what the
simulator runs. This module knows no cluster, no clock and no queue.

The kiosk's policy is that of Bannon et al. 2021 (doi 10.1038/s41592-020-01023-0) and of the Prometheus rules that the
kiosk was installed with; where text and rules differ, both are here (`CODE`, `PAPER_TENTH`, `PAPER_PLAIN`). The HPA's
arithmetic is Kubernetes': https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

TOLERANCE = 0.1
"""Within ± 10 % of the target the HPA leaves things as they are."""


# ours: workers follow the work


@dataclass(frozen=True)
class WorkPolicy:
    """Workers follow the work: so many tasks to each, none when nothing is left."""

    max_workers: int
    min_workers: int = 0
    tasks_per_worker: float = 1.0
    """Tasks, waiting or leased, that one worker is started for."""
    cool_down_seconds: float = 300.0
    """So long nothing must be left to do before the last worker goes."""
    tolerance: float = TOLERANCE
    """0 where nothing rounds; under KEDA the HPA's."""


def work_replicas(policy: WorkPolicy, *, waiting: int, leased: int, workers: int, idle_seconds: float = 0.0) -> int:
    """Workers that the policy wants.

    Args:
        policy: The policy.
        waiting: Tasks that nobody has taken yet (the stream's lag).
        leased: Tasks in flight.
        workers: Workers that there are, started or ready.
        idle_seconds: How long nothing has been waiting or leased.
    """
    work = waiting + leased
    if work == 0 and workers == 0:
        return policy.min_workers
    if work == 0:
        # KEDA's HPA cannot go below one; KEDA takes the last one away after the cool-down.
        kept = 1 if idle_seconds < policy.cool_down_seconds else 0
        return max(kept, policy.min_workers)
    hpa = Hpa(
        target=policy.tasks_per_worker,
        min_replicas=max(1, policy.min_workers),
        max_replicas=policy.max_workers,
        per_replica=True,
        tolerance=policy.tolerance,
    )
    # The step from zero is KEDA's, not the HPA's: it activates one, and the HPA goes on from there.
    return hpa_replicas(hpa, metric=work, current=max(1, workers))


# the HPA


@dataclass(frozen=True)
class Hpa:
    """One HorizontalPodAutoscaler with one metric."""

    target: float
    min_replicas: int
    max_replicas: int
    per_replica: bool = False
    """True: the metric is a sum, and `target` its share per replica (AverageValue). False: a Value."""
    tolerance: float = TOLERANCE
    max_growth: float | None = None
    """At most so many times the replicas in one step: None leaves it to the law. The same as to clamp the metric to
    `max_growth` × target before the HPA sees it; the chart has the HPA do it, by a scaling policy of percents."""


def hpa_replicas(hpa: Hpa, *, metric: float, current: int) -> int:
    """Replicas that the HPA wants: ceil(current × metric ÷ target), in its tolerance and bounds.

    At zero the HPA sleeps: 0 stays 0.
    """
    if current == 0:
        return 0
    ratio = metric / (hpa.target * current) if hpa.per_replica else metric / hpa.target
    if hpa.max_growth is not None:
        ratio = min(ratio, hpa.max_growth)
    wanted = current if near_one(ratio, hpa.tolerance) else ceil(current * ratio)
    return clip(wanted, hpa.min_replicas, hpa.max_replicas)


def stabilised(current: int, wanted: int, recent: Iterable[int]) -> int:
    """What the HPA does when it waits with going down: the most that it wanted within the window.

    Args:
        current: Replicas that there are.
        wanted: What `hpa_replicas` says now.
        recent: What it said within the window (300 seconds unless set otherwise).
    """
    if wanted >= current:
        return wanted
    return min(current, max([wanted, *recent]))


def scale_up_limit(current: int) -> int:
    """The most replicas after one step up in Kubernetes up to 1.17: twice as many, or four.

    `scaleUpLimitFactor` and `scaleUpLimitMinimum` of its controller. Today's default is the same law with the step
    counted per 15 seconds.
    """
    return max(2 * current, 4)


# the kiosk


class Reading(NamedTuple):
    """One reading of the kiosk's metric for its consumers."""

    keys_divisor: float
    """Keys per consumer are divided by it."""
    metric_beyond_bound: float
    """The metric when there are more consumers to a server than the bound."""
    bound_belongs: bool
    """True: exactly at the bound the first case still holds (≤); False: it does not (<)."""


CODE = Reading(keys_divisor=100.0, metric_beyond_bound=0.75 * 0.15, bound_belongs=True)
"""The Prometheus rule that the kiosk was installed with. Beyond the bound it shrinks by a quarter at each step."""
PAPER_TENTH = Reading(keys_divisor=10.0, metric_beyond_bound=0.135, bound_belongs=False)
"""The paper's formula, in the copy that prints a 10 under the ratio. 0.135 is 90 % of the target: in the tolerance,
so that beyond the bound it stands still."""
PAPER_PLAIN = Reading(keys_divisor=1.0, metric_beyond_bound=0.135, bound_belongs=False)
"""The paper's formula, in the copy that prints nothing under the ratio."""


@dataclass(frozen=True)
class PaperPolicy:
    """The kiosk's two loops: servers follow how busy their GPUs are, consumers the GPUs' slack and the keys."""

    max_gpus: int
    reading: Reading = CODE
    gpu_target_percent: float = 70.0
    consumer_target: float = 0.15
    consumers_per_gpu: int = 150
    """Bound of consumers to a server."""
    max_growth: float | None = None
    """`Hpa.max_growth` of both loops. With None one step multiplies the consumers by up to 1 ÷ 0.15 = 6.7."""

    @property
    def servers(self) -> Hpa:
        """The loop of the servers (TF-serving)."""
        return Hpa(self.gpu_target_percent, 1, self.max_gpus, max_growth=self.max_growth)

    @property
    def consumers(self) -> Hpa:
        """The loop of the consumers."""
        most = self.consumers_per_gpu * self.max_gpus
        return Hpa(self.consumer_target, 1, most, max_growth=self.max_growth)


class KioskSigns(NamedTuple):
    """What the kiosk's loops measure."""

    waiting: int
    """Keys in the queue."""
    processing: int
    """Lists of keys in work: one per busy consumer."""
    gpu_percent: float
    """Mean duty cycle of the servers' GPUs, 0…100; 0 where there is none."""
    ready_servers: int | None = None
    """Servers that answer; None: all that there are."""


class KioskReplicas(NamedTuple):
    """What the kiosk's loops set."""

    servers: int
    consumers: int


def consumer_metric(policy: PaperPolicy, signs: KioskSigns, replicas: KioskReplicas) -> float:
    """The metric that the kiosk's consumers follow, 0…1.

    0 without a server that answers; else the smaller of the GPUs' slack and the scaled keys per consumer, while there
    are no more consumers to a server than the bound; else a constant below the target.
    """
    consumers = replicas.consumers
    servers = replicas.servers if signs.ready_servers is None else signs.ready_servers
    if servers == 0:
        return 0.0
    per_server = consumers / servers
    within = per_server < policy.consumers_per_gpu or (
        policy.reading.bound_belongs and per_server == policy.consumers_per_gpu
    )
    if not within:
        return policy.reading.metric_beyond_bound
    slack = 1.0 - signs.gpu_percent / 100.0
    keys = signs.waiting / max(1, consumers) / policy.reading.keys_divisor
    return min(slack, keys, 1.0)


def server_switch(work_of_queues: Iterable[int], *, servers: int) -> int:
    """The kiosk-autoscaler: servers from 0 to 1 and back; above that it leaves them to the HPA.

    Args:
        work_of_queues: For each queue its keys and its lists of keys in work together.
        servers: Servers that there are.
    """
    wanted = min(1, sum(min(1, work) for work in work_of_queues))
    return max(wanted, servers) if wanted else 0


def kiosk_replicas(policy: PaperPolicy, signs: KioskSigns, replicas: KioskReplicas) -> KioskReplicas:
    """One step of the kiosk's coupled loops, all seeing the same moment."""
    switched = server_switch([signs.waiting + signs.processing], servers=replicas.servers)
    if switched == 0 or replicas.servers == 0:
        servers = switched
    else:
        servers = hpa_replicas(policy.servers, metric=signs.gpu_percent, current=replicas.servers)
    metric = consumer_metric(policy, signs, replicas)
    consumers = hpa_replicas(policy.consumers, metric=metric, current=max(1, replicas.consumers))
    return KioskReplicas(servers, consumers)


# arithmetic that all share


def clip(value: int, least: int, most: int) -> int:
    """`value`, or the bound that it oversteps."""
    return max(least, min(most, value))


def ceil(value: float) -> int:
    """The next whole number up; what lies above one by rounding only, such as 30.000000000000004, is that one."""
    return math.ceil(round(value, 9))


def near_one(ratio: float, tolerance: float) -> bool:
    """Whether the HPA leaves things as they are; the edge belongs to it, in spite of rounding."""
    return abs(ratio - 1.0) <= tolerance + 1e-9
