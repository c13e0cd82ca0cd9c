"""What a classifier is given does not depend on how a plane is cut up; blank planes say nothing of the levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.whole import levels_of, network_input
from cellfleet.spec.model import ClassifierManifest
from cellfleet.tiling.box import Box

RANDOM = np.random.default_rng(0)


def manifest(height: int, width: int, **more: Any) -> ClassifierManifest:
    wanted = {"task": "classification", "name": "a", "version": "1", "classes": ["one"], "size": [height, width]}
    return ClassifierManifest.model_validate(wanted | more)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    piece=st.integers(1, 500),
)
def test_a_plane_in_pieces_gives_the_bits_of_the_whole(
    shape: tuple[int, int], size: tuple[int, int], piece: int
) -> None:
    plane = Plane.of_array(np.random.default_rng(shape).integers(0, 60_000, (3, *shape)).astype(np.uint16))
    levels = np.array([[100, 50_000], [0, 60_000], [7, 9]], np.float32)
    whole, cut = (network_input(plane, levels, manifest(*size), piece=some) for some in (1 << 22, piece))
    assert whole.shape == (*size, 3) and whole.tobytes() == cut.tobytes()


def test_no_more_is_read_at_a_time_than_a_piece_and_its_neighbours() -> None:
    pixels, read = RANDOM.integers(0, 255, (1, 800, 800)).astype(np.uint8), list[Box]()

    def reading(box: Box, channels: Any) -> Any:
        read.append(box)
        return pixels[list(channels), box.y, box.x]

    plane = Plane((800, 800), 1, reading, ((0,),))
    network_input(plane, np.array([[0, 255]], np.float32), manifest(40, 40), piece=100 * 100)
    assert len(read) == 64
    assert max(box.shape[0] * box.shape[1] for box in read) <= (100 + 2 * 20) ** 2


def test_one_role_becomes_all_channels_and_axes_are_those_of_the_graph() -> None:
    plane = Plane.of_array(np.full((1, 9, 9), 51, np.uint8))
    found = network_input(
        plane, np.array([[0, 255]], np.float32), manifest(4, 5, axes="cyx", mean=[1, 2, 3], deviation=[1, 2, 4])
    )
    assert found.shape == (3, 4, 5)
    np.testing.assert_allclose(found[:, 0, 0], [50, 24.5, 12])


def test_the_levels_are_those_of_the_first_plane_that_is_not_blank() -> None:
    blank, seen = np.full((2, 30, 30), 5.0), np.stack([np.linspace(0, low, 900).reshape(30, 30) for low in (10, 90)])
    planes = [Plane.of_array(pixels) for pixels in (blank, seen, seen * 2)]
    own = levels_of(iter(planes), alike=False)
    np.testing.assert_array_equal(own, levels_of(planes[1:2], alike=False))
    assert own[0, 1] < 11 and own[1, 1] > 80
    alike = levels_of(planes, alike=True)
    assert (alike == alike[0]).all() and alike[0, 1] == own[1, 1]
    low, high = levels_of(planes[:1], alike=False)[0]
    assert high > low == pytest.approx(5)
