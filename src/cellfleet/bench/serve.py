"""The serving benchmark: a model, by configuration, under unique requests. Measures; builds no model, draws nothing.

As the serving talk did it (Microsoft's AKSDeploymentTutorial, 2019): variations of one image of which a pixel is
changed, so that nothing can be cached; so many requests under way at a time; and whether the answers are right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.bench.endpoint import Endpoint
from cellfleet.bench.statistics import Latencies, latencies, scaling_efficiency
from cellfleet.errors import UsageError
from cellfleet.inference.graph import Tensor

CHECKED: Final = 10
"""Requests of a configuration whose answers are compared."""
_CLOSE_RELATIVE, _CLOSE_ABSOLUTE = 1e-3, 1e-5
"""Of floating-point outputs; runtimes and processors round differently."""
_CLOSE_STEPS: Final = 2
"""Of integer outputs."""


@dataclass(frozen=True)
class Configuration:
    """One cell of the grid."""

    model: str
    device: str
    """``cpu``, ``cuda``, or ``server`` where somebody else computes."""
    replicas: int
    concurrency: int
    """Requests under way for each replica."""


@dataclass(frozen=True)
class Measured:
    """What came of a configuration."""

    configuration: Configuration
    images: int
    seconds: float
    """From the first request to the last answer."""
    latency: Latencies
    right: int
    """Of `checked` answers, those that equal the reference."""
    checked: int

    @property
    def throughput(self) -> float:
        """Images a second."""
        return self.images / self.seconds


class Inputs:
    """Requests that differ from each other in a value: the n-th is always the same."""

    def __init__(self, tensors: Sequence[Tensor], side: int) -> None:
        """Make the one image that all vary.

        Args:
            tensors: What the model takes.
            side: Length of an axis that may have any, but for the batch, which is 1.

        Raises:
            UsageError: E771, such a tensor cannot be made.
        """
        random = np.random.default_rng(0)
        self._base: dict[str, NDArray[Any]] = {}
        for tensor in tensors:
            if tensor.datatype not in {"FP32", "UINT8", "UINT16"}:
                raise UsageError(
                    "E771",
                    f"its input {tensor.name} is {tensor.datatype}; made are FP32, UINT8 and UINT16",
                    action="Measure a model of images",
                )
            shape = [1 if axis == 0 else side if size == -1 else size for axis, size in enumerate(tensor.shape)]
            dtype = {"FP32": np.float32, "UINT8": np.uint8, "UINT16": np.uint16}[tensor.datatype]
            self._base[tensor.name] = (random.random(shape) * 255).astype(dtype)
            if tensor.name == "contrast":  # of cellfleet's own models: the values that become 0 and 1
                self._base[tensor.name][...] = np.array([0, 255], dtype)
        self._varied = max(self._base, key=lambda name: self._base[name].size)

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return the request with this number."""
        made = dict(self._base)
        varied = made[self._varied].copy()
        flat = varied.reshape(-1)
        # Two values write the number down, so that as many requests differ as the product of their ranges.
        flat[number % flat.size] += 1
        flat[-1 - number // flat.size % flat.size] += 2
        made[self._varied] = varied
        return made


def measure(
    configuration: Configuration,
    endpoint: Endpoint,
    inputs: Inputs,
    images: int,
    first: int,
    reference: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]],
) -> Measured:
    """Send requests, `images` of them, and check some of the answers.

    Args:
        configuration: As many requests are under way as it says.
        endpoint: Who is asked.
        inputs: Makes requests.
        images: How many.
        first: Number of the first; one more is sent before, for what is set up at the first call.
        reference: What an answer should be; asked when the clock has stopped.

    Raises:
        CellfleetError: A request failed.
    """
    endpoint.infer(inputs(first))
    kept: dict[int, Mapping[str, NDArray[Any]]] = {}
    numbers = range(first + 1, first + 1 + images)
    sampled = set(np.random.default_rng(first).choice(numbers, min(CHECKED, images), replace=False).tolist())

    def ask(number: int) -> float:
        made = inputs(number)
        began = time.perf_counter()
        answer = endpoint.infer(made)
        took = time.perf_counter() - began
        if number in sampled:
            kept[number] = answer
        return took

    threads = configuration.replicas * configuration.concurrency
    with ThreadPoolExecutor(threads) as pool:
        ready = threading.Barrier(threads)
        list(pool.map(lambda _: ready.wait(), range(threads)))  # starting threads is not what is measured
        began = time.perf_counter()
        seconds = list(pool.map(ask, numbers))
        total = time.perf_counter() - began
    right = sum(same_answer(answer, reference(inputs(number))) for number, answer in kept.items())
    return Measured(configuration, images, total, latencies(seconds), right, len(kept))


def same_answer(answer: Mapping[str, NDArray[Any]], said: Mapping[str, NDArray[Any]]) -> bool:
    """Say whether two answers are equal up to how runtimes round."""
    return answer.keys() == said.keys() and all(_same(values, said[name]) for name, values in answer.items())


def _same(values: NDArray[Any], said: NDArray[Any]) -> bool:
    if values.shape != said.shape:
        return False
    if values.dtype.kind == "f":
        return bool(np.allclose(values, said, rtol=_CLOSE_RELATIVE, atol=_CLOSE_ABSOLUTE))
    return bool((np.abs(values.astype(np.int64) - said.astype(np.int64)) <= _CLOSE_STEPS).all())


def over_grid(
    configurations: Sequence[Configuration],
    opened: Callable[[Configuration], Endpoint],
    references: Callable[[Configuration, Endpoint], Endpoint],
    *,
    images: int,
    side: int,
) -> Iterator[Measured]:
    """Measure one configuration after the other.

    Args:
        configurations: What to measure.
        opened: Opens who is asked.
        references: Opens who says what is right; may be who is asked.
        images: Requests for each.
        side: As for `Inputs`.
    """
    for place, configuration in enumerate(configurations):
        with closing(opened(configuration)) as endpoint:
            inputs = Inputs(endpoint.inputs, side)
            reference = references(configuration, endpoint)
            # No request of another configuration comes again: a server may remember it.
            yield measure(configuration, endpoint, inputs, images, place * (images + 1), reference.infer)


def efficiencies(measured: Sequence[Measured]) -> list[float | None]:
    """Return the scaling efficiency of each; None where one replica was not measured with the rest being equal."""
    alone = {_but_replicas(one): one.throughput for one in measured if one.configuration.replicas == 1}
    return [
        scaling_efficiency(one.throughput, one.configuration.replicas, alone[_but_replicas(one)])
        if _but_replicas(one) in alone
        else None
        for one in measured
    ]


def _but_replicas(one: Measured) -> tuple[str, str, int]:
    return one.configuration.model, one.configuration.device, one.configuration.concurrency
