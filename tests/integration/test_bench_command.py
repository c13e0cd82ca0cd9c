"""`cellfleet bench load` and `serve` against a real service, and `models package`: files, numbers, exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.packages import mean_colours, write_classifier
from tests.services import Running, running_service
from tests.worked import working

from cellfleet.cli import main
from cellfleet.models.check import check_package
from cellfleet.models.source import open_source


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    write_classifier(tmp_path / "store" / "models" / "colours")
    with running_service(tmp_path) as running:
        yield running


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_a_served_classifier_is_measured_against_its_own_file(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.onnx").write_bytes(mean_colours())
    out = tmp_path / "out"
    words = ["colours", "--url", running.url, "--reference", str(tmp_path / "net.onnx"), "--concurrency", "1,2"]
    more = ["--images", "20", "--machine", "n1-standard-2", "-o", str(out), "--figures", "svg"]
    assert main(["bench", "serve", *words, *more]) == 0
    found = rows(out / "serve.csv")
    assert [(row["model"], row["device"], row["right"]) for row in found] == [("colours", "server", "10/10")] * 2
    assert all(float(row["images/s"]) > 0 and float(row["$ per 1000 images"]) > 0 for row in found)
    assert b"<svg" in (out / "serve.svg").read_bytes()
    assert json.loads((out / "serve.json").read_text("utf-8"))["machine_type"] == "n1-standard-2"
    assert "images/s" in capsys.readouterr().out


def test_wrong_answers_end_with_another_exit_code(running: Running, tmp_path: Path) -> None:
    other = write_classifier(tmp_path / "other", weights=mean_colours().replace(b"ReduceMean", b"ReduceProd"))
    words = ["colours", "--url", running.url, "--reference", str(other), "--concurrency", "1"]
    assert main(["bench", "serve", *words, "--images", "5", "-o", str(tmp_path / "out"), "--figures", "none"]) == 3


def test_replicas_in_this_process_scale_by_their_number(tmp_path: Path) -> None:
    package = write_classifier(tmp_path / "colours")
    words = [str(package), "--replicas", "1,2", "--concurrency", "1", "--images", "20", "--figures", "none"]
    assert main(["bench", "serve", *words, "-o", str(tmp_path / "out")]) == 0
    one, two = rows(tmp_path / "out" / "serve.csv")
    assert float(one["efficiency"]) == 1
    ratio = float(two["images/s"]) / float(one["images/s"]) / 2
    assert float(two["efficiency"]) == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["serve"], "E769"),
        (["serve", "no-such-net"], "E769"),
        (["serve", "a.onnx", "--replicas", "0"], "E771"),
        (["serve", "a.onnx"], "E767"),
        (["serve", "a", "--url", "http://127.0.0.1:9"], "E770"),
        (["load", "--zips", "0"], "E771"),
        (["load", "--image", "missing.tif"], "E773"),
    ],
)
def test_wrong_use_is_told(words: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words, "-o", str(tmp_path / "out")]) in {2, 4, 5, 6}
    assert code in capsys.readouterr().err


def test_a_load_is_measured_and_leaves_nothing_on_the_server(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "small.tif", pixels)
    out = tmp_path / "out"
    words = ["--on", running.url, "--zips", "2", "--every", "0.1", "--images-per-zip", "3", "--repeats", "2"]
    more = ["--image", str(tmp_path / "small.tif"), "--model", "otsu", "-o", str(out), "--figures", "png"]
    with working(running):
        assert main(["bench", "load", *words, *more]) == 0, capsys.readouterr().err
    images = rows(out / "load-images.csv")
    assert len(images) == 12 and all(float(row["transfer (s)"]) > 0 for row in images)
    numbers = {row["what"]: row for row in rows(out / "load.csv")}
    assert (float(numbers["images"]["mean"]), numbers["cost"]["mean"]) == (6, "not known")
    assert {row["repeat"] for row in rows(out / "load-workers.csv")} == {"1", "2"}
    assert {"load-images.png", "load-workers.png", "load.json"} <= {path.name for path in out.iterdir()}
    assert running.client().get("/api/v1/jobs").json()["jobs"] == []


def test_a_trained_file_becomes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(mean_colours())
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n", "utf-8")
    words = ["models", "package", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "our-net")]
    assert main([*words, "--classes", str(tmp_path / "classes.txt"), "--mean", "0", "--deviation", "255"]) == 0
    assert capsys.readouterr().out == "our-net:1.0  3 classes  images of 8 x 6 px\n"
    declared = check_package(open_source(str(tmp_path / "our-net"))).package.declared
    assert declared.model_dump()["mean"] == (0, 0, 0) and declared.model_dump()["classes"] == ("red", "green", "blue")
    (tmp_path / "classes.txt").write_text("red\n", "utf-8")
    assert main([*words, "--classes", str(tmp_path / "classes.txt")]) == 4
    assert "E766" in capsys.readouterr().err
