"""The same integer names the same object in every result format, as the usual library of each format reads it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import roifile
import tifffile
import yaml
import zarr
from pyarrow import parquet
from rasterio.features import rasterize
from tests.labelled import awkward, labelled, stack

from cellfleet.errors import OutputError, UsageError
from cellfleet.images.read import open_image
from cellfleet.results import formats
from cellfleet.results.labelled import Labelled
from cellfleet.spec.choices import Format

CASES = {
    "plane": ("YX", awkward()),
    "time": ("TYX", stack(3)),
    "planes": ("ZYX", stack(3)),
    "both": ("TZYX", stack(2, 3)),
    "nothing": ("YX", np.zeros((5, 7), np.uint32)),
}


def written(folder: Path, form: Format, result: Labelled) -> list[Path]:
    """Write one format as a run does: under names that say nothing about the format."""
    endings = formats.outputs_of(form)
    targets = [folder / f"{form}-{number}.part" for number in range(len(endings))]
    for ending, target in zip(endings, targets, strict=True):
        if ending.endswith("/"):
            target.mkdir()
    formats.write(form, targets, result)
    return targets


def _filled(shape: tuple[int, ...], polygons: list[tuple[int, int, list[object]]]) -> np.ndarray:
    """Fill polygons given as plane, label and rings; the first ring is the exterior."""
    planes = np.zeros((int(np.prod(shape[:-2])), *shape[-2:]), np.int32)
    for plane, label, rings in polygons:
        rasterize([({"type": "Polygon", "coordinates": rings}, label)], out=planes[plane])
    return planes.reshape(shape)


def _depth(axes: str, shape: tuple[int, ...]) -> int:
    return shape[axes.index("Z")] if "Z" in axes else 1


def _from_rois(path: Path, axes: str, shape: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros(shape, np.int32).reshape(-1, *shape[-2:])
    # roifile asks for the ending.
    rois = roifile.ImagejRoi.fromfile(path.rename(path.with_suffix(".zip")))
    for roi in rois:
        plane = max(roi.t_position - 1, 0) * _depth(axes, shape) + max(roi.z_position, roi.position, 1) - 1
        inside = np.zeros(shape[-2:], np.uint8)
        for ring in roi.coordinates(multi=True):
            inside ^= rasterize([{"type": "Polygon", "coordinates": [ring.tolist()]}], shape[-2:], dtype=np.uint8)
        labels[plane][inside == 1] = int(roi.name)
    return labels.reshape(shape)


def _from_geojson(path: Path, axes: str, shape: tuple[int, ...]) -> np.ndarray:
    polygons = []
    for feature in json.loads(gzip.decompress(path.read_bytes()))["features"]:
        geometry = feature["geometry"]
        plane = geometry.get("plane", {"t": 0, "z": 0})
        several = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        at = plane["t"] * _depth(axes, shape) + plane["z"]
        polygons += [(at, int(feature["properties"]["name"]), rings) for rings in several]
    return _filled(shape, polygons)


PIXELS: dict[Format, Callable[[list[Path], str, tuple[int, ...]], np.ndarray]] = {
    "labels-tiff": lambda paths, axes, shape: tifffile.imread(paths[0]),
    "ome-zarr": lambda paths, axes, shape: zarr.open_array(paths[0] / "0", mode="r")[:],
    "ome-zarr-0.4": lambda paths, axes, shape: zarr.open_array(paths[0] / "0", mode="r")[:],
    "imagej-rois": lambda paths, axes, shape: _from_rois(paths[0], axes, shape),
    "qupath-geojson": lambda paths, axes, shape: _from_geojson(paths[0], axes, shape),
    "cellpose": lambda paths, axes, shape: tifffile.imread(paths[0]).reshape(shape),
    "mcmicro": lambda paths, axes, shape: tifffile.imread(
        paths[0] / "segmentation" / "cellfleet-a" / "nuclei.ome.tif", is_ome=True
    ),
}
"""How each format that holds shapes is turned into a label image again."""


def _csv_columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    return {name: np.array([line[i] for line in lines[1:]]) for i, name in enumerate(lines[0])}


def _parquet_columns(path: Path) -> dict[str, np.ndarray]:
    # The file itself: pyarrow would take a path for a whole data set.
    table = parquet.ParquetFile(path).read()
    return {name: table[name].to_numpy() for name in table.column_names}


def _anndata(path: Path) -> dict[str, np.ndarray]:
    import anndata

    table = anndata.read_h5ad(path)
    means = {f"mean_{name}": table.X[:, i] for i, name in enumerate(table.var_names)}
    return {name: table.obs[name].to_numpy() for name in table.obs} | means


def _mcmicro_table(folder: Path) -> dict[str, np.ndarray]:
    columns = _csv_columns(folder / "quantification" / "cellfleet-a_nuclei.csv")
    names = {"CellID": "label", "X_centroid": "x_px", "Y_centroid": "y_px", "Area": "area_px", "DAPI": "mean_DAPI"}
    return {ours: columns[theirs] for theirs, ours in names.items()}


def _geojson_table(path: Path) -> dict[str, np.ndarray]:
    found = [feature["properties"] for feature in json.loads(gzip.decompress(path.read_bytes()))["features"]]
    told = {"area_um2": "Area µm^2", "mean_DAPI": "DAPI: Mean"}
    columns = {name: np.array([one["measurements"][theirs] for one in found]) for name, theirs in told.items()}
    return {"label": np.array([one["name"] for one in found]), **columns}


TABLES: dict[Format, Callable[[list[Path]], dict[str, np.ndarray]]] = {
    "csv": lambda paths: _csv_columns(paths[0]),
    "parquet": lambda paths: _parquet_columns(paths[0]),
    "anndata": lambda paths: _anndata(paths[0]),
    "mcmicro": lambda paths: _mcmicro_table(paths[0]),
    "qupath-geojson": lambda paths: _geojson_table(paths[0]),
}
"""How each format that holds numbers is turned into columns again."""


def test_every_format_is_read_back_here() -> None:
    assert PIXELS.keys() | TABLES.keys() | {"predicted-tiff"} == set(get_args(Format))


def test_a_predicted_image_is_read_back_with_axes_names_and_pixel_size(tmp_path: Path) -> None:
    result = labelled(stack(2, 3), "TZYX", microns_per_pixel=0.325)
    (path,) = written(tmp_path, "predicted-tiff", result)
    image, predicted = open_image(path), result.predicted
    assert predicted and (image.axes, image.shape, image.dtype) == ("TZYX", predicted.shape, np.uint16)
    assert image.microns_per_pixel == pytest.approx(0.325)
    for t, z in image.planes():
        np.testing.assert_array_equal(image.read_plane(t, z), predicted.read_plane(t, z))


def test_no_predicted_image_is_written_where_none_was_predicted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="predicts no image") as caught:
        written(tmp_path, "predicted-tiff", labelled(awkward(), predicted=None))
    assert caught.value.code == "E418"


@pytest.mark.parametrize("form", PIXELS)
@pytest.mark.parametrize("name", CASES)
def test_pixels_and_outlines_give_the_same_label_image(name: str, form: Format, tmp_path: Path) -> None:
    axes, labels = CASES[name]
    paths = written(tmp_path, form, labelled(labels, axes))
    np.testing.assert_array_equal(PIXELS[form](paths, axes, labels.shape), labels)


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("name", ["plane", "both", "nothing"])
def test_tables_give_the_same_numbers_under_the_same_label(name: str, form: Format, tmp_path: Path) -> None:
    axes, labels = CASES[name]
    result = labelled(labels, axes)
    truth = next(iter(result.rows.batches()))
    columns = TABLES[form](written(tmp_path, form, result))
    assert columns["label"].astype(int).tolist() == truth["label"].tolist() == [*range(1, labels.max() + 1)]
    compared = columns.keys() & {"x_px", "y_px", "area_px", "area_um2", "mean_DAPI", "mean_CD45"}
    assert "mean_DAPI" in compared and {"area_px", "area_um2"} & compared
    for column in compared:
        np.testing.assert_allclose(columns[column].astype(float), truth[column], rtol=1e-6, err_msg=column)


@pytest.mark.parametrize("form", get_args(Format))
def test_equal_objects_give_equal_bytes(form: Format, tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        paths = written(tmp_path / name, form, labelled(awkward()))
        files = sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()])
    assert digests[0] and digests[0] == digests[1]


def test_geojson_is_what_qupath_writes(tmp_path: Path) -> None:
    (path,) = written(tmp_path, "qupath-geojson", labelled(stack(2, 3), "TZYX"))
    collection = json.loads(gzip.decompress(path.read_bytes()))
    assert collection["type"] == "FeatureCollection"
    assert path.read_bytes()[3:8] == bytes(5), "neither name nor time in the header: equal objects give equal bytes"
    first, *_, last = collection["features"]
    # Ids last over versions of cellfleet.
    assert first["id"] == "56e99a63-9e2b-507e-a6da-8fea684ebefa"
    assert len({feature["id"] for feature in collection["features"]}) == len(collection["features"])
    assert first["type"] == "Feature" and first["properties"]["objectType"] == "detection"
    assert last["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}
    rings = first["geometry"]["coordinates"]
    assert rings == [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]
    measured = first["properties"]["measurements"]
    # A single pixel has no circularity: it is left out, not NaN.
    assert measured.keys() == {
        *("Area µm^2", "Equivalent diameter µm", "Major axis µm", "Minor axis µm", "Length µm"),
        *("Eccentricity", "Orientation", "Solidity", "Extent"),
        *(f"{channel}: {what}" for channel in ("DAPI", "CD45") for what in ("Mean", "Std.Dev.", "Min", "Max", "Sum")),
    }
    assert b'"DAPI: Sum":1,' in gzip.decompress(path.read_bytes())


def test_whole_cells_are_cells_in_qupath_and_lengths_in_px_where_the_size_is_unknown(tmp_path: Path) -> None:
    result = labelled(awkward(), compartment="whole-cell", microns_per_pixel=None)
    (path,) = written(tmp_path, "qupath-geojson", result)
    properties = json.loads(gzip.decompress(path.read_bytes()))["features"][1]["properties"]
    assert properties["objectType"] == "cell"
    assert {"Cell: Area px^2", "Cell: Length px", "DAPI: Cell: Mean"} < properties["measurements"].keys()


def test_a_zip_of_rois_has_one_named_entry_per_object(tmp_path: Path) -> None:
    (path,) = written(tmp_path, "imagej-rois", labelled(awkward()))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{label}.roi" for label in range(1, awkward().max() + 1)]


def test_cellpose_finds_what_its_gui_looks_for(tmp_path: Path) -> None:
    labels = np.pad(np.ones((3, 4), int), ((1, 1), (2, 0)))
    _, seg = written(tmp_path, "cellpose", labelled(labels))
    told = np.load(seg, allow_pickle=True).item()
    assert told.keys() == {"filename", "masks", "outlines", "chan_choose", "ismanual", "flows", "diameter"}
    np.testing.assert_array_equal(told["masks"], labels)
    # All but the two inner pixels; the object touches the image's right border.
    assert (told["outlines"] != labels).sum() == 2 and (told["outlines"][2, 3:5] == 0).all()
    assert told["masks"].dtype == told["outlines"].dtype == np.uint16
    assert told["ismanual"].tolist() == [False] and told["filename"] == "/data/plate/a.tif"
    assert told["diameter"] == pytest.approx(np.sqrt(4 * 12 / np.pi))


def test_cellpose_masks_take_32_bits_beyond_65_535_objects(tmp_path: Path) -> None:
    labels = np.arange(1, 65_801).reshape(200, 329)
    masks, seg = written(tmp_path, "cellpose", labelled(labels))
    assert tifffile.imread(masks).dtype == np.load(seg, allow_pickle=True).item()["outlines"].dtype == np.uint32


def test_mcmicro_has_its_folders_columns_and_parameters(tmp_path: Path) -> None:
    result = labelled(awkward(), compartment="whole-cell", name="plate/exemplar-001.ome.tif")
    (folder,) = written(tmp_path, "mcmicro", result)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "segmentation/cellfleet-exemplar-001/cell.ome.tif",
        "quantification/cellfleet-exemplar-001_cell.csv",
        "qc/params.yml",
    }
    header = (folder / "quantification/cellfleet-exemplar-001_cell.csv").read_text().splitlines()[0]
    assert header == (
        "CellID,DAPI,CD45,X_centroid,Y_centroid,Area,MajorAxisLength,MinorAxisLength,"
        "Eccentricity,Solidity,Extent,Orientation"
    )
    assert yaml.safe_load((folder / "qc/params.yml").read_text())["model"] == "nuclei:1"


def test_anndata_fits_into_spatialdata(tmp_path: Path) -> None:
    import anndata

    result = labelled(awkward())
    (path,) = written(tmp_path, "anndata", result)
    table, columns = anndata.read_h5ad(path), next(iter(result.rows.batches()))
    attributes = table.uns["spatialdata_attrs"]
    assert attributes == {"region": "plate_a.tif", "region_key": "region", "instance_key": "label"}
    assert set(table.obs[attributes["region_key"]]) == {attributes["region"]}
    assert table.obs["region"].dtype == "category" and table.obs["label"].dtype.kind == "u"
    np.testing.assert_array_equal(table.obsm["spatial"], np.column_stack([columns["x_um"], columns["y_um"]]))
    assert table.uns["cellfleet"]["spatial_unit"] == "µm" and table.obs_names.is_unique
    np.testing.assert_array_equal(table[:, "CD45"].layers["sum"][:, 0], columns["sum_CD45"])
    assert table.X.dtype == np.float32


def test_without_anndata_it_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    formats.require_libraries(get_args(Format))
    monkeypatch.setattr("cellfleet.results.anndata.find_spec", lambda name: None)
    formats.require_libraries(["csv", "labels-tiff"])
    with pytest.raises(OutputError, match=r"pip install 'cellfleet\[spatial\]'. \[E332\]"):
        formats.require_libraries(["csv", "anndata"])


def test_so_many_rois_that_imagej_is_slow_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellfleet.results.rois._SLOW", 11)
    assert formats.write("imagej-rois", [tmp_path / "few"], labelled(np.arange(1, 12)[None])) == ()
    (notice,) = formats.write("imagej-rois", [tmp_path / "many"], labelled(np.arange(1, 13)[None]))
    assert notice.code == "W330" and notice.text.startswith("ImageJ is slow with 12 ROIs")


def test_images_that_the_cellpose_gui_cannot_hold_are_refused_before_they_are_segmented() -> None:
    formats.require_size(get_args(Format), (2**14, 2**14))
    formats.require_size(["csv", "mcmicro"], (2**15, 2**15))
    with pytest.raises(OutputError, match="E331"):
        formats.require_size(get_args(Format), (3, 2**14, 2**14))
