"""The classical predictor against the libraries that define its parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_otsu

from cellfleet.inference.otsu import OtsuPredictor, gaussian, otsu_threshold, squared_distance


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_distance_equals_scipy(mask: np.ndarray) -> None:
    if mask.all():
        mask[0, 0] = False
    np.testing.assert_allclose(squared_distance(mask), ndimage.distance_transform_edt(mask) ** 2, rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_threshold_equals_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(900) < 0.3, rng.normal(5, 1, 900), rng.normal(0, 1, 900)).astype(np.float32)
    assert otsu_threshold(values) == pytest.approx(threshold_otsu(values), rel=1e-4)


def test_gaussian_equals_scipy() -> None:
    values = np.random.default_rng(1).random((31, 17), np.float32)
    np.testing.assert_allclose(gaussian(values, 1.0), ndimage.gaussian_filter(values, 1.0, mode="nearest"), atol=1e-5)


def test_two_discs_are_foreground_and_their_centres_peak() -> None:
    y, x = np.mgrid[:60, :90]
    discs = ((y - 30) ** 2 + (x - 25) ** 2 < 15**2) | ((y - 30) ** 2 + (x - 65) ** 2 < 15**2)
    pixels = (100 + 900 * discs)[None].astype(np.float32)
    heads = OtsuPredictor().predict(pixels, np.array([[100, 1000]], np.float32))
    assert heads.shape == (2, 60, 90) and heads.dtype == np.uint8
    assert np.mean((heads[1] > 127) == discs) > 0.99
    assert np.unravel_index(heads[0][:, :45].argmax(), (60, 45)) == pytest.approx((30, 25), abs=1)


def test_a_constant_plane_has_no_foreground() -> None:
    heads = OtsuPredictor().predict(np.full((1, 8, 8), 7, np.float32), np.array([[7, 8]], np.float32))
    assert not heads[0].any() and heads[1].max() < 128
