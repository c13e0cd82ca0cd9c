"""Targets: what a network learns from a label image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellfleet.training.targets import classes, inner_distance, median_diameter, outer_distance


def _disk(radius: int, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return (y * y + x * x <= radius * radius).astype(np.int32)


def test_outer_distance_of_a_disk_rises_evenly_from_rim_to_centre() -> None:
    outer = outer_distance(_disk(20))
    assert outer.max() == 1
    assert np.unravel_index(outer.argmax(), outer.shape) == (32, 32)
    profile = outer[32, 32:52]
    np.testing.assert_allclose(profile, 1 - np.arange(20) / 20.5, atol=0.06)


def test_inner_distance_of_a_disk_is_one_at_the_centre_and_a_fifth_at_the_rim() -> None:
    inner = inner_distance(_disk(20))
    assert inner[32, 32] == 1
    assert abs(inner[32, 52] - 0.2) < 0.02


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_each_object_is_measured_as_if_it_were_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, (6, 6)).astype(np.int32).repeat(4, 0).repeat(4, 1)
    labels, _ = ndimage.label(labels == 1)
    touching = labels.copy()
    touching[labels == 0] = labels.max() + 1
    for distance in (outer_distance, inner_distance):
        together = distance(touching)
        for label in range(1, labels.max() + 1):
            alone = distance((touching == label).astype(np.int32))
            np.testing.assert_array_equal(together[touching == label], alone[touching == label])


@given(seed=st.integers(0, 10_000))
def test_distances_lie_between_zero_and_one_and_vanish_outside(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (9, 11)).astype(np.int32)
    for distance in (outer_distance(labels), inner_distance(labels)):
        assert distance.dtype == np.float32
        assert (distance[labels == 0] == 0).all()
        assert ((distance[labels > 0] > 0) & (distance[labels > 0] <= 1)).all()


def test_the_edge_of_the_image_is_no_border() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[:, :20] = 1
    outer = outer_distance(labels)
    assert outer[10, 0] == 1
    assert (classes(labels)[:, 0] == 1).all()


def test_classes_put_a_border_between_touching_objects() -> None:
    labels = np.array([[1, 1, 1, 2, 2, 2]] * 3)
    np.testing.assert_array_equal(classes(labels)[1], [1, 1, 2, 2, 1, 1])


def test_median_diameter_is_that_of_circles_of_equal_area() -> None:
    assert abs((median_diameter(_disk(20)) or 0) - 40) < 0.5
    assert median_diameter(np.zeros((4, 4), int)) is None
