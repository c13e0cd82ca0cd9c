"""Every column of `measure` equals scikit-image's definition of it, on labels of any shape."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops_table

from cellfleet.pipeline.measure import first_pixels, measure, relabelled

SHAPES = {
    "y_px": "centroid-0",
    "x_px": "centroid-1",
    "y_min_px": "bbox-0",
    "x_min_px": "bbox-1",
    "y_max_px": "bbox-2",
    "x_max_px": "bbox-3",
    "area_px": "area",
    "equivalent_diameter_px": "equivalent_diameter_area",
    "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length",
    "perimeter_px": "perimeter",
    "eccentricity": "eccentricity",
    "orientation": "orientation",
    "solidity": "solidity",
    "extent": "extent",
}
INTENSITIES = {"mean_a": "intensity_mean", "std_a": "intensity_std", "min_a": "intensity_min", "max_a": "intensity_max"}


@st.composite
def label_images(draw: st.DrawFn) -> NDArray[np.uint32]:
    """Blobs, scattered pixels, lines, objects at the border or in several pieces, and gaps in the labels."""
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = ndimage.gaussian_filter(random.random((height, width)), draw(st.sampled_from([0, 1, 2])))
    mask = noise > np.quantile(noise, draw(st.sampled_from([0.0, 0.3, 0.7])))
    labels, _ = ndimage.label(mask)
    grid = np.add.outer(np.arange(height) // 7, 100 * (np.arange(width) // 9))
    return (labels * draw(st.sampled_from([1, 3])) + grid * (labels > 0)).astype(np.uint32)


def expected(labels: NDArray[np.uint32], pixels: NDArray[np.generic] | None = None) -> dict[str, NDArray[np.float64]]:
    columns = SHAPES if pixels is None else SHAPES | INTENSITIES
    properties = {name.split("-")[0] for name in columns.values()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = regionprops_table(labels.astype(np.int64), pixels, properties=sorted(properties))
    return {ours: table[theirs] for ours, theirs in columns.items()}


def one_channel(labels: NDArray[np.uint32], pixels: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    return measure(labels, pixels[np.newaxis], ["a"], None)


def same_axis(
    angles: NDArray[np.float64], others: NDArray[np.float64], round_ones: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Replace by `angles` what is the same axis (π/2 and −π/2) or the axis of a round object, which is anyone's."""
    turns = (angles - others) / np.pi
    return np.where(round_ones | (np.abs(turns - np.round(turns)) < 1e-6), angles, others)


@settings(max_examples=150, deadline=None)
@given(label_images(), st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8", "f2"]))
def test_every_column_is_that_of_scikit_image(labels: NDArray[np.uint32], dtype: str) -> None:
    pixels = (np.random.default_rng(1).random(labels.shape) * 100).astype(dtype)
    table = one_channel(labels, pixels)
    assert np.array_equal(table["label"], np.unique(labels[labels > 0]))
    wide = pixels.astype(np.float64)
    for column, values in expected(labels, wide).items():
        if column == "orientation":
            values = same_axis(table[column], values, round_ones=table["eccentricity"] < 1e-3)
        np.testing.assert_allclose(table[column], values, rtol=1e-9, atol=1e-6, err_msg=column)
    sums = ndimage.sum_labels(wide, labels, table["label"])
    np.testing.assert_allclose(table["sum_a"], sums, rtol=1e-9)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 1), bool),
        np.ones((1, 9), bool),
        np.ones((9, 1), bool),
        np.eye(7, dtype=bool),
        np.fliplr(np.eye(7, dtype=bool)),
        np.ones((6, 6), bool),
        np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool),
    ],
    ids=["pixel", "row", "column", "diagonal", "antidiagonal", "square", "cross"],
)
@pytest.mark.parametrize("margin", [0, 2])
def test_degenerate_objects(mask: NDArray[np.bool_], margin: int) -> None:
    labels = np.pad(mask, margin).astype(np.uint32)
    table = measure(labels, np.zeros((0, *labels.shape)), [], None)
    for column, values in expected(labels).items():
        np.testing.assert_allclose(table[column], values, atol=1e-6, err_msg=column)


def test_an_image_without_objects_has_all_columns_and_no_rows() -> None:
    pixels = np.ones((2, 4, 5), np.uint8)
    empty = measure(np.zeros((4, 5), np.uint32), pixels, ["DAPI", ""], 0.5)
    full = measure(np.ones((4, 5), np.uint32), pixels, ["DAPI", ""], 0.5)
    assert list(empty) == list(full)
    assert {key: column.dtype for key, column in empty.items()} == {key: column.dtype for key, column in full.items()}
    assert all(column.shape == (0,) for column in empty.values())
    assert all(column.shape == (1,) for column in full.values())


def test_columns_in_micrometres_stand_beside_pixels_only_where_the_size_is_known() -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[3:9, 4:14] = 1
    without = measure(labels, np.zeros((0, 20, 30)), [], None)
    table = measure(labels, np.zeros((0, 20, 30)), [], 0.5)
    assert not any(name.endswith(("_um", "_um2")) for name in without)
    assert table["area_um2"] == 60 * 0.25
    lengths = ("x", "y", "equivalent_diameter", "major_axis", "minor_axis", "perimeter")
    for name in lengths:
        assert table[f"{name}_um"] == table[f"{name}_px"] / 2


def test_unnamed_channels_are_numbered_from_one_and_equal_names_stay_apart() -> None:
    table = measure(np.ones((2, 2), np.uint32), np.zeros((4, 2, 2), np.uint8), ["", "DAPI", " ", "DAPI"], None)
    assert [name for name in table if name.startswith("mean_")] == ["mean_1", "mean_DAPI", "mean_3", "mean_DAPI_4"]


def test_nan_pixels_are_left_out() -> None:
    labels = np.array([[1, 1, 1, 2]], np.uint32)
    table = one_channel(labels, np.array([[np.nan, 2, 4, np.nan]], np.float32))
    assert [float(table[f"{key}_a"][0]) for key in ("mean", "std", "min", "max", "sum")] == [3, 1, 2, 4, 6]
    assert all(np.isnan(table[f"{key}_a"][1]) for key in ("mean", "std", "min", "max", "sum"))


@given(hnp.arrays(np.uint16, (8, 8), elements=st.integers(65_000, 65_535)))
def test_sums_do_not_overflow_and_spread_survives_a_large_offset(pixels: NDArray[np.uint16]) -> None:
    table = one_channel(np.ones((8, 8), np.uint32), pixels)
    assert table["sum_a"].dtype == np.int64
    assert table["sum_a"][0] == int(pixels.sum(dtype=np.int64))
    shifted = one_channel(np.ones((8, 8), np.uint32), pixels.astype(np.float64) + 1e9)
    np.testing.assert_allclose(shifted["std_a"], table["std_a"], atol=1e-6)


def test_labels_far_apart_need_no_memory_between_them() -> None:
    labels = np.array([[0, 7, 4_294_967_295]], np.uint32)
    table = measure(labels, np.zeros((0, 1, 3)), [], None)
    assert table["label"].tolist() == [7, 4_294_967_295]
    assert table["x_px"].tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels(shape: tuple[int, int]) -> None:
    table = measure(np.zeros(shape, np.uint32), np.zeros((1, *shape), np.uint8), ["a"], None)
    assert table["label"].shape == (0,)


@settings(max_examples=150, deadline=None)
@given(
    label_images(),
    st.sampled_from(["u1", "i4", "f4", "f8"]),
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([(0, 0), (7, 300_000), (5_000_000_000, 3)]),
    st.integers(0, 99),
)
def test_a_row_depends_on_the_objects_own_pixels_and_place_alone(
    labels: NDArray[np.uint32], dtype: str, around: tuple[int, int, int, int], corner: tuple[int, int], seed: int
) -> None:
    """To the last bit: whatever surrounds it, and wherever the piece was cut out."""
    top, left, bottom, right = around
    height, width = labels.shape
    random = np.random.default_rng(seed)
    shape = (height + top + bottom, width + left + right)
    whole = (int(labels.max()) + 1 + random.integers(0, 9, shape)).astype(np.uint32)
    pixels = (random.random((2, *shape)) * 100).astype(dtype)
    inside = (slice(top, top + height), slice(left, left + width))
    whole[inside] = np.where(labels > 0, labels, whole[inside] * random.integers(0, 2, labels.shape))
    origin = (corner[0] + top, corner[1] + left)
    piece = measure(labels, np.ascontiguousarray(pixels[(slice(None), *inside)]), ["a", "b"], 0.3, origin=origin)
    table = measure(whole, pixels, ["a", "b"], 0.3, origin=corner)
    kept = np.isin(table["label"], piece["label"])
    assert {name: column[kept].tobytes() for name, column in table.items()} == {
        name: column.tobytes() for name, column in piece.items()
    }


def test_places_count_from_the_image_that_the_piece_belongs_to() -> None:
    labels = np.zeros((4, 5), np.uint32)
    labels[1:3, 2:5] = 1
    table = measure(labels, np.zeros((0, 4, 5)), [], 0.5, origin=(100, 3_000_000_000))
    assert [table[name][0] for name in ("y_px", "x_px", "y_um")] == [101.5, 3_000_000_003, 50.75]
    assert [table[f"{side}_px"][0] for side in ("y_min", "x_min", "y_max", "x_max")] == [
        101,
        3_000_000_002,
        103,
        3_000_000_005,
    ]
    assert measure(labels, np.zeros((0, 4, 5)), [], None)["solidity"] == table["solidity"] == 1


@given(label_images(), st.integers(0, 40))
def test_first_pixels_are_those_in_raster_order(labels: NDArray[np.uint32], count: int) -> None:
    found = first_pixels(labels, count)
    assert found.dtype == np.int64
    places = [np.flatnonzero(labels == label) for label in range(1, count + 1)]
    assert found.tolist() == [int(place[0]) if len(place) else -1 for place in places]


@given(label_images(), st.integers(1, 40))
def test_relabelling_looks_every_label_up_and_drops_what_has_no_number(labels: NDArray[np.uint32], count: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**32, count, dtype=np.uint32)
    labels[0, 0] = 0xFFFFFFFF
    expected = np.where(labels < count, numbers[np.minimum(labels, count - 1)], 0)
    np.testing.assert_array_equal(relabelled(labels, numbers), expected)
