"""What many seconds say: throughput, percentiles, spread, scaling, price. Pure; knows no server and no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Several runs of one measurement."""

    mean: float
    sd: float
    """Of the sample (n − 1); nan for one run."""
    runs: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.sd:.2g}" if self.runs > 1 else f"{self.mean:.3g}"


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of at least one value."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(np.mean(values)), sd, len(values))


@dataclass(frozen=True)
class Latencies:
    """Seconds of many requests."""

    p50: float
    p95: float
    p99: float
    variation: float
    """Coefficient of variation: standard deviation ÷ mean, of the sample; 0 for a single request."""


def latencies(seconds: Sequence[float]) -> Latencies:
    """Sum up at least one request; percentiles are interpolated between the two nearest values."""
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99)))
    variation = float(np.std(seconds, ddof=1) / np.mean(seconds)) if len(seconds) > 1 else 0.0
    return Latencies(p50, p95, p99, variation)


def scaling_efficiency(throughput: float, replicas: int, of_one: float) -> float:
    """Return T(n) ÷ (n · T(1)): 1 where n replicas do n times as much as one."""
    return throughput / (replicas * of_one)


def usd_per_1000(usd_per_hour: float, images_per_second: float) -> float:
    """Return what a thousand images cost on machines that cost so much, and are never idle."""
    return usd_per_hour / 3600 / images_per_second * 1000


def bound_images_per_second(gigabits_per_second: float, bytes_per_image: float) -> float:
    """Return how many images a link carries; a gigabit is 10⁹ bits."""
    return gigabits_per_second * 1e9 / 8 / bytes_per_image
