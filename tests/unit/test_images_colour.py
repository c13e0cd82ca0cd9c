"""Equal colours are grey, colours without signal are seen as blank, and everything else stays in colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cellfleet.errors import ImageError
from cellfleet.images.colour import Colours, is_grey, judge_colours
from cellfleet.images.read import image_from_array

DTYPES = st.sampled_from(["bool", "uint8", "uint16", "int16", "float32"])
GREY = np.random.default_rng(0).integers(0, 250, (8, 9)).astype("u1")


@given(DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, (4, 5))))
def test_three_equal_colours_are_grey(channel: NDArray[np.generic]) -> None:
    assert judge_colours(np.stack([channel] * 3)) == Colours(grey=True, blank=frozenset())


@pytest.mark.parametrize("blank", [{0}, {1, 2}, {0, 2}, set()])
def test_blank_colours_are_seen(blank: set[int]) -> None:
    plane = np.stack([np.full_like(GREY, 7) if i in blank else np.roll(GREY, i) for i in range(3)])
    assert judge_colours(plane) == Colours(grey=False, blank=frozenset(blank))


def test_what_jpeg_does_to_grey_is_grey_still() -> None:
    assert is_grey(np.stack([GREY, GREY + np.uint8(3), GREY + np.uint8(1)]))
    assert not is_grey(np.stack([GREY, GREY + np.uint8(5), GREY]))


def test_faint_colours_and_16_bit_must_be_exactly_equal() -> None:
    faint = (GREY // 16).astype("u1")
    assert not is_grey(np.stack([faint, faint, faint + np.uint8(1)]))
    deep = GREY.astype("u2")
    assert not is_grey(np.stack([deep, deep, deep + np.uint16(1)]))


def test_another_plane_in_colour_is_an_error() -> None:
    stack = np.stack([np.stack([GREY, np.roll(GREY, 1), GREY]), np.stack([GREY] * 3)])
    image = image_from_array(stack, axes="TSYX")
    assert image.read_plane(1, 0).shape == (1, 8, 9)
    with pytest.raises(
        ImageError, match=r"plane t=1, z=1 is in colour, but what was looked at first is grey\..*--axes.*\[E207\]"
    ):
        image.read_plane(0, 0)


def test_dark_first_plane_does_not_decide() -> None:
    colours = np.stack([np.roll(GREY, i) for i in range(3)])
    image = image_from_array(np.stack([colours * 0, colours, colours]), axes="ZSYX")
    assert image.channel_names == ("red", "green", "blue")


def test_channels_of_colours_are_named_by_both() -> None:
    colours = np.stack([np.roll(GREY, i) for i in range(6)]).reshape(2, 3, 8, 9)
    image = image_from_array(colours, axes="CSYX")
    assert image.channel_names == ("red", "green", "blue") * 2
    np.testing.assert_array_equal(image.read_plane(), colours.reshape(6, 8, 9))
