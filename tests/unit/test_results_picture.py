"""Pictures show the user's pixels with an outline around every object, at any size of image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from cellfleet.results.palette import label_colours
from cellfleet.results.picture import jpeg, outline_pixels, outlined

YELLOW = (255, 215, 0)


def _square(side: int, object_side: int) -> np.ndarray:
    labels = np.zeros((side, side), np.uint32)
    start = (side - object_side) // 2
    labels[start : start + object_side, start : start + object_side] = 7
    return labels


def _is(picture: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    return (picture == np.array(colour)).all(axis=-1)


@pytest.mark.parametrize("side", [60, 480, 4000])
def test_an_object_has_a_closed_thin_outline_at_any_scale(side: int) -> None:
    labels = _square(side, side // 2)
    picture = outlined(np.full((1, side, side), 90, np.uint8), np.array([[0, 100]]), labels)
    yellow = _is(picture, YELLOW)
    size = picture.shape[0]
    assert size == min(480, 4 * side)
    assert yellow[size // 2].sum() == yellow[:, size // 2].sum() == 4
    assert yellow[size // 4, size // 4 + 3 : size // 2].all()
    assert not yellow[: size // 5].any()


def test_small_objects_keep_their_inside() -> None:
    picture = outlined(np.zeros((480, 480), np.uint8), np.array([[0, 1]]), _square(480, 8))
    assert _is(picture, YELLOW).sum() == 4 * 7


def test_touching_objects_are_told_apart_and_the_rim_is_no_outline() -> None:
    labels = np.array([[1, 1, 1, 2, 2, 2]] * 3, np.uint32)
    assert outline_pixels(labels).tolist() == [[False, False, True, True, False, False]] * 3


def test_contrast_is_the_one_given_and_dim_objects_are_lifted() -> None:
    pixels = np.zeros((1, 480, 480), np.uint16)
    pixels[0, :, 160:320], pixels[0, :, 320:] = 1500, 2000
    picture = outlined(pixels, np.array([[1000, 2000]]), np.zeros((480, 480), np.uint32))
    black, middle, white = picture[240, [80, 240, 400]].tolist()
    assert black == [0, 0, 0]
    assert white == [180, 180, 180]
    assert middle[0] == middle[1] == middle[2]
    assert middle[0] > 90


def test_roles_have_colours_and_objects_may_have_their_own() -> None:
    pixels = np.zeros((2, 480, 480), np.float32)
    pixels[0, :240] = pixels[1, 240:] = 1
    picture = outlined(pixels, np.array([[0, 1], [0, 1]]), _square(480, 100), colour_by_label=True)
    top, bottom = picture[100, 100].astype(int), picture[400, 100].astype(int)
    assert top.argmax() == 2
    assert bottom.argmax() == 1
    assert _is(picture, tuple(label_colours()[7])).sum() >= 4 * 98


def test_not_a_number_and_infinity_do_no_harm() -> None:
    pixels = np.ones((1, 40, 40), np.float32)
    pixels[0, 0, :3] = np.nan, np.inf, -np.inf
    picture = outlined(pixels, np.array([[0, 2]]), np.zeros((40, 40), np.uint32))
    assert picture[2, 2].max() < 60
    assert picture[100, 100, 0] == picture[80, 90, 0] > 60


@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=700),
    longest=st.integers(1, 500),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_every_shape_gives_a_bounded_picture_that_decodes(shape: tuple[int, int], longest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, shape, dtype=np.uint32)
    pixels = rng.integers(0, 255, (1, *shape), dtype=np.uint8)
    data = jpeg(outlined(pixels, np.array([[9, 9]]), labels, longest=longest))
    with Image.open(io.BytesIO(data)) as image:
        assert 1 <= min(image.size) <= max(image.size) <= longest
        image.load()


def test_the_encoding_keeps_the_colour_of_thin_lines() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 30] = YELLOW
    line = np.asarray(Image.open(io.BytesIO(jpeg(picture))))[:, 30].astype(int)
    assert np.abs(line - YELLOW).max() < 40
