"""A region of a resized plane has the bits that it has in the whole, from just the source that it depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from cellfleet.pipeline.preprocess import resampled, resampled_region
from cellfleet.tiling.box import Box
from cellfleet.tiling.resample_span import source_span

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8", ">u2", "?")

lengths = st.one_of(st.integers(1, 12), st.integers(1, 90))
shapes = st.tuples(lengths, lengths)


def random_planes(shape: tuple[int, int], seed: int, dtype: str = "f4", count: int = 2) -> NDArray[Any]:
    return (np.random.default_rng(seed).random((count, *shape)) * 120).astype(dtype)


def sub_span(length: int, ends: list[float]) -> tuple[int, int]:
    """Part of an axis, from two numbers 0…1; never empty."""
    start, stop = sorted(min(int(end * length), length - 1) for end in ends)
    return start, stop + 1


def sub_box(shape: tuple[int, int], corners: list[float]) -> Box:
    (y0, y1), (x0, x1) = sub_span(shape[0], corners[:2]), sub_span(shape[1], corners[2:])
    return Box(y0, x0, y1, x1)


def source_of(want: Box, full: tuple[int, int], target: tuple[int, int]) -> Box:
    y0, y1 = source_span(want.y0, want.y1, full[0], target[0])
    x0, x1 = source_span(want.x0, want.x1, full[1], target[1])
    return Box(y0, x0, y1, x1)


@settings(max_examples=300, deadline=None)
@given(shapes, shapes, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 9), st.integers(0, 3))
def test_any_region_has_the_bits_of_the_whole(
    full: tuple[int, int], target: tuple[int, int], corners: list[float], seed: int, spare: int
) -> None:
    planes, want = random_planes(full, seed), sub_box(target, corners)
    have = source_of(want, full, target).grown(spare, full)
    region = resampled_region(planes[:, have.y, have.x], have, full, target, want)
    assert region.dtype == np.float32
    assert region.tobytes() == np.ascontiguousarray(resampled(planes, target)[:, want.y, want.x]).tobytes()


@settings(max_examples=100, deadline=None)
@given(shapes, shapes, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_region_depends_on_no_pixel_outside_its_span(
    full: tuple[int, int], target: tuple[int, int], corners: list[float]
) -> None:
    want = sub_box(target, corners)
    have = source_of(want, full, target)
    planes = random_planes(full, 0)
    outside = np.ones(full, bool)
    outside[have.y, have.x] = False
    changed = np.where(outside, 1e6, planes)
    np.testing.assert_array_equal(
        resampled(changed, target)[:, want.y, want.x], resampled(planes, target)[:, want.y, want.x]
    )


@settings(max_examples=150, deadline=None)
@given(shapes, shapes, st.sampled_from(DTYPES))
def test_equals_pillows_bilinear_resize(full: tuple[int, int], target: tuple[int, int], dtype: str) -> None:
    planes = random_planes(full, 1, dtype)
    for plane, ours in zip(planes, resampled(planes, target), strict=True):
        image = Pillow.fromarray(plane.astype(np.float32)).resize(target[::-1], Pillow.Resampling.BILINEAR)
        np.testing.assert_allclose(ours, np.asarray(image), rtol=1e-5, atol=1e-5)


@given(shapes, shapes, st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_constant_stays_exactly_that_constant(full: tuple[int, int], target: tuple[int, int], value: float) -> None:
    np.testing.assert_array_equal(resampled(np.full((1, *full), value, np.float32), target), np.float32(value))


@given(shapes, shapes)
def test_brighter_pixels_never_make_a_darker_one(full: tuple[int, int], target: tuple[int, int]) -> None:
    planes = random_planes(full, 2)
    brighter = planes + random_planes(full, 3) * (random_planes(full, 4) > 60)
    assert (resampled(brighter, target) >= resampled(planes, target)).all()


@given(shapes)
def test_the_same_size_changes_nothing(shape: tuple[int, int]) -> None:
    planes = random_planes(shape, 5)
    np.testing.assert_array_equal(resampled(planes, shape), planes)


@given(lengths, lengths, st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_a_span_is_just_what_its_pixels_need(source: int, target: int, ends: list[float]) -> None:
    start, stop = sub_span(target, ends)
    spans = [source_span(i, i + 1, source, target) for i in range(start, stop)]
    assert source_span(start, stop, source, target) == (min(s[0] for s in spans), max(s[1] for s in spans))
    assert all(0 <= first < last <= source for first, last in spans)
    assert source_span(start, start, source, target) == (0, 0)


def test_far_from_the_origin_a_region_is_still_that_of_the_whole() -> None:
    """Beyond what a float32 coordinate could tell apart: a gradient stays where it is."""
    full, target = (1, 3_000_000_000), (1, 2_000_000_000)
    want = Box(0, 1_900_000_000, 1, 1_900_000_040)
    have = source_of(want, full, target)
    planes = (np.arange(have.x0, have.x1, dtype=np.float64) - have.x0)[np.newaxis, np.newaxis]
    found = resampled_region(planes, have, full, target, want)[0, 0]
    centres = (np.arange(want.x0, want.x1) + 0.5) * 1.5 - 0.5 - have.x0
    np.testing.assert_allclose(found, centres, atol=0.1)


@settings(max_examples=50, deadline=None)
@given(shapes, shapes, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.sampled_from([(1, 0), (0, 1)]))
def test_less_of_the_source_than_the_span_is_refused(
    full: tuple[int, int], target: tuple[int, int], corners: list[float], cut: tuple[int, int]
) -> None:
    planes, want = random_planes(full, 0), sub_box(target, corners)
    have = source_of(want, full, target)
    less = [
        Box(have.y0 + cut[0], have.x0, have.y1 - cut[1], have.x1),
        Box(have.y0, have.x0 + cut[0], have.y1, have.x1 - cut[1]),
    ]
    for box in less:
        with pytest.raises(ValueError, match="depends on pixels of the source that are not given"):
            resampled_region(planes[:, box.y, box.x], box, full, target, want)


def test_boxes_that_do_not_fit_are_refused() -> None:
    planes, have, want = random_planes((10, 10), 0), Box(2, 2, 8, 8), Box(4, 4, 8, 8)
    with pytest.raises(ValueError, match="given for Box"):
        resampled_region(planes, have, (10, 10), (14, 14), want)
    for outside in (Box(0, 0, 15, 14), Box(-1, 0, 5, 5)):
        with pytest.raises(ValueError, match="outside"):
            resampled_region(planes, Box(0, 0, 10, 10), (10, 10), (14, 14), outside)


@pytest.mark.parametrize("want", [Box(0, 0, 0, 5), Box(3, 2, 3, 2), Box(2, 5, 7, 5)])
def test_an_empty_region_is_empty(want: Box) -> None:
    region = resampled_region(random_planes((6, 6), 0), Box.whole((6, 6)), (6, 6), (9, 9), want)
    assert region.shape == (2, *want.shape)
