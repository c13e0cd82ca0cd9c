"""Label TIFFs read back equal, in the form that ImageJ can open; test_label_tiff_in_imagej.py asks ImageJ itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from cellfleet.errors import OutputError
from cellfleet.results import labels as module
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.palette import label_colours

AXES = {2: ["YX"], 3: ["TYX", "ZYX"], 4: ["TZYX"]}


@st.composite
def label_images(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=9))
    largest = draw(st.sampled_from([0, 1, 255, 65_535, 65_536, 2**24 + 1, 2**32 - 1]))
    labels = draw(hnp.arrays(np.uint32, shape, elements=st.integers(0, largest)))
    return labels, draw(st.sampled_from(AXES[len(shape)]))


@given(label_images())
@example((np.zeros((1, 1), np.uint32), "YX"))
@example((np.arange(4, dtype=np.uint32).reshape(4, 1, 1), "TYX"))
@example((np.arange(3, dtype=np.uint32).reshape(3, 1, 1), "ZYX"))
@settings(max_examples=60, deadline=None)
def test_labels_of_any_shape_and_size_read_back_equal(case: tuple[np.ndarray, str]) -> None:
    labels, axes = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a_labels.tif"
        notices = write_label_tiff(path, labels, axes=axes, microns_per_pixel=0.5)
        with tifffile.TiffFile(path) as tiff:
            stored = tiff.asarray().reshape(labels.shape)
            assert tiff.series[0].axes.endswith("YX")
    assert np.array_equal(stored, labels)
    assert stored.dtype == (np.uint16 if labels.max() <= 65_535 else np.uint32)
    assert [notice.code for notice in notices] == (["W301"] if labels.max() > 2**24 else [])


def test_the_form_is_the_one_that_imagej_opens(tmp_path: Path) -> None:
    labels = np.arange(600 * 500, dtype=np.uint32).reshape(600, 500) % 300
    write_label_tiff(tmp_path / "a.tif", labels, axes="YX", microns_per_pixel=0.25)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        assert not tiff.is_bigtiff
        assert not page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == tifffile.PREDICTOR.NONE
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert tiff.is_imagej
        assert page.tags["XResolution"].value == page.tags["YResolution"].value == (4, 1)
        assert len(page.dataoffsets) > 1
        colours = np.asarray(page.tags["ColorMap"].value, np.uint16).reshape(3, 256).T
    assert np.array_equal(colours // 257, label_colours())


def test_other_readers_see_plain_numbers_and_not_the_colours(tmp_path: Path) -> None:
    labels = np.arange(70 * 90, dtype=np.uint32).reshape(70, 90)
    write_label_tiff(tmp_path / "a.tif", labels, axes="YX")
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), labels)
    assert np.array_equal(imagecodecs.tiff_decode((tmp_path / "a.tif").read_bytes()), labels)


def test_equal_labels_are_equal_files(tmp_path: Path) -> None:
    labels = np.eye(50, dtype=np.uint32)
    for name in ("a.tif", "b.tif"):
        write_label_tiff(tmp_path / name, labels, axes="YX", microns_per_pixel=0.3)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (np.zeros((2, 3), np.float32), "YX"),
        (np.zeros((2, 3), np.uint32), "XY"),
        (np.zeros((2, 3, 4), np.uint32), "YX"),
        (np.zeros((2, 3, 4), np.uint32), "CYX"),
    ],
)
def test_what_is_no_label_image_is_refused(labels: np.ndarray, axes: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit the axes"):
        write_label_tiff(tmp_path / "a.tif", labels, axes=axes)
    assert not list(tmp_path.iterdir())


def test_a_plane_that_no_imagej_can_hold_is_refused_before_work_begins(tmp_path: Path) -> None:
    endless = np.broadcast_to(np.uint32(1), (50_000, 50_000))
    with pytest.raises(OutputError, match="50000 x 50000") as caught:
        write_label_tiff(tmp_path / "a.tif", endless, axes="YX")
    assert caught.value.code == "E309"
    assert "OME-Zarr" in caught.value.action
    assert not list(tmp_path.iterdir())


def test_more_than_a_classic_tiff_holds_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        # What tifffile does with an offset of more than 32 bits.
        module.struct.pack("<I", 2**32)

    monkeypatch.setattr(module.tifffile, "imwrite", full)
    with pytest.raises(OutputError, match="4 GB") as caught:
        write_label_tiff(tmp_path / "a.tif", np.eye(3, dtype=np.uint32), axes="YX")
    assert caught.value.code == "E309"
    assert not list(tmp_path.iterdir())


def test_colours_are_distinct_from_each_other_from_black_and_from_their_predecessors() -> None:
    colours = label_colours().astype(int)
    assert colours.shape == (256, 3)
    assert not colours[0].any()
    assert len({tuple(colour) for colour in colours}) == 256
    assert colours[1:].max(axis=1).min() >= 100
    for steps in range(1, 6):
        apart = np.abs(colours[1 + steps :] - colours[1:-steps]).max(axis=1)
        assert apart.min() >= 15
        assert np.median(apart) >= 90
