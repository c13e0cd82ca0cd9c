"""`cellfleet bench timings`: what a finished run says of its time, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import tifffile
from tests.support import discs

from cellfleet.cli import main
from cellfleet.results.record import load_run_record, write_run_record
from cellfleet.results.timings import timings
from cellfleet.spec.usage import Bill, BillLine, Machine
from cellfleet.stores.place import FolderPlace

T4 = Machine(name="n1-standard-8+nvidia-tesla-t4:1", region="us-west1", spot=True, gpus=1)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(2):
        tifffile.imwrite(tmp_path / "images" / f"a{i}.tif", np.roll(discs(), 3 * i, axis=1))
    (tmp_path / "images" / "broken.tif").write_bytes(b"II*\0no")
    assert main(["segment", str(tmp_path / "images"), "-o", str(tmp_path / "out"), "-m", "otsu"]) == 3
    return tmp_path / "out"


def billed(results: Path, *machines: Machine) -> None:
    """Say what computed a run, as the bill of a fleet's job does."""
    place = FolderPlace(results)
    run = load_run_record(place)
    assert run is not None
    lines = [BillLine(machine=machine, seconds=1, gpu_seconds=1, usd_per_hour=1, usd=0.1) for machine in machines]
    bill = Bill(job="3k7mxq2v9a", owner="ann", final=True, submitted_ms=0, lines=tuple(lines))
    write_run_record(place, run.model_copy(update={"bill": bill}))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_every_image_has_a_row_with_its_stages(
    results: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["bench", "timings", str(results), "-o", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()][:2] == ["stage", "read"]
    read = pyarrow.csv.read_csv if name.endswith("csv") else pyarrow.parquet.read_table
    rows = read(tmp_path / name).to_pylist()
    assert [(row["image"], row["status"]) for row in rows] == [
        ("a0.tif", "done"),
        ("a1.tif", "done"),
        ("broken.tif", "failed"),
    ]
    first = rows[0]
    assert first["megapixels"] == pytest.approx(discs().size / 1e6) and first["objects"] > 0
    assert first["total_s"] == pytest.approx(sum(first[f"{s}_s"] for s in ("read", "survey", "preprocess", "predict", "postprocess", "measure", "write")))  # fmt: skip # noqa: E501
    assert first["postprocess_s"] > 0 and first["model"].startswith("otsu:")


def test_the_machine_is_told_where_the_bill_knows_just_one(results: Path) -> None:
    place = FolderPlace(results)
    assert set(timings(place)["machine"].to_pylist()) == {None}
    billed(results, T4)
    found = timings(place).to_pylist()[0]
    assert (found["machine"], found["region"], found["spot"]) == (T4.name, "us-west1", True)
    billed(results, T4, Machine(name="n2-standard-8"))
    assert set(timings(place)["spot"].to_pylist()) == {None}


def test_what_is_no_folder_of_results_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "timings", str(tmp_path)]) == 4
    assert "[E040]" in capsys.readouterr().err
