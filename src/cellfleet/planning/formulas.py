"""Closed formulas of time and size: pools of nodes, shares of set-up, clusters that keep up, queues that wait.

Seconds in, seconds out. The formulas of node pools are those of "Running DeepCell on Google Batch with node pools"
(Haley, Langit, Ge, 2024); the sizing law is that of Bannon et al. 2021 (doi 10.1038/s41592-020-01023-0). The simulator
agrees with them where they hold. Knows no price, image or cloud.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class StartUp:
    """What a worker does before its first task, in order. Seconds."""

    allocate_seconds: float = 0.0
    """Until the cloud has given a machine. Not billed."""
    pull_seconds: float = 0.0
    """Fetch and unpack the image."""
    load_seconds: float = 0.0
    """Read the model."""
    warm_up_seconds: float = 0.0
    """The first inference's extra."""

    @property
    def seconds(self) -> float:
        """From asking for the worker to its first task."""
        return self.allocate_seconds + self.billed_seconds

    @property
    def billed_seconds(self) -> float:
        """The part for which the machine is there, and paid."""
        return self.pull_seconds + self.load_seconds + self.warm_up_seconds


# pools of nodes


@dataclass(frozen=True)
class Jobs:
    """Jobs of equal length over equal nodes."""

    jobs: int
    nodes: int
    allocate_seconds: float
    set_up_seconds: float
    run_seconds: float

    @property
    def waves(self) -> int:
        """How often every node works: ⌈n ÷ p⌉."""
        return math.ceil(self.jobs / self.nodes)

    @property
    def no_pool_seconds(self) -> float:
        """Every job gets a node of its own: W (a + s + r)."""
        return self.waves * (self.allocate_seconds + self.set_up_seconds + self.run_seconds)

    @property
    def cold_pool_seconds(self) -> float:
        """Nodes are set up once: a + s + W r."""
        return self.allocate_seconds + self.set_up_seconds + self.waves * self.run_seconds

    @property
    def warm_pool_seconds(self) -> float:
        """Nodes are there and set up: W r."""
        return self.waves * self.run_seconds

    @property
    def saved_seconds(self) -> float:
        """What a cold pool saves over none: (a + s)(W - 1)."""
        return (self.allocate_seconds + self.set_up_seconds) * (self.waves - 1)

    @property
    def work_seconds(self) -> float:
        """Node-seconds of work, n r: the same with every pool."""
        return self.jobs * self.run_seconds


def set_up_share(set_up_seconds: float, job_seconds: float) -> float:
    """Share of a job's time that is set-up, 0…1: s ÷ (s + job)."""
    return set_up_seconds / (set_up_seconds + job_seconds)


def pull_seconds(tasks: int, workers: int, start_up: StartUp, task_seconds: float) -> float:
    """Workers that start once, keep the model and pull until nothing is left: start-up + ⌈n ÷ p⌉ × task."""
    return start_up.seconds + math.ceil(tasks / workers) * task_seconds


# how large a cluster keeps up


def images_per_second(megabits_per_second: float, megabytes_per_image: float) -> float:
    """Images that an upload brings in a second. Mega is 10⁶."""
    return megabits_per_second / (8.0 * megabytes_per_image)


def workers_to_keep_up(arrivals_per_second: float, images_per_worker_second: float) -> int:
    """The sizing law d = N s, solved for N: so many workers do as much as arrives, and no more."""
    return max(1, math.ceil(round(arrivals_per_second / images_per_worker_second, 9)))


def bound_seconds(images: int, arrivals_per_second: float, workers: int, images_per_worker_second: float) -> float:
    """No run is shorter: the slower of upload and workers, start-up left out."""
    return images / min(arrivals_per_second, workers * images_per_worker_second)


# waiting


def mm_c_wait_seconds(arrivals_per_second: float, service_seconds: float, servers: int) -> float:
    """Mean wait before service with exponential service times (Erlang C); infinite when they cannot keep up."""
    load = arrivals_per_second * service_seconds
    if load >= servers:
        return math.inf
    # Erlang B by its recurrence, which does not overflow; C follows from B.
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    busy = load / servers
    waits = blocked / (1.0 - busy * (1.0 - blocked))
    return waits * service_seconds / (servers * (1.0 - busy))


def md_c_wait_seconds(arrivals_per_second: float, service_seconds: float, servers: int) -> float:
    """Mean wait before service when tasks come at random and each takes the same time (M/D/c).

    Exact for one server; else the approximation of Cosmetatos (1975, Operational Research Quarterly 26:615), whose
    error is some percent.
    """
    wait = mm_c_wait_seconds(arrivals_per_second, service_seconds, servers)
    busy = arrivals_per_second * service_seconds / servers
    if not 0.0 < busy < 1.0:
        return wait
    spread = (1.0 - busy) * (servers - 1) * (math.sqrt(4.0 + 5.0 * servers) - 2.0) / (16.0 * busy * servers)
    return wait * 0.5 * (1.0 + spread)
