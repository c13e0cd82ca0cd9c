"""Labels that other programs corrected: read as they were drawn, refused where they could do or mean something else."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.evaluation.cellpose_seg import read_seg_masks
from cellfleet.evaluation.outlines import read_outlines
from cellfleet.training.label_files import images_among_labels, pair_labels, read_label_planes

# --- Cellpose ----------------------------------------------------------------------------------------------------


def _seg(masks: NDArray[Any], **more: Any) -> dict[str, Any]:
    """What the GUI of Cellpose 3 and 4 saves."""
    return {
        "outlines": masks.astype(np.uint16),
        "colors": np.zeros((int(masks.max()), 3), np.uint8),
        "masks": masks,
        "filename": "a.tif",
        "flows": [np.zeros((2, 3), np.float32), [], np.ones(3, np.float64)],
        "ismanual": np.ones(3, bool),
        "manual_changes": [["01/02/2026, 10:00:00", "added mask", [[1, 2], [3, 4]]]],
        "model_path": 0,
        "flow_threshold": 0.4,
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0], "invert": False},
        "diameter": np.float64(30.5),
        "weights": Path("models") / "cpsam",
        **more,
    }


def _masks(dtype: Any = np.uint16, shape: tuple[int, ...] = (20, 30)) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 50, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", "<u4", "<i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_of_cellpose_are_read_as_they_are(tmp_path: Path, dtype: str, order: Any) -> None:
    masks = np.asarray(_masks(dtype), order=order)
    np.save(tmp_path / "a_seg.npy", np.array(_seg(masks)), allow_pickle=True)
    found = read_seg_masks(tmp_path / "a_seg.npy")
    np.testing.assert_array_equal(found, masks)


def test_masks_written_by_numpy_1_and_by_python_2_are_read(tmp_path: Path) -> None:
    for protocol in (2, 4):
        with (tmp_path / "a_seg.npy").open("wb") as file:
            header = {"descr": "|O", "fortran_order": False, "shape": ()}
            np.lib.format.write_array_header_1_0(file, header)
            content = pickle.dumps(np.array(_seg(_masks())), protocol)
            # Of the same length, so that the pickle stays whole: the module's name before numpy 2.
            file.write(content.replace(b"numpy._core.", b"numpy.core.") if protocol == 2 else content)
        np.testing.assert_array_equal(read_seg_masks(tmp_path / "a_seg.npy"), _masks())


def test_masks_of_old_versions_that_count_from_minus_1_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a_seg.npy", np.array(_seg(_masks(np.int32) - 1)), allow_pickle=True)
    np.testing.assert_array_equal(read_seg_masks(tmp_path / "a_seg.npy"), _masks())


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


class _Pickled:
    """Anything else that a pickle can name."""


@pytest.mark.parametrize(
    "content",
    [
        _seg(_masks(), harm=_Harmful()),
        _seg(_masks(), other=_Pickled()),
        _seg(_masks(np.float32)),
        {"masks": np.array([{}, None], object)},
        {"masks": np.zeros(2, [("a", "u1")])},
        {"outlines": _masks()},
        [_masks()],
        "masks",
    ],
)
def test_a_pickle_of_anything_else_is_refused_and_never_run(
    tmp_path: Path, content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.empty((), object)
    array[()] = content
    np.save(tmp_path / "a_seg.npy", array, allow_pickle=True)
    with pytest.raises(TrainingError, match=r"_cp_masks.*E620"):
        read_seg_masks(tmp_path / "a_seg.npy")
    assert not (tmp_path / "harmed").exists()


def test_damaged_files_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a_seg.npy"
    np.save(path, np.array(_seg(_masks())), allow_pickle=True)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    broken = [b"", b"no array", whole[:100], whole[: len(whole) // 2]]
    for _ in range(150):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            spoiled[place] = int(rng.integers(256))
        broken.append(bytes(spoiled))
    for content in broken:
        path.write_bytes(content)
        # Damage that only touches numbers may go unseen; what is seen is told in our words.
        with contextlib.suppress(TrainingError):
            assert read_seg_masks(path).dtype.kind in "ui"
    np.save(path, _masks())
    with pytest.raises(TrainingError, match="E620"):
        read_seg_masks(path)


# --- QuPath ------------------------------------------------------------------------------------------------------


def _square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def _feature(coordinates: Any, kind: str = "annotation", **more: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": coordinates, **more.pop("geometry", {})}
    properties = {"objectType": kind, **more.pop("properties", {})}
    return {"type": "Feature", "id": "1", "geometry": geometry, "properties": properties, **more}


def _geojson(path: Path, *features: dict[str, Any]) -> Path:
    text = json.dumps({"type": "FeatureCollection", "features": list(features)}).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_annotations_of_qupath_are_filled_where_centres_of_pixels_lie(tmp_path: Path) -> None:
    ring, hole = _square(1, 2, 4), _square(2, 3, 2)
    path = _geojson(tmp_path / "a.geojson", _feature([ring, hole]), _feature([_square(6.4, 0.4, 2)], "detection"))
    expected = np.zeros((8, 10), np.int32)
    expected[2:6, 1:5] = 1
    expected[3:5, 2:4] = 0
    # From 6.4 to 8.4: the centre of pixel 6 lies within, that of pixel 8 does not.
    expected[0:2, 6:8] = 2
    np.testing.assert_array_equal(read_outlines(path, (1, 8, 10))[0], expected)


def test_several_parts_are_one_object_and_the_later_lies_on_top(tmp_path: Path) -> None:
    parts = {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": [[_square(0, 0, 2)], [_square(4, 4, 2)]]},
        "properties": {},
    }
    found = read_outlines(_geojson(tmp_path / "a.geojson.gz", parts, _feature([_square(1, 1, 2)])), (1, 8, 8))[0]
    assert found[0, 0] == found[5, 5] == 1
    assert found[1, 1] == found[2, 2] == 2


def test_older_lists_of_features_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([_feature([_square(0, 0, 2)])]), encoding="utf-8")
    assert read_outlines(path, (1, 4, 4)).sum() == 4


def test_objects_of_a_stack_lie_on_their_planes(tmp_path: Path) -> None:
    features = [
        _feature([_square(0, 0, 2)], geometry={"plane": {"c": -1, "z": z, "t": t}}) for z, t in ((2, 0), (0, 1))
    ]
    found = read_outlines(_geojson(tmp_path / "a.geojson", *features), (3, 4, 4))
    assert [int(plane.max()) for plane in found] == [0, 2, 1]
    with pytest.raises(TrainingError, match=r"plane 2.*E621"):
        read_outlines(tmp_path / "a.geojson", (2, 4, 4))


def test_cells_give_their_nuclei_where_these_are_wanted(tmp_path: Path) -> None:
    nucleus = {"type": "Polygon", "coordinates": [_square(1, 1, 2)]}
    path = _geojson(tmp_path / "a.geojson", _feature([_square(0, 0, 4)], "cell", nucleusGeometry=nucleus))
    assert (read_outlines(path, (1, 6, 6)) > 0).sum() == 16
    assert (read_outlines(path, (1, 6, 6), nuclei=True) > 0).sum() == 4


def test_what_is_no_object_is_left_out(tmp_path: Path) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}}
    ignored = _feature([_square(0, 0, 8)], properties={"classification": {"name": "Region*"}})
    tile = _feature([_square(0, 0, 8)], "tile")
    path = _geojson(tmp_path / "a.geojson", point, ignored, tile, _feature([_square(1, 1, 2)]))
    assert (read_outlines(path, (1, 8, 8)) > 0).sum() == 4


@pytest.mark.parametrize("first", [True, False])
def test_a_region_around_objects_is_not_taken_for_one(tmp_path: Path, first: bool) -> None:
    cells = [_feature([_square(x, 2, 3)], "detection") for x in (1, 6, 11)]
    around = _feature([_square(0, 0, 16)])
    path = _geojson(tmp_path / "a.geojson", *([around, *cells] if first else [*cells, around]))
    with pytest.raises(TrainingError, match=rf"outline {1 if first else 4} holds several.*E623"):
        read_outlines(path, (1, 16, 16))
    # One within another, as a nucleus that somebody drew over a cell, is no region.
    lying = _geojson(tmp_path / "b.geojson", _feature([_square(0, 0, 8)]), _feature([_square(2, 2, 3)]))
    assert read_outlines(lying, (1, 16, 16)).max() == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'{"features": 3}', b'{"features": []}', b"\xff\xfe", b'{"features": [{"geometry": {}}]}']
    + [b'{"features": [{"geometry": {"type": "Polygon", "coordinates": %s}}]}' % c for c in (b"3", b"[]", b'[["a"]]')],
)
def test_no_outlines_are_an_error_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    for name in ("a.geojson", "a.geojson.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrainingError, match=r"Export again.*E621"):
            read_outlines(tmp_path / name, (1, 4, 4))


# --- napari ------------------------------------------------------------------------------------------------------


def _shapes(path: Path, *shapes: tuple[str, list[tuple[float, ...]]]) -> Path:
    """As napari saves a shapes layer."""
    axes = len(shapes[0][1][0])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "shape-type", "vertex-index", *(f"axis-{axis}" for axis in range(axes))])
        for index, (kind, corners) in enumerate(shapes):
            writer.writerows([float(index), kind, float(number), *corner] for number, corner in enumerate(corners))
    return path


def test_shapes_of_napari_stand_between_the_centres_of_pixels(tmp_path: Path) -> None:
    box = [(0.5, 0.5), (0.5, 3.5), (2.5, 3.5), (2.5, 0.5)]
    found = read_outlines(_shapes(tmp_path / "a.csv", ("rectangle", box)), (1, 8, 10))[0]
    expected = np.zeros((8, 10), np.int32)
    expected[1:3, 1:4] = 1
    np.testing.assert_array_equal(found, expected)


def test_ellipses_and_planes_of_napari(tmp_path: Path) -> None:
    box = [(1.0, 10.0, 5.0), (1.0, 10.0, 45.0), (1.0, 30.0, 45.0), (1.0, 30.0, 5.0)]
    found = read_outlines(_shapes(tmp_path / "a.csv", ("ellipse", box)), (2, 40, 50))
    assert not found[0].any()
    assert abs(found[1].sum() - np.pi * 20 * 10) < 15
    assert found[1, 20, 25] and found[1, 20, 7] and not found[1, 11, 7]


def test_lines_of_napari_have_no_inside(tmp_path: Path) -> None:
    path = _shapes(tmp_path / "a.csv", ("path", [(1.0, 1.0), (5.0, 5.0), (5.0, 9.0)]))
    with pytest.raises(TrainingError, match=r"no inside.*E621"):
        read_outlines(path, (1, 8, 8))


# --- which file --------------------------------------------------------------------------------------------------


def _paired(folder: Path, images: list[str], files: list[str]) -> dict[str, str]:
    for name in files:
        (folder / name).touch()
    return {image.name: labels.name for image, labels in pair_labels([folder / i for i in images], folder).items()}


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("a.tif", "a_seg.npy"),
        ("a.tif", "a_cp_masks.png"),
        ("a.tif", "a_labels.tif"),
        ("a.ome.tif", "a.ome_labels.tif"),
        ("a.ome.tif", "a.ome_seg.npy"),
        ("a.tif", "a.tif_labels.tif"),
        ("a.tif", "a.geojson"),
        ("a.tif", "a.tif.geojson"),
        ("a.tif", "a.geojson.gz"),
        ("a.tif", "a_cells.geojson.gz"),
        ("a_cells.tif", "a_cells.geojson"),
        ("a.png", "a_shapes.csv"),
        ("a_mask.tif", "a_mask.png"),
    ],
)
def test_labels_belong_to_the_image_whose_name_goes_before(tmp_path: Path, image: str, labels: str) -> None:
    beside = [image, "b.tif", "run.json", "report.html", "b_cells.csv", "b_nuclei_labels.tif", ".a_seg.npy"]
    assert _paired(tmp_path, [image, "b.tif"], [*beside, labels]) == {image: labels}


def test_images_that_end_like_labels_keep_those_of_their_own_name(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for name in ("a.tif", "a_mask.tif"):
        (tmp_path / "labels" / name).touch()
    images = [tmp_path / "a.tif", tmp_path / "a_mask.tif"]
    assert {i.name: p.name for i, p in pair_labels(images, tmp_path / "labels").items()} == {
        "a.tif": "a.tif",
        "a_mask.tif": "a_mask.tif",
    }


def test_of_cellpose_the_file_counts_that_its_gui_saves(tmp_path: Path) -> None:
    assert _paired(tmp_path, ["a.tif"], ["a.tif", "a_cp_masks.tif", "a_seg.npy"]) == {"a.tif": "a_seg.npy"}


@pytest.mark.parametrize("two", [("a.geojson", "a_labels.tif"), ("a_seg.npy", "a.csv"), ("a.geojson", "a.geojson.gz")])
def test_two_corrections_of_one_image_are_not_chosen_from(tmp_path: Path, two: tuple[str, str]) -> None:
    with pytest.raises(TrainingError, match=r"corrected last.*E622"):
        _paired(tmp_path, ["a.tif"], ["a.tif", *two])


def test_only_names_that_say_so_tell_labels_among_images(tmp_path: Path) -> None:
    (tmp_path / ".cellfleet").mkdir()
    images = ["a.tif", "b.ome.tif", "labels.tif.png"]
    for name in (
        *images,
        "a_seg.npy",
        "a_labels.tif",
        "a_cp_masks.PNG",
        "b.geojson.gz",
        "run.json",
        ".cellfleet/c.jpg",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in images_among_labels(tmp_path)] == images


def test_labels_are_numbered_anew_in_each_plane(tmp_path: Path) -> None:
    masks = np.zeros((2, 4, 4), np.uint32)
    masks[0, 0], masks[1, 1], masks[1, 2] = 7, 7, 4_000_000_000
    np.save(tmp_path / "a_seg.npy", np.array(_seg(np.minimum(masks, 9))), allow_pickle=True)
    found = read_label_planes(tmp_path / "a_seg.npy", (2, 4, 4), nuclei=False)
    assert found.dtype == np.int32
    assert [plane.max() for plane in found] == [1, 2]
