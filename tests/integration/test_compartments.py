"""Cells and their nuclei, from the command to every file: by a model of a few nodes on a drawn sheet of cells."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pyarrow import parquet
from roifile import roiread
from tests import small_blocks
from tests.packages import write_tissue
from tests.services import running_service
from tests.support import rows, run_record
from tests.worked import work_off, working

import cellfleet
from cellfleet.cli import main
from cellfleet.errors import UsageError
from cellfleet.results.formats import outputs_of, written_for
from cellfleet.run import process
from cellfleet.spec.choices import Format
from cellfleet.spec.segment import ChannelChoice, SegmentSpec

FORMATS: tuple[Format, ...] = tuple(form for form in get_args(Format) if form != "predicted-tiff")
CHANNELS = ("--channel", "nuclear=DAPI", "--channel", "membrane=CD45")
CELLS = ((30, 30), (30, 100), (60, 200), (90, 60), (150, 40), (150, 130), (160, 220))
"""Middles, in the order of numbers; the fourth has two nuclei, the fifth none, and that of the sixth sticks out."""


def drawn() -> NDArray[np.uint16]:
    """Return (2, Y, X): nuclei and cells, and a nucleus without a cell."""
    y, x = np.mgrid[:200, :260]

    def disc(row: float, column: float, radius: float) -> NDArray[Any]:
        return np.clip(radius - np.hypot(y - row, x - column), 0, 4) / 4

    cells = np.max([disc(row, column, 18) for row, column in CELLS], axis=0)
    places = [(*CELLS[0], 9), (*CELLS[1], 9), (*CELLS[2], 9), (90, 50, 7), (90, 69, 5), (166, 130, 9), (*CELLS[6], 9)]
    nuclei = np.max([disc(*place) for place in (*places, (110, 180, 7))], axis=0)
    noise = np.random.default_rng(0).normal(0, 10, (2, 200, 260))
    return (np.stack([nuclei, cells]) * 4000 + 300 + noise).astype(np.uint16)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, the image, and the results of all formats."""
    folder = tmp_path_factory.mktemp("compartments")
    write_tissue(folder / "small-tissue")
    told = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    (folder / "images").mkdir()
    tifffile.imwrite(folder / "images" / "a.ome.tif", drawn(), metadata=told)
    assert segment(folder, "all", *[word for form in FORMATS for word in ("--format", form)]) == 0
    return folder


def segment(folder: Path, out: str, *words: str) -> int:
    model = str(folder / "small-tissue")
    return main(["segment", str(folder / "images"), "-o", str(folder / out), "--model", model, *CHANNELS, *words])


@pytest.fixture
def results(work: Path) -> Path:
    return work / "all"


@pytest.fixture
def labels(results: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    return tifffile.imread(results / "a.ome_labels.tif"), tifffile.imread(results / "a.ome_nuclei.tif")


def features(results: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress((results / "a.ome_cells.geojson.gz").read_bytes()))[
        "features"
    ]
    return found


def filled(geometry: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a polygon without holes, whose corners lie between pixels."""
    picture = Image.new("1", (2 * shape[1] + 1, 2 * shape[0] + 1))
    ImageDraw.Draw(picture).polygon([(2 * x, 2 * y) for x, y in geometry["coordinates"][0]], fill=1)
    return np.asarray(picture)[1::2, 1::2]


# --- numbers -------------------------------------------------------------------------------------------------------


def test_a_nucleus_has_the_number_of_its_cell_and_all_others_have_numbers_behind(
    labels: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    cells, nuclei = labels
    assert np.unique(cells).tolist() == list(range(8))
    assert np.unique(nuclei).tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    for number in (1, 2, 3, 4, 7):
        assert (cells[nuclei == number] == number).all()
    assert set(np.unique(cells[nuclei == 6])) == {0, 6}, "that sticks out"
    assert set(np.unique(cells[nuclei == 8])) == {4}, "the smaller one of two"
    assert set(np.unique(cells[nuclei == 9])) == {0}


def test_no_ending_of_a_file_ends_another() -> None:
    endings = [ending.rstrip("/") for form in written_for(get_args(Format), nuclei=True) for ending in outputs_of(form)]
    assert len(set(endings)) == len(endings)
    assert not [(one, other) for one in endings for other in endings if one != other and one.endswith(other)]


# --- files ---------------------------------------------------------------------------------------------------------


def test_label_images_of_every_format_are_the_same(results: Path, labels: tuple[NDArray[Any], NDArray[Any]]) -> None:
    for array, zarrs, masks, mcmicro in zip(
        labels, ("labels", "nuclei"), ("cp_masks", "cp_nuclei_masks"), ("cell", "nuclei"), strict=True
    ):
        for ending in (f"{zarrs}.ome.zarr", f"{zarrs}_v0.4.ome.zarr"):
            np.testing.assert_array_equal(zarr.open_array(results / f"a.ome_{ending}" / "0", mode="r")[:], array)
        np.testing.assert_array_equal(tifffile.imread(results / f"a.ome_{masks}.tif"), array)
        path = results / "a.ome_mcmicro/segmentation/cellfleet-a" / f"{mcmicro}.ome.tif"
        np.testing.assert_array_equal(tifffile.imread(path), array)
    seg = np.load(results / "a.ome_seg_nuclei.npy", allow_pickle=True).item()
    np.testing.assert_array_equal(seg["masks"], labels[1])
    assert len(seg["ismanual"]) == labels[1].max()


def test_rois_of_nuclei_are_named_as_those_of_their_cells(results: Path) -> None:
    names = [[roi.name for roi in roiread(results / f"a.ome_{zips}.zip")] for zips in ("rois", "rois_nuclei")]
    assert names == [list("1234567"), list("12346789")]


def test_the_table_of_cells_tells_of_their_nuclei_and_that_of_nuclei_of_their_cells(results: Path) -> None:
    cells, nuclei = (rows(results / f"a.ome_{table}.csv") for table in ("cells", "nuclei"))
    assert [row["nuclei"] for row in cells] == ["1", "1", "1", "2", "0", "1", "1"]
    assert [(row["label"], row["cell"]) for row in nuclei] == [
        *((str(number), str(number)) for number in (1, 2, 3, 4, 6, 7)),
        ("8", "4"),
        ("9", "0"),
    ]
    by_number = {row["label"]: row for row in nuclei}
    for row in cells:
        its = by_number.get(row["label"])
        for name in ("area_px", "area_um2", "x_um", "perimeter_px", "eccentricity", "mean_DAPI", "mean_CD45"):
            assert row[f"nucleus_{name}"] == (its[name] if its else "")
    assert not [name for name in cells[0] if name.startswith(("nucleus_std", "nucleus_label", "nucleus_t_"))]


def test_parquet_holds_the_same_as_csv_with_descriptions(results: Path) -> None:
    for table in ("cells", "nuclei"):
        found = parquet.ParquetFile(results / f"a.ome_{table}.parquet").read()
        told = rows(results / f"a.ome_{table}.csv")
        assert found.column_names == list(told[0])
        for name in ("label", "area_px"):
            assert [str(value) for value in found[name].to_pylist()] == [row[name] for row in told]
        assert all(field.metadata[b"description"] for field in found.schema)


def test_quantification_of_mcmicro_has_a_table_for_each_mask(results: Path) -> None:
    for compartment, count in (("cell", 7), ("nuclei", 8)):
        told = rows(results / f"a.ome_mcmicro/quantification/cellfleet-a_{compartment}.csv")
        assert len(told) == count and {"CellID", "DAPI", "CD45", "Area"} <= told[0].keys()


def test_qupath_gets_cells_with_their_nuclei(results: Path, labels: tuple[NDArray[Any], NDArray[Any]]) -> None:
    found = {one["properties"]["name"]: one for one in features(results)}
    kinds = {name: one["properties"]["objectType"] for name, one in found.items()}
    assert kinds == {**dict.fromkeys("1234567", "cell"), "8": "detection", "9": "detection"}
    assert [name for name, one in found.items() if "nucleusGeometry" in one] == list("123467")
    for name, one in found.items():
        own, array = int(name), labels[0] if kinds[name] == "cell" else labels[1]
        np.testing.assert_array_equal(filled(one["geometry"], array.shape), array == own)
        if "nucleusGeometry" in one:
            np.testing.assert_array_equal(filled(one["nucleusGeometry"], array.shape), labels[1] == own)
    told = found["4"]["properties"]["measurements"]
    assert {"Cell: Area µm^2", "Nucleus: Area µm^2", "DAPI: Cell: Mean", "DAPI: Nucleus: Mean"} <= told.keys()
    assert told["Number of nuclei"] == 2
    assert "Nucleus: Area µm^2" not in found["5"]["properties"]["measurements"]
    assert "Nucleus: Area µm^2" in found["9"]["properties"]["measurements"]
    assert len({one["id"] for one in found.values()}) == 9


def test_anndata_has_the_means_in_the_nucleus_as_a_layer(results: Path) -> None:
    import anndata

    table = anndata.read_h5ad(results / "a.ome_cells.h5ad")
    cells = rows(results / "a.ome_cells.csv")
    expected = [[float(row[f"nucleus_mean_{name}"] or "nan") for name in table.var_names] for row in cells]
    np.testing.assert_array_equal(table.layers["nucleus_mean"], expected)
    assert table.obs["nuclei"].tolist() == [int(row["nuclei"]) for row in cells]
    assert "nucleus_area_px" in table.obs and not [name for name in table.obs if name.startswith("nucleus_mean")]


def test_record_and_report_count_both_compartments(results: Path) -> None:
    (record,) = run_record(results).images
    assert record.nuclei and (record.objects, record.nuclei.objects) == (7, 8)
    assert (record.nuclei.without_cell, record.nuclei.cells_without, record.nuclei.numbers) == (1, 1, 9)
    report = (results / "report.html").read_text("utf-8")
    assert "7 cells</strong> · 8 nuclei" in report and "their nuclei (white)" in report
    for path in record.outputs.values():
        assert f'href="./{path}"' in report


# --- going on ------------------------------------------------------------------------------------------------------


def contents(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("a.ome_*") if path.is_file()]
    files += [path for folder in out.glob("a.ome_*") for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_export_writes_what_segment_would_have_written(work: Path, results: Path) -> None:
    assert segment(work, "few") == 0
    assert {path.name for path in (work / "few").glob("a.ome_*")} == {
        f"a.ome_{ending}" for ending in ("labels.tif", "nuclei.tif", "cells.csv", "nuclei.csv")
    }
    assert main(["export", str(work / "few"), *[word for form in FORMATS for word in ("--format", form)]]) == 0
    assert contents(work / "few") == contents(results)
    again = [word for form in ("labels-tiff", "csv", "parquet") for word in ("--format", form)]
    assert main(["export", str(work / "few"), "-o", str(work / "again"), *again]) == 0
    assert contents(work / "again").items() <= contents(results).items() and len(contents(work / "again")) == 6


def test_an_image_without_its_nuclei_is_done_again(work: Path) -> None:
    assert segment(work, "again-and-again") == 0
    before = contents(work / "again-and-again")
    (work / "again-and-again" / "a.ome_nuclei.csv").unlink()
    assert segment(work, "again-and-again") == 0
    assert contents(work / "again-and-again") == before


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=64))
    monkeypatch.setattr("cellfleet.pipeline.block._HALO_PX", 8)


@pytest.mark.usefixtures("small")
def test_shards_give_what_one_machine_gives(work: Path, results: Path) -> None:
    for shard in ("2/3", "1/3", "3/3"):
        assert segment(work, "shared", "--shard", shard) == 0
    assert main(["merge", str(work / "shared")]) == 0
    assert contents(work / "shared").items() <= contents(results).items()
    assert len(contents(work / "shared")) == 4
    (record,) = run_record(work / "shared").images
    assert record.blocks == 12 and record.nuclei == run_record(results).images[0].nuclei


@pytest.mark.usefixtures("small")
def test_a_run_that_was_stopped_goes_on_with_both_compartments(
    work: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(small_blocks.PlaceParts):
        left = 5

        def save(self, plane: int, block: Any) -> None:
            Dying.left -= 1
            if Dying.left < 0:
                raise KeyboardInterrupt
            super().save(plane, block)

    with monkeypatch.context() as dying:
        dying.setattr(process, "PlaceParts", Dying)
        with pytest.raises(KeyboardInterrupt):
            cellfleet_run(work, "stopped")
    assert not contents(work / "stopped")
    with patch.object(process.PlaceParts, "save", autospec=True, side_effect=process.PlaceParts.save) as save:
        assert segment(work, "stopped") == 0
    assert save.call_count == 12 - 5
    assert contents(work / "stopped").items() <= contents(results).items()


def cellfleet_run(work: Path, out: str) -> None:
    """Run as the command does, without its last resort for errors."""
    from cellfleet.run.run import run
    from cellfleet.spec.segment import RunOptions

    run([work / "images"], work / out, spec_of(work), RunOptions(threads=1))


def spec_of(work: Path) -> SegmentSpec:
    channels = tuple(map(ChannelChoice.parse, CHANNELS[1::2]))
    return SegmentSpec(model=str(work / "small-tissue"), channels=channels)


# --- choosing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compartment", "objects"), [("whole-cell", 7), ("nuclear", 8)])
def test_one_compartment_alone_leaves_no_files_of_the_other(
    work: Path, labels: tuple[NDArray[Any], NDArray[Any]], compartment: str, objects: int
) -> None:
    assert segment(work, compartment, "-c", compartment) == 0
    out = work / compartment
    assert {path.name for path in out.glob("a.ome_*")} == {"a.ome_labels.tif", "a.ome_cells.csv"}
    found = tifffile.imread(out / "a.ome_labels.tif")
    np.testing.assert_array_equal(found > 0, labels[compartment == "nuclear"] > 0)
    assert found.max() == objects == len(rows(out / "a.ome_cells.csv"))
    assert f"--compartment {compartment}" in run_record(out).command
    assert not [name for name in rows(out / "a.ome_cells.csv")[0] if name.startswith("nucle")]
    assert main(["export", str(out), "--format", "qupath-geojson"]) == 0
    kinds = {feature["properties"]["objectType"] for feature in features(out)}
    assert kinds == {"detection" if compartment == "nuclear" else "cell"}


def test_python_has_both(work: Path, labels: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": work / "small-tissue", "channels": {"nuclear": 0, "membrane": 1}}
    cells = cellfleet.segment(drawn(), axes="CYX", pixel_size=0.5, **options)
    assert cells.nuclei
    np.testing.assert_array_equal(cells.labels, labels[0])
    np.testing.assert_array_equal(cells.nuclei.labels, labels[1])
    assert cells.nuclei.table["cell"].to_pylist() == [1, 2, 3, 4, 6, 7, 4, 0]
    assert cells.table["nuclei"].to_pylist() == [1, 1, 1, 2, 0, 1, 1]
    assert {path.name for path in cells.save(tmp_path)} == {
        f"array_{ending}" for ending in ("labels.tif", "nuclei.tif", "cells.csv", "nuclei.csv")
    }
    alone = cellfleet.segment(drawn(), axes="CYX", pixel_size=0.5, compartment="whole-cell", **options)
    assert alone.nuclei is None
    np.testing.assert_array_equal(alone.labels, labels[0])
    with pytest.raises(UsageError, match="E050"):
        cellfleet.segment(drawn()[0], model="otsu", compartment="both")


@pytest.fixture
def server(tmp_path: Path, work: Path) -> Iterator[Any]:
    with running_service(tmp_path / "service") as running:
        with cellfleet.Client(running.url) as client:
            client.add_model(work / "small-tissue")
        yield running


def test_a_run_on_a_server_leaves_the_files_of_a_run_here(
    work: Path, server: Any, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    words = ["segment", str(work / "images"), "-o", str(tmp_path / "out"), *CHANNELS]
    with working(server):
        assert main([*words, "--model", "small-tissue", "--on", server.url]) == 0
    found = contents(tmp_path / "out")
    assert found.items() <= contents(results).items() and len(found) == 4
    assert run_record(tmp_path / "out").images[0].nuclei == run_record(results).images[0].nuclei


def test_a_server_gives_the_files_and_arrays_of_both(
    work: Path, server: Any, labels: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    with cellfleet.Client(server.url) as client:
        channels = {"nuclear": "DAPI", "membrane": "CD45"}
        job = client.segment(work / "images", model="small-tissue", channels=channels, formats=("ome-zarr", "csv"))
        work_off(server)
        result = job.results()["a.ome"]
        assert result.nuclei
        np.testing.assert_array_equal(result.labels, labels[0])
        np.testing.assert_array_equal(result.nuclei.labels, labels[1])
        assert result.nuclei.table["cell"].to_pylist() == [1, 2, 3, 4, 6, 7, 4, 0]
        job.save(tmp_path / "fetched")
        theirs, ours = contents(tmp_path / "fetched"), contents(work / "all")
        assert theirs.items() <= ours.items()
        assert {"a.ome_nuclei.csv", "a.ome_nuclei.ome.zarr/zarr.json"} <= theirs.keys()
        with pytest.raises(cellfleet.CellfleetError, match="E050"):
            client.segment(work / "images", model="otsu", compartment="both")
