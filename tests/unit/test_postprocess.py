"""The deep watershed equals its definition, pixel by pixel, on fields with and without ties.

The definition stands in the first half of this file, slow and obvious, sharing nothing with the kernel: h-maxima (the
8 neighbours, and hops within a disk of `radius`) and Meyer's priority flood (4 neighbours), with pixels in the
documented total order: first field, second field, raster order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import gaussian
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from cellfleet.pipeline.postprocess import deep_watershed, deep_watershed_with_seeds
from cellfleet.spec.postprocess import DeepWatershed

Field = NDArray[np.float32]
Labels = NDArray[np.uint32]
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


def flood(maxima: Field, interior: Field, seeds: list[Pixel], spec: DeepWatershed) -> Labels:
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


def holes(labels: Labels) -> Iterator[tuple[set[Pixel], int]]:
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


def renumber(labels: Labels) -> Labels:
    values, first = np.unique(labels, return_index=True)
    kept = [value for _, value in sorted(zip(first, values, strict=True)) if value]
    table = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[labels]


def reference(maxima: Field, interior: Field, spec: DeepWatershed) -> Labels:
    """For fields that need no smoothing and no expansion."""
    labels = flood(maxima, interior, find_seeds(maxima, interior, spec), spec)
    areas = np.bincount(labels.ravel())
    labels[areas[labels] < spec.small_objects_threshold] = 0
    for component, owner in list(holes(labels)):
        if len(component) <= spec.fill_holes_threshold:
            for pixel in component:
                labels[pixel] = owner
    return renumber(labels)


# --- fields ------------------------------------------------------------------------------------------------------

PLAIN = DeepWatershed(radius=1, maxima_threshold=0.1, maxima_smooth=0, interior_threshold=0.2, interior_smooth=0)
"""Nothing smoothed and nothing dropped: what the definition covers."""


def random_field(random: np.random.Generator, shape: tuple[int, int], blur: float, steps_of_grey: int) -> Field:
    """Values 0…1; with `steps_of_grey` > 0 there are plateaus and ties, with 0 there are none."""
    field = ndimage.gaussian_filter(random.random(shape), blur)
    field = (field - field.min() * random.random()) / max(field.max(), 1e-9)
    return (np.round(field * steps_of_grey) / steps_of_grey if steps_of_grey else field).astype(np.float32)


@st.composite
def field_pairs(draw: st.DrawFn, greys: tuple[int, ...] = (0, 0, 3, 8, 40)) -> tuple[Field, Field]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 24)), draw(st.integers(1, 24)))
    blur, steps_of_grey = draw(st.sampled_from([0, 0.7, 1.5])), draw(st.sampled_from(greys))
    maxima = random_field(random, shape, blur, steps_of_grey)
    return maxima, (maxima if draw(st.booleans()) else random_field(random, shape, blur, steps_of_grey))


specs = st.builds(
    DeepWatershed,
    radius=st.sampled_from([0, 1, 2, 3, 5, 10]),
    maxima_threshold=st.sampled_from([0, 0.02, 0.1, 0.3]),
    maxima_smooth=st.just(0),
    interior_threshold=st.sampled_from([0, 0.2, 0.5]),
    interior_smooth=st.just(0),
    small_objects_threshold=st.sampled_from([0, 3, 6.5]),
    fill_holes_threshold=st.sampled_from([0, 1, 4, 20.5, 1e9]),
)


def blobs(shape: tuple[int, int] = (96, 120), seed: int = 0) -> NDArray[np.uint8]:
    """A head as a network gives it: smooth, noisy, uint8."""
    field = random_field(np.random.default_rng(seed), shape, 3, 0)
    return np.round(255 * np.clip((field - 0.75) * 4, 0, 1)).astype(np.uint8)


# --- the kernel equals the definition ----------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(field_pairs(), specs)
def test_equals_the_definition_with_and_without_ties(fields: tuple[Field, Field], spec: DeepWatershed) -> None:
    np.testing.assert_array_equal(deep_watershed(*fields, spec), reference(*fields, spec))


@pytest.mark.parametrize("radius", [2, 10])
def test_equals_scikit_image_where_nothing_ties(radius: int) -> None:
    """The parts of deepcell_toolbox's deep_watershed, in float64, on fields as large and smooth as real ones."""
    random = np.random.default_rng(3)
    maxima, interior = (random_field(random, (160, 200), blur, 0) for blur in (4, 3))
    maxima, interior = ((field - field.min()) / np.ptp(field) for field in (maxima, interior))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    spec = PLAIN.model_copy(update={"radius": radius, "maxima_threshold": 0.05, "interior_threshold": 0.4})
    peaks = h_maxima(maxima.astype(np.float64), 0.05, footprint=(y * y + x * x <= radius * radius))
    markers, _ = ndimage.label(peaks, np.ones((3, 3)))
    expected = watershed(-interior.astype(np.float64), markers, mask=interior > 0.4, connectivity=1)
    labels = deep_watershed(maxima, interior, spec)
    assert labels.max() > 10
    np.testing.assert_array_equal(labels, renumber(expected.astype(np.uint32)))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1, 2, 7.3])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (9, 70), (50, 50)])
def test_smoothing_is_scikit_images_gaussian(sigma: float, shape: tuple[int, int]) -> None:
    """Seen through the threshold: the mask of the labels is the smoothed interior above it."""
    maxima, interior = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    smooth = gaussian(interior.astype(np.float64), sigma)
    for threshold in np.quantile(smooth, [0.2, 0.5, 0.8]):
        changes = {"interior_smooth": sigma, "interior_threshold": float(threshold), "maxima_threshold": 0}
        mask = deep_watershed(maxima, interior, PLAIN.model_copy(update=changes)) > 0
        pieces, _ = ndimage.label(smooth > threshold)
        reached = np.isin(pieces, pieces[mask & (pieces > 0)]) & (pieces > 0)
        certain = np.abs(smooth - threshold) > 1e-6
        assert mask.sum() > mask.size // 20
        np.testing.assert_array_equal(mask[certain], reached[certain])


def test_maxima_are_smoothed_before_they_are_judged() -> None:
    maxima = np.zeros((9, 9), np.float32)
    maxima[4, 4] = 1
    interior = np.ones((9, 9), np.float32)
    for sigma, objects in ((0, 1), (3, 0)):
        spec = PLAIN.model_copy(update={"maxima_smooth": sigma, "maxima_threshold": 0.2})
        assert deep_watershed(maxima, interior, spec).max() == objects


def test_expansion_dilates_the_interior_by_a_square() -> None:
    interior = np.zeros((11, 13), np.float32)
    interior[5, 6] = interior[0, 0] = 1
    expected = ndimage.grey_dilation(interior, (5, 5)) > 0.2
    labels = deep_watershed(interior, interior, PLAIN.model_copy(update={"pixel_expansion": 2}))
    np.testing.assert_array_equal(labels > 0, expected)


# --- promises ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(field_pairs(), specs)
def test_labels_are_gapless_in_raster_order_and_objects_are_4_connected_around_one_seed(
    fields: tuple[Field, Field], spec: DeepWatershed
) -> None:
    labels, seeds = deep_watershed_with_seeds(*fields, spec)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, renumber(labels))
    assert labels.max(initial=0) == len(seeds)
    for label, seed in enumerate(seeds, start=1):
        assert labels.ravel()[seed] == label
        assert ndimage.label(labels == label)[1] == 1


@settings(max_examples=60, deadline=None)
@given(field_pairs(greys=(0,)), specs, st.sampled_from([np.fliplr, np.flipud, np.transpose, np.rot90]))
def test_turned_fields_give_turned_objects_where_nothing_ties(
    fields: tuple[Field, Field], spec: DeepWatershed, turn: Callable[[Any], Any]
) -> None:
    first, second = (np.ascontiguousarray(turn(field)) for field in fields)
    turned = deep_watershed(first, second, spec)
    np.testing.assert_array_equal(turned, renumber(turn(deep_watershed(*fields, spec))))


@given(st.integers(0, 100), st.sampled_from([0.0, 1.0]))
def test_bytes_mean_256_steps_from_0_to_1(seed: int, sigma: float) -> None:
    head, other = blobs(seed=seed), blobs(seed=seed + 1)
    spec = DeepWatershed(maxima_smooth=sigma, small_objects_threshold=4, fill_holes_threshold=4)
    first, second = (field.astype(np.float32) / np.float32(255) for field in (head, other))
    np.testing.assert_array_equal(deep_watershed(head, other, spec), deep_watershed(first, second, spec))


def test_threads_in_parallel_give_the_same_labels() -> None:
    heads = [blobs(seed=seed) for seed in range(12)]
    alone = [deep_watershed(head, head, DeepWatershed()) for head in heads]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda head: deep_watershed(head, head, DeepWatershed()), heads * 3))
    for labels, expected in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(labels, expected)


def test_a_flat_top_is_one_seed_even_without_prominence() -> None:
    head = np.zeros((12, 16), np.uint8)
    head[2:10, 2:14] = 255
    head[5:7, 5:11] = 250
    for h in (0, 0.1):
        assert deep_watershed(head, head, PLAIN.model_copy(update={"maxima_threshold": h})).max() == 1


def test_a_saturated_interior_is_divided_along_the_maxima() -> None:
    """Two touching nuclei in one flat foreground: each seed gets its own half, not what raster order would give."""
    x = np.arange(40)
    profile = np.maximum(np.exp(-((x - 9.5) ** 2) / 60), np.exp(-((x - 29.5) ** 2) / 60))
    maxima = np.tile(np.round(255 * profile).astype(np.uint8), (10, 1))
    labels = deep_watershed(maxima, np.full_like(maxima, 255), PLAIN.model_copy(update={"interior_smooth": 2}))
    np.testing.assert_array_equal(labels, np.repeat([[1] * 20 + [2] * 20], 10, axis=0))


@pytest.mark.parametrize(("radius", "objects"), [(1, 2), (2, 2), (3, 2), (4, 1), (6, 1)])
def test_radius_joins_peaks_that_a_hop_connects(radius: int, objects: int) -> None:
    maxima = np.full((9, 15), 0.1, np.float32)
    maxima[4, 5], maxima[4, 9] = 1, 0.9
    spec = PLAIN.model_copy(update={"radius": radius, "maxima_threshold": 0.3})
    assert deep_watershed(maxima, np.ones_like(maxima), spec).max() == objects


def test_a_peak_counts_from_zero() -> None:
    low = np.full((5, 5), 0.05, np.float32)
    assert deep_watershed(low, np.ones_like(low), PLAIN).max() == 0
    assert deep_watershed(low, np.ones_like(low), PLAIN.model_copy(update={"maxima_threshold": 0.05})).max() == 1


def test_a_peak_that_rises_exactly_h_is_a_seed() -> None:
    head = np.full((5, 5), 0.5, np.float32)
    assert deep_watershed(head, head, PLAIN.model_copy(update={"maxima_threshold": 0.5})).max() == 1


def test_interior_without_a_seed_gets_no_label() -> None:
    interior = np.zeros((5, 9), np.float32)
    interior[1:4, 1:4] = interior[1:4, 5:8] = 1
    maxima = np.zeros_like(interior)
    maxima[2, 6] = 1
    np.testing.assert_array_equal(deep_watershed(maxima, interior, PLAIN) > 0, (interior > 0) & (np.arange(9) > 4))


def test_what_is_not_finite_counts_as_zero() -> None:
    clean = blobs().astype(np.float32) / 255
    clean[10:20, 10:20] = 0
    dirty = clean.copy()
    dirty[10:20, 10:15], dirty[10:20, 15:19], dirty[10:20, 19] = np.nan, np.inf, -np.inf
    dirty[11:20:2, 10:20], dirty[12:20:2, 10:20] = 3e38, -3e38
    smooth = PLAIN.model_copy(update={"maxima_smooth": 1.0, "interior_smooth": 1.0})
    np.testing.assert_array_equal(deep_watershed(dirty, dirty, smooth), deep_watershed(clean, clean, smooth))


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0), (1, 1), (1, 7), (7, 1)])
@pytest.mark.parametrize("value", [0, 255])
def test_odd_sizes_all_background_and_all_foreground(shape: tuple[int, int], value: int) -> None:
    head = np.full(shape, value, np.uint8)
    labels = deep_watershed(head, head, DeepWatershed(fill_holes_threshold=15, pixel_expansion=1))
    np.testing.assert_array_equal(labels, np.full(shape, int(value > 0)))


def test_wrong_arrays_are_refused() -> None:
    head = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="expected shape"):
        deep_watershed(head, np.zeros((4, 5), np.uint8), PLAIN)
    with pytest.raises(TypeError, match="expected a 2-dimensional"):
        deep_watershed(head, head.astype(np.float64), PLAIN)
    with pytest.raises(TypeError, match="expected a 2-dimensional"):
        deep_watershed(head[np.newaxis], head[np.newaxis], PLAIN)
    with pytest.raises(ValueError, match="smoothing"):
        deep_watershed(head, head, PLAIN.model_copy(update={"interior_smooth": float("nan")}))


def test_other_memory_orders_give_the_same_labels() -> None:
    head = blobs()
    labels = deep_watershed(head, head, DeepWatershed())
    np.testing.assert_array_equal(deep_watershed(np.asfortranarray(head), head[:], DeepWatershed()), labels)
    np.testing.assert_array_equal(deep_watershed(head[::-1][::-1], head, DeepWatershed()), labels)
