"""The deep watershed by its definition, in plain Python: slow, obvious, and sharing nothing with the kernel.

h-maxima (the 8 neighbours, and hops within a disk of `radius`) and Meyer's priority flood (4 neighbours), with pixels
in the documented total order: first field, second field, raster order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellfleet.spec.postprocess import DeepWatershed

Field = NDArray[np.float32]
Ranks = NDArray[np.int64]
Pixel = tuple[int, int]

FOUR = [(-1, 0), (0, -1), (0, 1), (1, 0)]


def ranks(first: Field, second: Field) -> Ranks:
    """Position of every pixel in the total order; no two are equal."""
    order = np.lexsort((-np.arange(first.size), second.ravel(), first.ravel()))
    result = np.empty(first.size, np.int64)
    result[order] = np.arange(first.size)
    return result.reshape(first.shape)


def steps(radius: int) -> list[Pixel]:
    reach = max(radius, 1)
    around = range(-reach, reach + 1)
    return [
        (dy, dx)
        for dy in around
        for dx in around
        if (dy, dx) != (0, 0) and (dy * dy + dx * dx <= radius * radius or max(abs(dy), abs(dx)) == 1)
    ]


def neighbours(pixel: Pixel, moves: list[Pixel], shape: tuple[int, ...]) -> Iterator[Pixel]:
    for dy, dx in moves:
        y, x = pixel[0] + dy, pixel[1] + dx
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            yield y, x


def pass_to_higher(peak: Pixel, field: Field, rank: Ranks, moves: list[Pixel]) -> float:
    """The lowest value on the best path from `peak` to any higher pixel; 0 where there is none."""
    lowest, seen, queue = float(field[peak]), {peak}, [(-rank[peak], peak)]
    while queue:
        _, pixel = heapq.heappop(queue)
        if field[pixel] <= 0:
            return 0.0
        if rank[pixel] > rank[peak]:
            return lowest
        lowest = min(lowest, float(field[pixel]))
        for other in neighbours(pixel, moves, field.shape):
            if other not in seen:
                seen.add(other)
                heapq.heappush(queue, (-rank[other], other))
    return 0.0


def find_seeds(maxima: Field, interior: Field, spec: DeepWatershed) -> list[Pixel]:
    rank, moves, seeds = ranks(maxima, interior), steps(spec.radius), []
    for peak in np.ndindex(*maxima.shape):
        if maxima[peak] > 0 and all(rank[peak] > rank[n] for n in neighbours(peak, steps(1), maxima.shape)):
            rise = float(maxima[peak]) - pass_to_higher(peak, maxima, rank, moves)
            if rise > 0 and rise >= spec.maxima_threshold:
                seeds.append(peak)
    return seeds


def flood(maxima: Field, interior: Field, seeds: list[Pixel], spec: DeepWatershed) -> NDArray[np.uint32]:
    rank, mask = ranks(interior, maxima), interior > np.float32(spec.interior_threshold)
    labels = np.zeros(interior.shape, np.uint32)
    queue: list[tuple[int, Pixel]] = []
    for label, seed in enumerate(seeds, start=1):
        if mask[seed]:
            labels[seed] = label
            heapq.heappush(queue, (-rank[seed], seed))
    while queue:
        _, pixel = heapq.heappop(queue)
        for other in neighbours(pixel, FOUR, labels.shape):
            if mask[other] and not labels[other]:
                labels[other] = labels[pixel]
                heapq.heappush(queue, (-rank[other], other))
    return labels


def holes(labels: NDArray[np.uint32]) -> Iterator[tuple[set[Pixel], int]]:
    """Every background component (4-connected) that one object encloses, and that object."""
    seen: set[Pixel] = set()
    for start in np.ndindex(*labels.shape):
        if labels[start] or start in seen:
            continue
        component, stack, around, closed = {start}, [start], set(), True
        while stack:
            pixel = stack.pop()
            reached = list(neighbours(pixel, FOUR, labels.shape))
            closed &= len(reached) == 4
            around |= {int(labels[n]) for n in reached if labels[n]}
            fresh = {n for n in reached if not labels[n]} - component
            component |= fresh
            stack += fresh
        seen |= component
        if closed and len(around) == 1:
            yield component, around.pop()


def renumber(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    values, first = np.unique(labels, return_index=True)
    kept = [value for _, value in sorted(zip(first, values, strict=True)) if value]
    table = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[labels]


def deep_watershed(maxima: Field, interior: Field, spec: DeepWatershed) -> NDArray[np.uint32]:
    """Reference for fields that need no smoothing and no expansion."""
    labels = flood(maxima, interior, find_seeds(maxima, interior, spec), spec)
    areas = np.bincount(labels.ravel())
    labels[areas[labels] < spec.small_objects_threshold] = 0
    for component, owner in list(holes(labels)):
        if len(component) <= spec.fill_holes_threshold:
            for pixel in component:
                labels[pixel] = owner
    return renumber(labels)
