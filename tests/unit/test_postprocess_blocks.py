"""A block of an image gets the labels of the whole image, pixel by pixel, or says that it cannot know.

The whole image in one run is the truth here; test_postprocess.py holds that to the definition. Labels of a block and
of the image are compared by what they stand for: the place of the object's seed in the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cellfleet.pipeline.postprocess import (
    UNKNOWN,
    BlockLabels,
    Margins,
    context_px,
    deep_watershed,
    deep_watershed_block,
    deep_watershed_with_seeds,
)
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.tiling.box import Box

Heads = tuple[NDArray[Any], NDArray[Any]]
Places = NDArray[np.int64]
"""Per pixel: 1 + the linear index of its object's seed in the image; 0 = background, −1 = unknown."""

PLAIN = DeepWatershed(radius=1, maxima_threshold=0.1, maxima_smooth=0, interior_threshold=0.2, interior_smooth=0)

# --- fields ------------------------------------------------------------------------------------------------------


def smooth_noise(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(random.random(shape), random.choice([0.7, 1.5, 3]))
    return (field - field.min()) / max(float(np.ptp(field)), 1e-9)


def few_greys(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    greys = random.integers(1, 6)
    field = random.random(shape) if random.random() < 0.5 else smooth_noise(random, shape)
    return np.round(field * greys) / greys


def snake(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """One crooked line that crosses the image again and again."""
    field, place, way = np.zeros(shape), [random.integers(n) for n in shape], (0, 1)
    for _ in range(4 * sum(shape)):
        field[tuple(place)] = max(field[tuple(place)], random.choice([0.5, 0.6, 0.9]))
        if random.random() < 0.2:
            way = [(0, 1), (0, -1), (1, 0), (-1, 0)][random.integers(4)]
        place = [min(max(p + step, 0), n - 1) for p, step, n in zip(place, way, shape, strict=True)]
    return field


def rings(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Objects with holes, and objects in holes."""
    y, x = np.indices(shape)
    field = np.zeros(shape)
    for _ in range(random.integers(1, 6)):
        dy, dx = (np.abs(axis - random.integers(n)) for axis, n in zip((y, x), shape, strict=True))
        distance = np.maximum(dy, dx) if random.random() < 0.5 else np.hypot(dy, dx)
        on_ring = np.abs(distance - random.uniform(1, 10)) < random.uniform(0.5, 2)
        field = np.maximum(field, on_ring * random.choice([0.4, 0.7, 1.0]))
    return field * (1 - 0.1 * random.random(shape)) if random.random() < 0.5 else field


KINDS = {
    "noise": lambda random, shape: random.random(shape),
    "smooth noise": smooth_noise,
    "few greys": few_greys,
    "flat": lambda random, shape: np.full(shape, random.choice([0, 0.1, 0.5, 1])),
    "saturated": lambda random, shape: np.clip(2 * smooth_noise(random, shape) - 0.5, 0, 1),
    "snake": snake,
    "rings": rings,
}


@st.composite
def heads(draw: st.DrawFn, largest: int = 28) -> Heads:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, largest)), draw(st.integers(1, largest)))
    maxima = KINDS[draw(st.sampled_from(sorted(KINDS)))](random, shape)
    interior = maxima if draw(st.booleans()) else KINDS[draw(st.sampled_from(sorted(KINDS)))](random, shape)
    if draw(st.booleans()):
        return np.round(255 * maxima).astype(np.uint8), np.round(255 * interior).astype(np.uint8)
    return maxima.astype(np.float32), interior.astype(np.float32)


specs = st.builds(
    DeepWatershed,
    radius=st.sampled_from([0, 1, 1, 2, 3, 6]),
    maxima_threshold=st.sampled_from([0, 0.02, 0.1, 0.3]),
    maxima_smooth=st.sampled_from([0, 0, 0.3, 1]),
    interior_threshold=st.sampled_from([0, 0.2, 0.5]),
    interior_smooth=st.sampled_from([0, 0, 0.3, 1]),
    small_objects_threshold=st.sampled_from([0, 3, 6.5, 20]),
    fill_holes_threshold=st.sampled_from([0, 1, 4, 20, 1e9]),
    pixel_expansion=st.sampled_from([0, 0, 1, 2]),
)
corners = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def real_pixels(name: str) -> NDArray[np.float32]:
    """A microscope's pixels as heads: noise, shading and touching nuclei as they are, 0…1."""
    with resources.as_file(resources.files("cellfleet.samples") / name) as path:
        pixels = tifffile.imread(path).astype(np.float32)
    low, high = np.percentile(pixels, (1, 99))
    return np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32)


# --- blocks ------------------------------------------------------------------------------------------------------


def sub_box(shape: tuple[int, int], at: list[float]) -> Box:
    """A box from four numbers 0…1, not always away from the borders; never empty."""
    (y0, y1), (x0, x1) = (
        sorted(round(1.4 * (c - 0.5) * n + n / 2) for c in pair)
        for n, pair in zip(shape, (at[:2], at[2:]), strict=True)
    )
    y0, x0 = min(max(y0, 0), shape[0] - 1), min(max(x0, 0), shape[1] - 1)
    return Box(y0, x0, min(max(y1, y0 + 1), shape[0]), min(max(x1, x0 + 1), shape[1]))


def margins_of(box: Box, shape: tuple[int, int], width: int) -> Margins:
    return (
        width if box.y0 > 0 else None,
        width if box.x0 > 0 else None,
        width if box.y1 < shape[0] else None,
        width if box.x1 < shape[1] else None,
    )


def shape_of(fields: Heads) -> tuple[int, int]:
    return fields[0].shape[0], fields[0].shape[1]


def label_block(fields: Heads, spec: DeepWatershed, box: Box) -> BlockLabels:
    margins = margins_of(box, shape_of(fields), context_px(spec))
    return deep_watershed_block(fields[0][box.y, box.x], fields[1][box.y, box.x], spec, margins)


def seed_places(seeds: NDArray[np.uint32], box: Box, width: int) -> Places:
    rows, columns = np.divmod(seeds.astype(np.int64), box.shape[1])
    return (rows + box.y0) * width + columns + box.x0 + 1


def places(found: BlockLabels, box: Box, width: int) -> Places:
    table = np.append(0, seed_places(found.seeds, box, width))
    known = np.where(found.labels == UNKNOWN, 0, found.labels)
    return np.where(found.labels == UNKNOWN, -1, table[known])


def whole_image(fields: Heads, spec: DeepWatershed) -> Places:
    labels, seeds = deep_watershed_with_seeds(*fields, spec)
    return np.append(0, seeds.astype(np.int64) + 1)[labels]


def blocks(shape: tuple[int, int], side: int) -> Iterator[Box]:
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield Box(y, x, min(y + side, shape[0]), min(x + side, shape[1]))


def settled(fields: Heads, spec: DeepWatershed, box: Box, halo: int) -> tuple[Places, int]:
    """Places in `box`, with a halo doubled until they, and the objects with their seed in the box, are known whole.

    Returns:
        Places of the box, and how often the halo was too small.
    """
    shape = shape_of(fields)
    for redone in range(32):
        region = box.grown((halo + context_px(spec)) * 2**redone, shape)
        found = label_block(fields, spec, region)
        here = places(found, region, shape[1])[box.within(region)]
        rows, columns = np.divmod(seed_places(found.seeds, region, shape[1]) - 1, shape[1])
        own = (rows >= box.y0) & (rows < box.y1) & (columns >= box.x0) & (columns < box.x1)
        if (here >= 0).all() and found.complete[own].all():
            return here, redone
    raise AssertionError("a halo as large as the image does not suffice")


def joined(fields: Heads, spec: DeepWatershed, side: int, halo: int = 1) -> Places:
    """Block by block, each alone."""
    result = np.empty(shape_of(fields), np.int64)
    for box in blocks(shape_of(fields), side):
        result[box.y, box.x] = settled(fields, spec, box, halo)[0]
    return result


# --- promises ----------------------------------------------------------------------------------------------------


@settings(max_examples=250, deadline=None)
@given(heads(), specs, corners)
def test_what_a_block_says_is_so_in_the_whole_image(fields: Heads, spec: DeepWatershed, at: list[float]) -> None:
    shape = shape_of(fields)
    box = sub_box(shape, at)
    found = label_block(fields, spec, box)
    here, truth = places(found, box, shape[1]), whole_image(fields, spec)
    np.testing.assert_array_equal(here, np.where(here < 0, -1, truth[box.y, box.x]))
    for place, complete in zip(seed_places(found.seeds, box, shape[1]), found.complete, strict=True):
        assert (truth == place).any()
        if complete:
            assert (here == place).sum() == (truth == place).sum()


@settings(max_examples=100, deadline=None)
@given(heads(largest=20), specs, st.integers(1, 20), st.integers(0, 3))
def test_blocks_of_any_size_join_to_the_labels_of_the_whole(
    fields: Heads, spec: DeepWatershed, side: int, halo: int
) -> None:
    np.testing.assert_array_equal(joined(fields, spec, side, halo), whole_image(fields, spec))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_block_size_gives_the_same_labels(kind: str) -> None:
    random = np.random.default_rng(8)
    field = KINDS[kind](random, (13, 17)).astype(np.float32)
    fields = (field, KINDS[kind](random, (13, 17)).astype(np.float32))
    spec = DeepWatershed(radius=2, interior_smooth=0.3, small_objects_threshold=4, fill_holes_threshold=9)
    truth = whole_image(fields, spec)
    for side in range(1, 18):
        np.testing.assert_array_equal(joined(fields, spec, side), truth)


@pytest.mark.parametrize("name", ["dense_nuclei.tif", "small_nuclei.tif", "large_nuclei.tif"])
def test_real_pixels_give_the_same_labels_in_blocks_nearly_always_at_once(name: str) -> None:
    pixels = real_pixels(name)
    spec = DeepWatershed(maxima_smooth=2, interior_smooth=1, small_objects_threshold=15, fill_holes_threshold=15)
    truth = whole_image((pixels, pixels), spec)
    boxes = list(blocks(shape_of((pixels, pixels)), 100))
    found = [settled((pixels, pixels), spec, box, 64) for box in boxes]
    for box, (here, _) in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(here, truth[box.y, box.x])
    assert len(np.unique(truth)) > 10
    assert sum(redone for _, redone in found) <= len(boxes) // 4


@settings(max_examples=60, deadline=None)
@given(heads(), specs)
def test_of_a_whole_image_everything_is_known(fields: Heads, spec: DeepWatershed) -> None:
    found = deep_watershed_block(*fields, spec, (None, None, None, None))
    np.testing.assert_array_equal(found.labels, deep_watershed(*fields, spec))
    assert found.labels.max(initial=0) == len(found.seeds) == len(found.complete)
    assert found.complete.all()


@settings(max_examples=100, deadline=None)
@given(heads(), specs, corners, st.integers(1, 4))
def test_wider_margins_make_good_for_heads_that_are_wrong_near_the_edge(
    fields: Heads, spec: DeepWatershed, at: list[float], wrong: int
) -> None:
    shape = shape_of(fields)
    box = sub_box(shape, at)
    margins = margins_of(box, shape, context_px(spec) + wrong)
    good = np.zeros(box.shape, bool)
    top, left, bottom, right = (wrong if margin is not None else 0 for margin in margins)
    good[top : box.shape[0] - bottom, left : box.shape[1] - right] = True
    spoilt = [np.where(good, field[box.y, box.x], 1 - field[box.y, box.x]) for field in fields]
    here = places(deep_watershed_block(spoilt[0], spoilt[1], spec, margins), box, shape[1])
    np.testing.assert_array_equal(here, np.where(here < 0, -1, whole_image(fields, spec)[box.y, box.x]))


@settings(max_examples=60, deadline=None)
@given(heads(), specs, corners)
def test_labels_have_no_gaps_and_follow_the_first_pixels(fields: Heads, spec: DeepWatershed, at: list[float]) -> None:
    found = label_block(fields, spec, sub_box(shape_of(fields), at))
    values, first = np.unique(found.labels, return_index=True)
    objects = (values > 0) & (values < UNKNOWN)
    assert values[objects].tolist() == list(range(1, len(found.seeds) + 1))
    assert (np.diff(first[objects]) > 0).all()
    np.testing.assert_array_equal(found.labels.ravel()[found.seeds], values[objects])


# --- one decision at a time, in the left part of an image that goes on to the right ------------------------------


def left_part(width: int, *image: str, **settings: float) -> tuple[list[str], list[bool]]:
    """Label the first `width` columns of an image drawn in tenths; ``?`` is unknown. Rows, and which are complete."""
    field = np.array([[int(value) / 10 for value in row] for row in image], np.float32)
    spec = PLAIN.model_copy(update={"maxima_threshold": 0.25, **settings})
    found = label_block((field, field), spec, Box(0, 0, len(image), width))
    shown = np.where(found.labels == UNKNOWN, "?", found.labels.astype("U1"))
    return ["".join(row) for row in shown], found.complete.tolist()


def test_a_peak_is_no_seed_while_something_higher_may_lie_outside() -> None:
    assert left_part(6, "06877769") == (["0?????"], [])
    assert left_part(6, "06840769") == (["01110?"], [True])


def test_an_object_that_goes_on_outside_is_not_complete() -> None:
    assert left_part(8, "0987654333") == (["011111??"], [False])


def test_a_small_object_is_dropped_only_when_it_is_seen_whole() -> None:
    image = "0900097654"
    assert left_part(9, image) == (["0100022??"], [True, False])
    assert left_part(9, image, small_objects_threshold=2) == (["0000011??"], [False])
    assert left_part(9, image, small_objects_threshold=3) == (["00000????"], [])


def test_background_that_goes_on_outside_may_be_a_hole() -> None:
    image = ("98765555", "90000005", "98765555")
    assert left_part(6, *image, fill_holes_threshold=3) == (["1111??", "10000?", "1111??"], [False])
    assert left_part(6, *image, fill_holes_threshold=9) == (["1111??", "1?????", "1111??"], [False])


def test_what_stands_in_the_margins_decides_nothing() -> None:
    """A peak of the margin's maxima would surpass the only one there is."""
    maxima, interior = np.full((5, 12), 0.5, np.float32), np.zeros((5, 12), np.float32)
    interior[2, 2:5] = 1
    assert deep_watershed(maxima, interior, PLAIN)[2, 3] == 1
    maxima[:, 10] = 1
    found = deep_watershed_block(maxima, interior, PLAIN, (None, None, None, 3))
    np.testing.assert_array_equal(found.labels[2], [0, 0, *[UNKNOWN] * 3, *[0] * 4, *[UNKNOWN] * 3])


def test_too_narrow_margins_are_refused() -> None:
    field = np.zeros((20, 20), np.float32)
    spec = DeepWatershed(interior_smooth=1, pixel_expansion=2)
    assert context_px(spec) == 6
    assert context_px(PLAIN) == 1
    with pytest.raises(ValueError, match="6 px that smoothing looks around"):
        deep_watershed_block(field, field, spec, (6, None, 5, 6))


@pytest.mark.parametrize("margins", [(5, None, 5, None), (None, 30, None, None), (2, 5, 3, 6)])
def test_nothing_is_known_where_margins_meet(margins: Margins) -> None:
    field = np.ones((10, 11), np.float32)
    found = deep_watershed_block(field, field, PLAIN, margins)
    assert (found.labels == UNKNOWN).all()
    assert len(found.seeds) == len(found.complete) == 0
