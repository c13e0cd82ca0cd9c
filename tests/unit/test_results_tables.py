"""Tables read back equal, and every column that is measured is documented."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.csv as arrow_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

from cellfleet.pipeline.measure import measure
from cellfleet.results import tables as tables_module
from cellfleet.results.columns import CHANNEL_COLUMNS, COLUMNS, describe
from cellfleet.results.failures import write_failures
from cellfleet.results.labelled import ArrayRows, Columns
from cellfleet.results.tables import portable_text, write_csv, write_parquet
from cellfleet.spec.record import ImageRecord, Told
from cellfleet.stores.folder import FolderPlace

OUTPUTS = Path(__file__).parents[2] / "docs" / "reference" / "outputs.md"
# All that a file name on Linux may hold: lone surrogates (bytes that are no UTF-8), and what CSV treats specially.
names = st.text(st.characters(exclude_characters="\0/", exclude_categories=()), min_size=1, max_size=12)
kinds = st.sampled_from([np.uint32, np.int32, np.int64, np.float32, np.float64])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, np.ndarray]:
    rows = draw(st.integers(0, 6))
    columns = {"label": np.arange(1, rows + 1, dtype=np.uint32)}
    for name in draw(st.lists(names.map(portable_text), max_size=4, unique=True)):
        columns.setdefault(f"mean_{name}", draw(hnp.arrays(draw(kinds), rows)))
    return columns


def _read_csv(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _from_csv(fields: list[str], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return np.array([float(field) if field else np.nan for field in fields]).astype(dtype)
    return np.array([int(field) for field in fields], dtype)


@given(image=names, columns=tables())
@settings(max_examples=80, deadline=None)
def test_csv_and_parquet_read_back_equal(image: str, columns: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder) / "a.csv", image, ArrayRows(columns))
        write_parquet(Path(folder) / "a.parquet", image, ArrayRows(columns))
        header, *rows = _read_csv(Path(folder) / "a.csv")
        table = parquet.read_table(Path(folder) / "a.parquet")
    assert header == ["image", *columns] == table.column_names
    assert [row[0] for row in rows] == [portable_text(image)] * len(columns["label"]) == table["image"].to_pylist()
    for at, (name, values) in enumerate(columns.items(), start=1):
        assert np.array_equal(
            _from_csv([row[at] for row in rows], values.dtype), values, equal_nan=values.dtype.kind == "f"
        )
        stored = table[name].to_numpy()
        assert stored.dtype == values.dtype
        assert np.array_equal(stored, values, equal_nan=values.dtype.kind == "f")


@dataclass(frozen=True)
class Batched(ArrayRows):
    """The same rows, `size` at a time."""

    size: int = 1

    def batches(self) -> Iterator[Columns]:
        for start in range(0, self.count, self.size):
            yield {name: values[start : start + self.size] for name, values in self.columns.items()}


@given(image=names, columns=tables(), size=st.integers(1, 7), group=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_how_rows_come_in_batches_does_not_show(
    image: str, columns: dict[str, np.ndarray], size: int, group: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(tables_module, "_ROW_GROUP", group):
        for name, rows in (("whole", ArrayRows(columns)), ("batched", Batched(columns, size))):
            write_csv(Path(folder) / f"{name}.csv", image, rows)
            write_parquet(Path(folder) / f"{name}.parquet", image, rows)
        for ending in ("csv", "parquet"):
            assert (Path(folder) / f"whole.{ending}").read_bytes() == (Path(folder) / f"batched.{ending}").read_bytes()
        groups = parquet.ParquetFile(Path(folder) / "batched.parquet").metadata.num_row_groups
    assert groups == max(1, -(-len(columns["label"]) // group))


def test_csv_is_as_people_and_programs_expect_it(tmp_path: Path) -> None:
    columns = {
        "label": np.array([1, 2, 3], np.uint32),
        "x_px": np.array([0.1, np.nan, -np.inf], np.float32),
        "mean_DAPI, 405": np.array([1.0, 1e-9, 12345.678]),
    }
    write_csv(tmp_path / "a.csv", 'day1/a "b".tif', ArrayRows(columns))
    assert (tmp_path / "a.csv").read_bytes().decode() == (
        'image,label,x_px,"mean_DAPI, 405"\n'
        '"day1/a ""b"".tif",1,0.1,1\n'
        '"day1/a ""b"".tif",2,,1e-9\n'
        '"day1/a ""b"".tif",3,-inf,12345.678\n'
    )


def test_an_image_without_objects_has_a_header_and_types(tmp_path: Path) -> None:
    columns = {"label": np.empty(0, np.uint32), "x_px": np.empty(0)}
    write_csv(tmp_path / "a.csv", "a.tif", ArrayRows(columns))
    write_parquet(tmp_path / "a.parquet", "a.tif", ArrayRows(columns))
    assert (tmp_path / "a.csv").read_text("utf-8") == "image,label,x_px\n"
    assert [str(kind) for kind in parquet.read_schema(tmp_path / "a.parquet").types] == ["string", "uint32", "double"]


def test_names_that_are_no_utf8_stay_apart() -> None:
    assert portable_text("a\udcff.tif") == "a\\udcff.tif"
    assert portable_text("µ 1.tif") == "µ 1.tif"


def test_other_readers_agree_with_ours(tmp_path: Path) -> None:
    columns = {"label": np.arange(1, 4, dtype=np.uint32), "sum_1": np.array([3.5, np.nan, np.inf])}
    write_csv(tmp_path / "a.csv", "a.tif", ArrayRows(columns))
    read = arrow_csv.read_csv(tmp_path / "a.csv")
    assert read["label"].to_pylist() == [1, 2, 3]
    assert read["sum_1"].to_pylist() == [3.5, None, np.inf]


def test_parquet_says_what_it_holds(tmp_path: Path) -> None:
    columns = {"label": np.array([1], np.uint32), "mean_DAPI": np.array([3.5])}
    write_parquet(tmp_path / "a.parquet", "a.tif", ArrayRows(columns), model="nuclei:1", microns_per_pixel=0.325)
    schema = parquet.read_schema(tmp_path / "a.parquet")
    assert json.loads(schema.metadata[b"cellfleet"]) == {
        "image": "a.tif",
        "model": "nuclei:1",
        "microns_per_pixel": 0.325,
    }
    assert b"channel DAPI" in schema.field("mean_DAPI").metadata[b"description"]


@pytest.fixture
def documented() -> dict[str, str]:
    """Return the rows of the column table in docs/reference/outputs.md."""
    rows = OUTPUTS.read_text("utf-8").split("| column | meaning |")[1].split("\n\n")[0].splitlines()
    cells = [row.strip("| ").split(" | ") for row in rows if row.startswith("| `")]
    return {name.strip("`"): meaning for name, meaning in cells}


def test_a_folder_with_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plate:1").mkdir()
    write_parquet(Path("plate:1/a.parquet"), "a.tif", ArrayRows({"label": np.array([1], np.uint32)}))
    with Path("plate:1/a.parquet").open("rb") as file:
        assert parquet.read_table(file)["label"].to_pylist() == [1]


def test_every_measured_column_is_described_and_documented(documented: dict[str, str]) -> None:
    labels = np.eye(6, dtype=np.uint32)
    measured = measure(labels, np.ones((2, 6, 6), np.uint16), ["DAPI", ""], 0.5)
    assert len(measured) > 20
    for column in measured:
        assert describe(column), column
        assert column in documented or f"{column.partition('_')[0]}_<channel>" in documented, column


def test_the_reference_says_the_same_as_the_files(documented: dict[str, str]) -> None:
    described = COLUMNS | {f"{key}_<channel>": text for key, text in CHANNEL_COLUMNS.items()}
    assert {name: meaning.replace("`", "").lower() for name, meaning in documented.items()} == {
        name: text.lower() for name, text in described.items()
    }


def test_failures_are_listed_and_an_old_list_does_not_outlive_a_good_run(tmp_path: Path) -> None:
    good = ImageRecord(image="a.tif", status="done", key="k")
    bad = ImageRecord(
        image='b,"\n.tif', status="failed", key="k", error=Told(code="E110", what="ends early", action="Copy it again")
    )
    write_failures(FolderPlace(tmp_path), [good, bad])
    assert _read_csv(tmp_path / "failures.csv") == [
        ["image", "code", "what", "action"],
        ['b,"\n.tif', "E110", "ends early", "Copy it again"],
    ]
    write_failures(FolderPlace(tmp_path), [good])
    assert _read_csv(tmp_path / "failures.csv") == [["image", "code", "what", "action"]]
