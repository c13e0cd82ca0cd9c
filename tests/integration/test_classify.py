"""Images are classified: here, in shards, on a server and as a job; a row per plane, the same rows everywhere."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from pyarrow import parquet
from tests.packages import change, write_classifier
from tests.services import Running, running_service, wait_until
from tests.worked import add_job, add_set, work_off, working

import cellfleet
from cellfleet.cli import main
from cellfleet.client.client import Client
from cellfleet.results.classes import CLASS_TABLES
from cellfleet.results.record import load_records
from cellfleet.stores.place import FolderPlace

RANDOM = np.random.default_rng(0)
SHADES = RANDOM.integers(0, 256, (24, 18, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures, a grey image of 16 bits, a stack, a damaged file and one of two channels that nobody names."""
    folder = tmp_path / "images"
    (folder / "plate").mkdir(parents=True)
    for name, colour in {"red.png": (200, 30, 0), "plate/green, a.png": (0, 250, 9)}.items():
        Pillow.fromarray(np.full((20, 30, 3), colour, np.uint8)).save(folder / name)
    Pillow.fromarray(SHADES).save(folder / "shades.png")
    tifffile.imwrite(folder / "grey.tif", RANDOM.integers(900, 4000, (16, 12)).astype(np.uint16))
    stack = RANDOM.integers(0, 99, (2, 3, 16, 12)).astype(np.uint16)
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    channels = RANDOM.integers(0, 256, (2, 16, 12)).astype(np.uint8)
    tifffile.imwrite(folder / "two.tif", channels, imagej=True, metadata={"axes": "CYX"})
    (folder / "cut.png").write_bytes((folder / "shades.png").read_bytes()[:80])
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "colours")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that has the model."""
    folder = tmp_path_factory.mktemp("service")
    write_classifier(folder / "store" / "models" / "colours")
    with running_service(folder) as running:
        yield running


def classify(images: Path, out: Path, model: Path | str, *more: str) -> int:
    return main(["classify", str(images), "-o", str(out), "--model", str(model), "--progress", "none", *more])


def rows(out: Path, name: str = "classes.csv") -> list[dict[str, str]]:
    with (out / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in CLASS_TABLES if name.endswith(".csv")}


def levels(values: NDArray[Any]) -> NDArray[np.float64]:
    """Scores of `mean_colours` → levels of 0…255."""
    return np.asarray(values, float) * 127.5 + 127.5


def scores(row: dict[str, str]) -> dict[str, float]:
    return {row[f"class{end}"]: float(row[f"score{end}"]) for end in ("", "_2", "_3") if f"class{end}" in row}


def test_every_plane_has_a_row_and_every_failure_its_reason(images: Path, model: Path, tmp_path: Path) -> None:
    assert classify(images, tmp_path / "out", model) == 3
    found = rows(tmp_path / "out")
    stack = [("stack.tif", str(t), str(z)) for t in range(2) for z in range(3)]
    assert [(row["image"], row["t"], row["z"]) for row in found] == [
        *((name, "", "") for name in ("grey.tif", "plate/green, a.png", "red.png", "shades.png")),
        *stack,
    ]
    assert {row["image"]: row["class"] for row in found} | {"grey.tif": "red", "stack.tif": "red"} == {
        "plate/green, a.png": "green",
        "red.png": "red",
        "shades.png": max(zip(SHADES.mean((0, 1)), ("red", "green", "blue"), strict=True))[1],
        "grey.tif": "red",  # of equal scores the first
        "stack.tif": "red",
    }
    failed = rows(tmp_path / "out", "failures.csv")
    assert [(row["image"], row["code"]) for row in failed] == [("cut.png", "E106"), ("two.tif", "E210")]
    counts = {row["class"]: row["planes"] for row in rows(tmp_path / "out", "class_counts.csv")}
    assert sum(map(int, counts.values())) == len(found)


def test_parquet_has_the_rows_of_the_csv(images: Path, model: Path, tmp_path: Path) -> None:
    classify(images, tmp_path / "out", model, "--top", "2")
    table = parquet.read_table(tmp_path / "out" / "classes.parquet").to_pylist()
    shown = [{name: "" if value is None else value for name, value in row.items()} for row in table]
    for row, same in zip(rows(tmp_path / "out"), shown, strict=True):
        assert list(row) == ["image", "t", "z", "class", "score", "class_2", "score_2"] == list(same)
        assert {name: type(same[name])(value) for name, value in row.items() if "score" not in name} == {
            name: value for name, value in same.items() if "score" not in name
        }
        assert np.float32(row["score"]) == same["score"] and np.float32(row["score_2"]) == same["score_2"]


def test_a_picture_is_resized_as_pillow_does_it_and_scaled_as_the_package_says(
    images: Path, model: Path, tmp_path: Path
) -> None:
    change(model, config__cellfleet__mean=[0, 10, 20], config__cellfleet__deviation=[1, 2, 4])
    classify(images / "shades.png", tmp_path / "out", model)
    resized = [
        np.asarray(Pillow.fromarray(SHADES[..., c].astype(np.float32)).resize((6, 8), Pillow.Resampling.BILINEAR))
        for c in range(3)
    ]
    wanted = [(plane.mean() - mean) / by for plane, mean, by in zip(resized, (0, 10, 20), (1, 2, 4), strict=True)]
    (row,) = rows(tmp_path / "out")
    np.testing.assert_allclose([scores(row)[name] for name in ("red", "green", "blue")], wanted, rtol=1e-5)


def test_more_than_8_bits_go_from_percentile_to_percentile_and_the_record_tells_them(
    model: Path, tmp_path: Path
) -> None:
    pixels = np.linspace(1000, 3000, 48 * 36).reshape(48, 36).astype(np.uint16)
    tifffile.imwrite(tmp_path / "ramp.tif", pixels)
    classify(tmp_path / "ramp.tif", tmp_path / "out", model)
    (record,) = load_records(FolderPlace(tmp_path / "out")).values()
    low, high = np.percentile(pixels, (1, 99.8)).astype(np.float32)
    assert record.contrast == ((float(low), float(high)),)
    (row,) = rows(tmp_path / "out")
    expected = np.clip((pixels - low) / (high - low), 0, 1).mean() * 255
    np.testing.assert_allclose(levels([*scores(row).values()]), expected, rtol=0.01)


def test_colours_of_more_than_8_bits_keep_their_ratio(model: Path, tmp_path: Path) -> None:
    colours = (RANDOM.random((16, 12, 1)) * [60000, 30000, 15000]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "colours.tif", colours, photometric="rgb")
    classify(tmp_path / "colours.tif", tmp_path / "out", model)
    (record,) = load_records(FolderPlace(tmp_path / "out")).values()
    assert len(set(record.contrast)) == 1
    red, green, blue = (levels([scores(rows(tmp_path / "out")[0])[name]])[0] for name in ("red", "green", "blue"))
    assert red / green == pytest.approx(2, rel=0.1) and green / blue == pytest.approx(2, rel=0.1)


def test_one_channel_that_is_named_becomes_all_and_several_are_taken_in_their_order(
    images: Path, model: Path, tmp_path: Path
) -> None:
    second = tifffile.imread(images / "two.tif")[1]
    assert classify(images / "two.tif", tmp_path / "one", model, "--channel", "2") == 0
    found = levels([*scores(rows(tmp_path / "one")[0]).values()])
    np.testing.assert_allclose(found, second.mean(), rtol=0.05)
    assert len(set(found)) == 1
    more = [word for channel in (2, 1, 2) for word in ("--channel", str(channel))]
    assert classify(images / "two.tif", tmp_path / "three", model, *more) == 0
    red, green, blue = (scores(rows(tmp_path / "three")[0])[name] for name in ("red", "green", "blue"))
    assert red == blue != green


def test_a_run_goes_on_where_it_was_and_refuses_other_settings(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    classify(images, out, model)
    records = {path.name: path.stat().st_mtime_ns for path in (out / ".cellfleet" / "records").iterdir()}
    first = tables(out)
    (images / "two.tif").unlink()
    (images / "cut.png").write_bytes((images / "red.png").read_bytes())
    assert classify(images, out, model) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (out / ".cellfleet" / "records").iterdir()}
    assert (
        sum(after[name] == time for name, time in records.items()) == 6
    )  # the done ones, and that of the file that is gone
    assert tables(out) != first and "cut.png" in (out / "classes.csv").read_text()
    assert classify(images, out, model, "--top", "1") == 2
    assert classify(images, out, model, "--top", "1", "--overwrite") == 0


def test_shards_make_the_tables_of_one_machine(images: Path, model: Path, tmp_path: Path) -> None:
    classify(images, tmp_path / "whole", model)
    for shard in ("1/2", "2/2"):
        classify(images, tmp_path / "parts", model, "--shard", shard)
    assert main(["merge", str(tmp_path / "parts"), "--progress", "none"]) == 3
    assert tables(tmp_path / "parts") == tables(tmp_path / "whole")


def test_scores_that_are_not_numbers_fail_the_image(images: Path, model: Path, tmp_path: Path) -> None:
    change(model, config__cellfleet__mean=[1e38] * 3, config__cellfleet__deviation=[1e-38] * 3)
    assert classify(images / "red.png", tmp_path / "out", model) == 3
    assert "E776" in (tmp_path / "out" / "failures.csv").read_text()


def test_the_wrong_kind_of_model_is_refused(images: Path, tmp_path: Path, capsys: Any) -> None:
    assert classify(images, tmp_path / "out", "otsu") == 4
    assert "E774" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_python_gives_the_rows_of_the_command(images: Path, model: Path, tmp_path: Path) -> None:
    classify(images / "stack.tif", tmp_path / "out", model)
    (found,) = cellfleet.classify([images / "stack.tif"], model=model)
    assert found.name == "stack.tif"
    assert [(plane.t, plane.z, plane.top[0].name, plane.top[0].score) for plane in found.planes] == [
        (int(row["t"]), int(row["z"]), row["class"], float(row["score"])) for row in rows(tmp_path / "out")
    ]


def test_on_a_server_it_is_the_folder_of_a_run_here(
    images: Path, model: Path, tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    classify(images, tmp_path / "here", model)
    with working(running):
        assert classify(images, tmp_path / "there", "colours", "--on", running.url) == 3
    assert tables(tmp_path / "there") == tables(tmp_path / "here")
    assert json.loads((tmp_path / "there" / "run.json").read_text())["manifest"]["task"] == "classification"
    with Client(running.url) as lab, working(running):
        job = lab.classify(images / "stack.tif", model="colours", top=2).wait()
        (found,) = job.images()
    assert found.record is not None
    (there,) = cellfleet.classify(images / "stack.tif", model=model, top=2)
    assert found.record.classes == there.planes
    assert main(["segment", str(images), "-o", str(tmp_path / "x"), "--model", "colours", "--on", running.url]) == 4
    assert classify(images, tmp_path / "y", "otsu", "--on", running.url) == 4


def test_a_job_of_killed_workers_ends_with_the_tables_of_one_machine(
    model: Path, tmp_path: Path, running: Running
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(160):
        shades = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Pillow.fromarray(shades).save(folder / f"{number:03}.png")
    (folder / "bad.png").write_bytes(b"no image")
    classify(folder, tmp_path / "here", model)
    client = running.client()
    job = add_job(client, add_set(running, "local", contents(folder)), segment={"model": "colours"})
    results = FolderPlace(Path(running.store.url) / "results" / job)
    words = ["worker", "--ledger", running.service.ledger.url, "--store", running.store.url, "--threads", "1"]
    with subprocess.Popen([sys.executable, "-m", "cellfleet", *words], stderr=subprocess.DEVNULL) as worker:
        wait_until(lambda: any(results.names(".cellfleet/records")), "an image is done", 60)
        worker.kill()
    assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "running"

    def has_ended() -> bool:
        work_off(running)  # the lease of the dead worker has to run out first
        return client.get(f"/api/v1/jobs/{job}").json()["state"] in {"done", "failed"}

    wait_until(has_ended, "the job has ended")
    seen = client.get(f"/api/v1/jobs/{job}").json()
    assert (seen["progress"]["images_done"], seen["progress"]["images_failed"]) == (160, 1)
    assert (seen["formats"], seen["segment"]["top"]) == ([], 5)
    assert tables(Path(results.path)) == tables(tmp_path / "here")
    bill = client.get(f"/api/v1/jobs/{job}/bill").json()
    assert bill["final"] and bill["images"] == 160
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/v1/jobs/{job}/zip").content)) as zipped:
        assert set(zipped.namelist()) == {*CLASS_TABLES, "failures.csv", "report.html", "run.json"}
    with Client(running.url) as lab:
        lab.job(job).save(tmp_path / "fetched")
    assert tables(tmp_path / "fetched") == tables(tmp_path / "here")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"segment": {"model": "colours", "diameter_px": 30}}, "E775"),
        ({"segment": {"model": "colours"}, "formats": ["ome-zarr"]}, "E775"),
        ({"segment": {"model": "otsu", "top": 3}}, "E774"),
    ],
)
def test_a_job_that_asks_a_model_for_what_it_cannot_do_is_refused(
    request_: dict[str, Any], code: str, running: Running
) -> None:
    answer = running.client().post("/api/v1/jobs", json={"inputs": ["/nowhere"], **request_})
    assert answer.json()["code"] == code


def test_little_memory_is_enough_for_small_images_and_too_little_is_said(
    images: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify(images / "red.png", tmp_path / "out", model, "--memory", "340MB") == 0
    assert classify(images / "red.png", tmp_path / "none", model, "--memory", "300MB") == 6
    assert "E515" in capsys.readouterr().err
