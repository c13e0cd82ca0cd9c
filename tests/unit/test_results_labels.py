"""Label TIFFs read back equal, in the form that ImageJ can open; test_label_tiff_in_imagej.py asks ImageJ itself."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from cellfleet.results import labels as module
from cellfleet.results.labelled import ArrayLabels
from cellfleet.results.labels import label_tiff_kind, write_label_tiff
from cellfleet.results.ome_tiff import write_ome_tiff
from cellfleet.results.palette import label_colours
from cellfleet.tiling.box import Box

AXES = {2: ["YX"], 3: ["TYX", "ZYX"], 4: ["TZYX"]}


def array_labels(array: NDArray[np.uint32], axes: str = "YX") -> ArrayLabels:
    return ArrayLabels(array, axes, int(array.max(initial=0)))


@st.composite
def label_images(draw: st.DrawFn, most: int = 2**24) -> ArrayLabels:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=9))
    largest = draw(st.sampled_from([n for n in (0, 1, 255, 65_535, 65_536, 2**24, 2**32 - 1) if n <= most]))
    array = draw(hnp.arrays(np.uint32, shape, elements=st.integers(0, largest)))
    return array_labels(array, draw(st.sampled_from(AXES[len(shape)])))


@given(label_images())
@example(array_labels(np.zeros((1, 1), np.uint32)))
@example(array_labels(np.arange(4, dtype=np.uint32).reshape(4, 1, 1), "TYX"))
@example(array_labels(np.arange(3, dtype=np.uint32).reshape(3, 1, 1), "ZYX"))
@settings(max_examples=60, deadline=None)
def test_labels_of_any_shape_and_size_read_back_equal(labels: ArrayLabels) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a_labels.tif"
        assert write_label_tiff(path, labels, microns_per_pixel=0.5) == ()
        with tifffile.TiffFile(path) as tiff:
            stored = tiff.asarray().reshape(labels.shape)
            assert tiff.series[0].axes.endswith("YX")
    assert np.array_equal(stored, labels.array)
    assert stored.dtype == (np.uint16 if labels.count <= 65_535 else np.uint32)


def test_the_form_is_the_one_that_imagej_opens(tmp_path: Path) -> None:
    labels = np.arange(600 * 500, dtype=np.uint32).reshape(600, 500) % 300
    write_label_tiff(tmp_path / "a.tif", array_labels(labels), microns_per_pixel=0.25)
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
    write_label_tiff(tmp_path / "a.tif", array_labels(labels))
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), labels)
    assert np.array_equal(imagecodecs.tiff_decode((tmp_path / "a.tif").read_bytes()), labels)


@given(
    labels=label_images(),
    strip=st.integers(1, 5),
    bands=st.lists(st.integers(1, 12), min_size=2, max_size=2),
    microns=st.sampled_from([None, 0.3]),
)
@settings(max_examples=60, deadline=None)
def test_how_labels_are_read_does_not_show_in_the_file(
    labels: ArrayLabels, strip: int, bands: list[int], microns: float | None
) -> None:
    """Whatever part of the image a band holds, the file is the one that tifffile makes of the whole array."""
    row_bytes = labels.shape[-1] * (2 if labels.count <= 0xFFFF else 4)
    written = []
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(module, "_STRIP_BYTES", strip * row_bytes):
        for name, rows in zip("ab", bands, strict=True):
            with mock.patch.object(module, "_BAND_ROWS", rows):
                write_label_tiff(Path(folder) / name, labels, microns_per_pixel=microns)
            written.append((Path(folder) / name).read_bytes())
        assert np.array_equal(tifffile.imread(Path(folder) / "a").reshape(labels.shape), labels.array)
    assert written[0] == written[1]


@pytest.mark.parametrize(("shape", "axes"), [((700, 900), "YX"), ((2, 3, 300, 170), "TZYX"), ((3, 70_000), "YX")])
@pytest.mark.parametrize("count", [300, 70_000])
def test_strips_are_those_of_tifffile(shape: tuple[int, ...], axes: str, count: int, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, count + 1, shape, dtype=np.uint32)
    array.flat[0] = count
    write_label_tiff(tmp_path / "a.tif", array_labels(array, axes))
    stored = array.astype(np.uint16 if count <= 0xFFFF else np.uint32)
    whole = {"compression": "zlib", "compressionargs": {"level": 1}, "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(tmp_path / "whole.tif", stored, **whole)
    with tifffile.TiffFile(tmp_path / "a.tif") as ours, tifffile.TiffFile(tmp_path / "whole.tif") as theirs:
        assert len(ours.pages) == len(theirs.pages)
        for page, other in zip(ours.pages, theirs.pages, strict=True):
            assert page.databytecounts == other.databytecounts


@dataclass(frozen=True)
class Described:
    """Only what can be told without reading a pixel."""

    shape: tuple[int, ...]
    count: int = 1
    axes: str = "YX"
    block: int = 2048

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        raise AssertionError


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (Described((46_000, 46_000)), "imagej"),
        (Described((46_341, 46_341)), "ome"),  # more pixels than a Java array has
        (Described((32_700, 32_700), 65_536), "imagej"),
        (Described((32_768, 32_768), 65_536), "ome"),  # 4 GiB
        (Described((2, 32_700, 32_700), 65_535, "ZYX"), "imagej"),
        (Described((5, 32_700, 32_700), 65_535, "ZYX"), "ome"),
        (Described((10, 10), 2**24), "imagej"),
        (Described((10, 10), 2**24 + 1), "ome"),  # more than ImageJ tells apart
    ],
)
def test_what_imagej_cannot_open_is_known_before_work_begins(labels: Described, kind: str) -> None:
    assert label_tiff_kind(labels) == kind


def test_a_file_that_does_not_compress_is_never_larger_than_was_reckoned(tmp_path: Path) -> None:
    for shape in ((1, 1), (900, 1100), (40, 3, 5), (2, 1, 9000)):
        noise = np.random.default_rng(1).integers(0, 65_536, shape, dtype=np.uint32)
        labels = array_labels(noise, "ZYX"[-len(shape) :])
        write_label_tiff(tmp_path / "a.tif", labels)
        assert noise.size < (tmp_path / "a.tif").stat().st_size <= module._most_bytes(labels)


def test_labels_too_large_for_imagej_become_ome_tiff_and_are_told(tmp_path: Path) -> None:
    array = np.array([[0, 2**24 + 1], [2**32 - 1, 5]], np.uint32)
    (notice,) = write_label_tiff(tmp_path / "a.tif", array_labels(array))
    assert notice.code == "W302"
    assert "QuPath" in notice.text
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_ome
        assert np.array_equal(tiff.asarray(), array)


@given(label_images(most=2**32 - 1), st.sampled_from([None, 0.25]))
@settings(max_examples=30, deadline=None)
def test_ome_tiff_of_any_shape_and_count_reads_back_equal(labels: ArrayLabels, microns: float | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_ome_tiff(Path(folder) / "a", labels, microns_per_pixel=microns)
        assert np.array_equal(tifffile.imread(Path(folder) / "a").reshape(labels.shape), labels.array)


@pytest.mark.parametrize(("shape", "axes"), [((3000, 4500), "YX"), ((2, 2, 1100, 700), "TZYX"), ((1, 5000), "YX")])
def test_ome_tiff_has_axes_pixel_size_and_a_pyramid_of_every_second_pixel(
    shape: tuple[int, ...], axes: str, tmp_path: Path
) -> None:
    array = np.random.default_rng(2).integers(0, 70_000, shape, dtype=np.uint32)
    for name in ("a", "b"):
        write_ome_tiff(tmp_path / name, array_labels(array, axes), microns_per_pixel=0.25)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tifffile.TiffFile(tmp_path / "a") as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages.first.tile == (512, 512)
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert 'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"' in tiff.ome_metadata
        (series,) = tiff.series
        assert series.axes == axes
        for number, level in enumerate(series.levels):
            assert np.array_equal(level.asarray(), array[..., :: 2**number, :: 2**number])
        assert max(series.levels[-1].shape[-2:]) <= 512 < max(series.levels[-2].shape[-2:])


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
