"""OME-Zarr labels: valid by the specification's own checker, equal to the label TIFF, the same bytes every time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellfleet.results.labelled import ArrayLabels
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.ome_zarr import Version, path_to_image, write_ome_zarr
from cellfleet.results.pyramid import level_shapes, pieces

VERSIONS = get_args(Version)
AXES = {2: ["YX"], 3: ["TYX", "ZYX"], 4: ["TZYX"]}


def noise(shape: tuple[int, ...], axes: str = "YX", count: int = 70_000) -> ArrayLabels:
    array = np.random.default_rng(0).integers(0, count + 1, shape, dtype=np.uint32)
    return ArrayLabels(array, axes, count)


def _attributes(path: Path, version: Version) -> dict:
    if version == "0.5":
        return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    return json.loads((path / ".zattrs").read_text())


@st.composite
def label_images(draw: st.DrawFn) -> ArrayLabels:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=9))
    array = draw(hnp.arrays(np.uint32, shape, elements=st.integers(0, 2**32 - 1)))
    return ArrayLabels(array, draw(st.sampled_from(AXES[len(shape)])), int(array.max()))


@given(labels=label_images(), version=st.sampled_from(VERSIONS), microns=st.sampled_from([None, 0.25]))
@settings(max_examples=25, deadline=None)
def test_labels_of_any_shape_are_valid_and_read_back_equal(
    labels: ArrayLabels, version: Version, microns: float | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.zarr"
        write_ome_zarr(path, labels, microns_per_pixel=microns, version=version)
        yaozarrs.validate_zarr_store(str(path))
        assert np.array_equal(zarr.open_array(path / "0", mode="r")[:], labels.array)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("shape", "axes"), [((2500, 4300), "YX"), ((2, 2, 1100, 700), "TZYX"), ((1, 5000), "YX")])
def test_every_level_is_every_second_pixel_down_to_512(
    shape: tuple[int, ...], axes: str, version: Version, tmp_path: Path
) -> None:
    labels = noise(shape, axes)
    write_ome_zarr(tmp_path / "a", labels, version=version, threads=2)
    yaozarrs.validate_zarr_store(str(tmp_path / "a"))
    (multiscale,) = _attributes(tmp_path / "a", version)["multiscales"]
    paths = [dataset["path"] for dataset in multiscale["datasets"]]
    levels = [zarr.open_array(tmp_path / "a" / path, mode="r")[:] for path in paths]
    for number, level in enumerate(levels):
        assert np.array_equal(level, labels.array[..., :: 2**number, :: 2**number])
    assert max(levels[-1].shape[-2:]) <= 512 < max(levels[-2].shape[-2:])


@pytest.mark.parametrize("version", VERSIONS)
def test_axes_scale_and_source_are_told(version: Version, tmp_path: Path) -> None:
    labels = noise((2, 3, 700, 600), "TZYX")
    write_ome_zarr(tmp_path / "image.ome.zarr", labels, version=version)
    path = tmp_path / "out" / "a_labels.ome.zarr"
    write_ome_zarr(path, labels, microns_per_pixel=0.5, source="../../image.ome.zarr", version=version)
    yaozarrs.validate_zarr_store(str(path))
    attributes = _attributes(path, version)
    (multiscale,) = attributes["multiscales"]
    assert multiscale["axes"] == [
        {"name": "t", "type": "time"},
        {"name": "z", "type": "space"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    scales = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    assert scales == [[{"type": "scale", "scale": [1, 1, 0.5 * 2**level, 0.5 * 2**level]}] for level in range(2)]
    assert attributes["image-label"] == {"version": version, "source": {"image": "../../image.ome.zarr"}}
    assert (attributes if version == "0.5" else multiscale)["version"] == version


def test_the_image_is_found_from_the_labels_where_the_specification_allows_it(tmp_path: Path) -> None:
    labels = noise((60, 50))
    write_ome_zarr(tmp_path / "in" / "new.ome.zarr", labels)
    write_ome_zarr(tmp_path / "in" / "old.ome.zarr", labels, version="0.4")
    path = tmp_path / "out" / "day1" / "a_labels.ome.zarr"
    link = path_to_image(path, str(tmp_path / "in" / "new.ome.zarr"))
    assert link == "../../../in/new.ome.zarr"
    write_ome_zarr(path, labels, source=link)
    yaozarrs.validate_zarr_store(str(path))
    for other in (tmp_path / "in" / "old.ome.zarr", tmp_path / "a.tif", "s3://bucket/a.ome.zarr", ""):
        assert path_to_image(path, str(other)) is None


def test_the_form_is_the_one_that_viewers_and_buckets_like(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "new", noise((3, 5000, 3000), "ZYX"))
    array = zarr.open_array(tmp_path / "new" / "0", mode="r")
    assert (array.chunks, array.shards, array.dtype) == ((1, 512, 512), (1, 2048, 2048), np.uint32)
    assert array.metadata.dimension_names == ("z", "y", "x")
    write_ome_zarr(tmp_path / "old", noise((700, 600)), version="0.4")
    assert zarr.open_array(tmp_path / "old" / "0", mode="r").metadata.zarr_format == 2
    assert (tmp_path / "old" / "0" / "1" / "1").is_file()


@pytest.mark.parametrize("version", VERSIONS)
def test_blocks_of_background_are_not_stored(version: Version, tmp_path: Path) -> None:
    array = np.zeros((5000, 5000), np.uint32)
    array[4999, 1] = 7
    write_ome_zarr(tmp_path / "a", ArrayLabels(array, "YX", 7), version=version)
    files = [path.relative_to(tmp_path / "a" / "0") for path in (tmp_path / "a" / "0").rglob("*") if path.is_file()]
    stored = {tuple(map(int, path.parts[-2:])) for path in files if path.name.isdigit()}
    assert stored == (
        {(2, 0)} if version == "0.5" else {(8, 0), (8, 1), (8, 2), (8, 3), (9, 0), (9, 1), (9, 2), (9, 3)}
    )
    assert np.array_equal(zarr.open_array(tmp_path / "a" / "0", mode="r")[:], array)


@pytest.mark.parametrize("version", VERSIONS)
def test_equal_labels_are_equal_files_for_any_number_of_threads(version: Version, tmp_path: Path) -> None:
    labels = noise((2600, 4200), count=9)
    contents = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        write_ome_zarr(folder, labels, version=version, threads=threads)
        contents.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


def test_a_write_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"in the way")
    with pytest.raises(OSError, match="a"):
        write_ome_zarr(tmp_path / "a", noise((10, 10)))


@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=60),
    side=st.sampled_from([8, 10, 16]),
    smallest=st.integers(1, 8),
)
@settings(max_examples=80, deadline=None)
def test_every_block_of_every_level_comes_once(shape: tuple[int, ...], side: int, smallest: int) -> None:
    array = np.arange(1, np.prod(shape) + 1, dtype=np.uint32).reshape(shape)
    labels = ArrayLabels(array, "ZYX"[-len(shape) :], array.size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellfleet.results.pyramid._SMALLEST", smallest)
        shapes = level_shapes(shape)
        levels = [np.zeros((*shape[:-2], *size), np.uint32).reshape(-1, *size) for size in shapes]
        for plane, level, box, pixels in pieces(labels, side):
            assert pixels.shape == box.shape and max(box.shape) <= side
            assert not levels[level][plane][box.y, box.x].any()
            levels[level][plane][box.y, box.x] = pixels
    assert max(shapes[-1]) <= smallest
    for number, level in enumerate(levels):
        assert np.array_equal(level, array.reshape(-1, *shape[-2:])[:, :: 2**number, :: 2**number])


def test_tiff_and_zarr_hold_the_same_integers(tmp_path: Path) -> None:
    labels = noise((3, 650, 520), "TYX")
    write_label_tiff(tmp_path / "a.tif", labels)
    write_ome_zarr(tmp_path / "a", labels)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), zarr.open_array(tmp_path / "a" / "0", mode="r")[:])
