"""The Python API: the same labels as the command, arrays of any kind, many images, saved files, quick import."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import tifffile

import cellfleet
from cellfleet.cli import main
from cellfleet.errors import CellfleetError, ImageError, UsageError
from cellfleet.evaluation.files import read_labels
from cellfleet.samples import copy_samples
from cellfleet.stores.place import open_place


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    copy_samples(tmp_path / "samples")
    return tmp_path / "samples"


def test_labels_and_files_equal_those_of_the_command(samples: Path, tmp_path: Path) -> None:
    formats = ("labels-tiff", "csv", "parquet")
    words = [word for form in formats for word in ("--format", form)]
    assert main(["segment", str(samples), "-o", str(tmp_path / "command"), "-m", "otsu", *words]) == 0
    results = cellfleet.segment(samples, model="otsu")
    assert len(results) == 4
    for cells in results:
        files = cells.save(tmp_path / "python", formats)
        assert read_labels(files[0]).tobytes() == cells.labels.astype(read_labels(files[0]).dtype).tobytes()
        for file in files:
            assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()
        (alone,) = [cellfleet.segment(samples / cells.name, model="otsu")]
        assert alone.labels.tobytes() == cells.labels.tobytes()


def test_the_table_has_a_row_per_label(samples: Path, tmp_path: Path) -> None:
    cells = cellfleet.segment(samples / "small_nuclei.tif", model="otsu")
    table = cells.table
    assert table["label"].to_pylist() == list(range(1, int(cells.labels.max()) + 1))
    areas = np.bincount(cells.labels.ravel())[1:]
    assert table["area_px"].to_pylist() == areas.tolist()
    assert set(table["image"].to_pylist()) == {"small_nuclei.tif"}
    (path,) = cells.save(tmp_path, ["parquet"])
    assert pyarrow.parquet.read_table(path).column_names == table.column_names


def test_results_that_are_kept_keep_no_threads(samples: Path) -> None:
    before = threading.active_count()
    image = samples / "small_nuclei.tif"
    kept = [cellfleet.segment(given, model="otsu") for given in (image, tifffile.imread(image))]
    assert threading.active_count() == before
    for cells in kept:
        assert cells.labels.max() == cells.found.labels.count > 0 and "<img" in cells._repr_html_()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64", "bool"])
def test_arrays_of_any_type(dtype: str) -> None:
    y, x = np.mgrid[:40, :40]
    disc = (y - 20) ** 2 + (x - 18) ** 2 < 80
    array = disc if dtype == "bool" else (disc * 90 + 10).astype(dtype)
    before = array.copy()
    cells = cellfleet.segment(array, model="otsu")
    assert cells.labels.dtype == np.uint32 and cells.labels.max() == 1 and cells.name == "array"
    assert (array == before).all()


def test_array_equals_file(samples: Path) -> None:
    array = tifffile.imread(samples / "dense_nuclei.tif")
    from_file = cellfleet.segment(samples / "dense_nuclei.tif", model="otsu")
    assert cellfleet.segment(array, model="otsu").labels.tobytes() == from_file.labels.tobytes()
    assert cellfleet.segment(array.astype(float), model="otsu").labels.tobytes() == from_file.labels.tobytes()


def test_channels_count_from_0_and_axes_are_obeyed(samples: Path) -> None:
    array = tifffile.imread(samples / "cell_painting.ome.tif")
    first = cellfleet.segment(array[0], model="otsu").labels
    assert (cellfleet.segment(array, model="otsu", channels=0, axes="CYX").labels == first).all()
    assert (cellfleet.segment(array, model="otsu", channels={"nuclear": 0}).labels == first).all()
    assert (cellfleet.segment(np.moveaxis(array, 0, -1), model="otsu", channels=0, axes="YXC").labels == first).all()
    stack = cellfleet.segment(array, model="otsu", axes="ZYX")
    assert stack.axes == "ZYX" and stack.labels.shape == array.shape and "z" in stack.table.column_names
    with pytest.raises(ImageError):
        cellfleet.segment(array, model="otsu", axes="CYX", channels=2)


def test_many_images_are_computed_when_asked_for(samples: Path) -> None:
    (samples / "broken.tif").write_bytes(b"")
    results = cellfleet.segment([samples / "small_nuclei.tif", samples / "broken.tif"], model="otsu")
    assert [source.name for source in results.sources] == ["broken.tif", "small_nuclei.tif"]
    with pytest.raises(CellfleetError, match=r"broken\.tif"):
        results[0]
    assert results[1].labels.max() > 40
    assert len(results[1:]) == 1 and results[-1].name == "small_nuclei.tif"


def test_two_images_of_one_stem_are_saved_under_two_names(samples: Path, tmp_path: Path) -> None:
    (samples / "small_nuclei.tiff").write_bytes((samples / "small_nuclei.tif").read_bytes())
    results = cellfleet.segment(sorted(samples.glob("small*")), model="otsu")
    saved = [path.name for cells in results for path in cells.save(tmp_path / "out", ["csv"])]
    assert saved == ["small_nuclei.tif_cells.csv", "small_nuclei.tiff_cells.csv"]


def test_save_stays_in_its_folder(tmp_path: Path) -> None:
    cells = cellfleet.segment(np.zeros((8, 8)), model="otsu")
    assert [notice.code for notice in cells.notices] == ["W002"]
    assert cells.save(tmp_path / "new", name="x")[0] == tmp_path / "new" / "x_labels.tif"
    for name in ("../x", "/x", ""):
        with pytest.raises(UsageError, match="E014"):
            cells.save(tmp_path, name=name)


@pytest.mark.slow
def test_save_writes_to_a_bucket_what_it_writes_to_a_folder(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = cellfleet.segment(np.zeros((8, 8)), model="otsu")
    saved = cells.save(f"{bucket}/results", formats=("labels-tiff", "ome-zarr"))
    assert saved == [f"{bucket}/results/array_labels.tif", f"{bucket}/results/array_labels.ome.zarr"]
    assert list(tmp_path.iterdir()) == [], "an address is no folder of that name"
    cells.save(tmp_path, formats=("labels-tiff",))
    assert open_place(bucket).read("results/array_labels.tif") == (tmp_path / "array_labels.tif").read_bytes()


def test_one_loaded_model_serves_many_calls(samples: Path) -> None:
    model = cellfleet.load_model("otsu")
    path = samples / "small_nuclei.tif"
    assert (cellfleet.segment(path, model=model).labels == cellfleet.segment(path, model="otsu").labels).all()


def test_notebook_view_shows_picture_count_and_size(samples: Path) -> None:
    cells = cellfleet.segment(samples / "small_nuclei.tif", model="otsu")
    view = cells._repr_html_()
    assert "data:image/jpeg;base64," in view and f"{cells.labels.max()} cells" in view and "median diameter" in view
    assert "small_nuclei.tif" in repr(cells)


def test_wrong_arguments_are_sentences() -> None:
    wrong = ({"pixel_size": 0}, {"diameter": -1}, {"channels": -1}, {"threads": 0}, {"axes": "QQ"}, {"device": "gpu"})
    for options in wrong:
        with pytest.raises(UsageError):
            cellfleet.segment(np.zeros((8, 8)), model="otsu", **options)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    cells = cellfleet.segment(np.zeros((8, 8)), model="otsu")
    for formats in (["csv", "xls"], "csv"):
        with pytest.raises(UsageError, match="E019"):
            cells.save(tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


def test_public_names_are_there_and_imported_late() -> None:
    code = (
        "import sys, cellfleet; heavy = {'numpy', 'pyarrow', 'onnxruntime', 'pydantic', 'tifffile'} & set(sys.modules);"
        "assert not heavy, heavy; assert callable(cellfleet.segment) and callable(cellfleet.evaluate);"
        "assert not hasattr(cellfleet, 'nonsense'); assert 'segment' in dir(cellfleet)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
