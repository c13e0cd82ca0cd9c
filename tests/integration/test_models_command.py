"""`cellfleet models`: list, test, add, remove and export, here and on a real service."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.foreign import NEWER, SHARK, bright, discs, write_foreign
from tests.packages import change, write_classifier, write_otsu, write_package
from tests.servers import web_server
from tests.services import Running, running_service
from tests.worked import working

from cellfleet.cli import main
from cellfleet.models import load_model
from cellfleet.models.repository import Repository
from cellfleet.stores.folder import FolderPlace


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's own models."""
    monkeypatch.setenv("CELLFLEET_MODELS", str(tmp_path / "mine"))
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "mine"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_service(tmp_path, login=True) as running:
        yield running


@pytest.fixture
def shark(tmp_path: Path) -> Path:
    """Return a zip as bioimage.io gives it."""
    folder = write_foreign(tmp_path / "shark", SHARK, bright())
    with zipfile.ZipFile(tmp_path / "shark.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
        archive.writestr("weights.pt", b"not ours")
    return tmp_path / "shark.zip"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["models", *words]) == code
    return str(capsys.readouterr()[0 if code == 0 else 1])


def test_without_a_word_more_the_models_are_listed(capsys) -> None:
    plain = said(capsys)
    assert plain == said(capsys, "list")
    heading, *lines_of_models = plain.splitlines()
    assert heading.split()[:4] == ["name", "version", "finds", "channels"]
    assert re.search(r"^nuclei +1\.0\.0 +nuclei +nuclear +any +0\.\d{3} +Apache-2\.0 +cellfleet$", plain, re.MULTILINE)
    told = [json.loads(line) for line in said(capsys, "--json").splitlines()]
    assert [model["name"] for model in told if model["bundled"]] == [line.split()[0] for line in lines_of_models]


def test_a_package_of_others_is_tried_added_used_by_name_and_removed(
    shark: Path, mine: Path, tmp_path: Path, capsys
) -> None:
    tried = said(capsys, "test", str(shark))
    assert re.search(r"^outputs +foreground, boundary: objects by boundary$", tried, re.MULTILINE)
    assert re.search(r"^image +\d+ objects in a drawing of \d+ discs$", tried, re.MULTILINE)
    assert re.search(r"^speed +\d+\.\d\d s per megapixel", tried, re.MULTILINE)
    assert not mine.exists()
    assert said(capsys, "add", str(shark)) == "gentle-shark:1\n"
    assert {path.name for path in (mine / "gentle-shark-1").iterdir()} == {"rdf.yaml", "weights.onnx"}
    assert "gentle-shark" in said(capsys)
    pixels, truth = discs(gap=3)
    tifffile.imwrite(tmp_path / "discs.tif", pixels)
    assert main(["segment", str(tmp_path / "discs.tif"), "-o", str(tmp_path / "out"), "-m", "gentle-shark"]) == 0
    assert tifffile.imread(tmp_path / "out" / "discs_labels.tif").max() == truth.max()
    said(capsys, "remove", "gentle-shark:1")
    assert not list(mine.iterdir())
    assert "E401" in said(capsys, "test", "gentle-shark", code=4)


def test_a_package_is_taken_from_an_address(shark: Path, capsys) -> None:
    with web_server() as web:
        web.files["/shark.zip"] = shark.read_bytes()
        assert said(capsys, "add", f"{web.url}/shark.zip") == "gentle-shark:1\n"
    assert load_model("gentle-shark:1").manifest.adaptor is not None


def test_what_does_not_work_is_not_added(mine: Path, tmp_path: Path, capsys) -> None:
    nameless = {**SHARK, "name": "A model", "description": "", "tags": []}
    package = write_foreign(tmp_path / "a", nameless, bright())
    assert "--outputs" in said(capsys, "add", str(package), code=4)
    assert "E433" in said(capsys, "add", str(package), "--outputs", "boundary,unused", code=4)
    forgotten = write_foreign(tmp_path / "b", SHARK, bright("foreground", logits=True))
    assert "E431" in said(capsys, "add", str(forgotten), code=4)
    assert not mine.exists()
    assert said(capsys, "add", str(package), "--outputs", "foreground, boundary") == "gentle-shark:1\n"
    assert load_model("gentle-shark").manifest.heads == ("core", "interior")


def test_a_name_and_version_mean_one_model_and_the_newest_is_meant_by_the_name(tmp_path: Path, capsys) -> None:
    said(capsys, "add", str(write_package(tmp_path / "a", "small", "1.0")))
    said(capsys, "add", str(tmp_path / "a"))
    other = write_package(tmp_path / "b", "small", "1.0", gain=0.5)
    assert "E437" in said(capsys, "add", str(other), code=4)
    change(other, config__cellfleet__version="1.10")
    said(capsys, "add", str(other))
    assert load_model("small").manifest.version == "1.10"
    assert load_model("small:1.0").manifest.version == "1.0"
    assert "E438" in said(capsys, "remove", "small", code=4)
    said(capsys, "remove", "small:1.10")
    said(capsys, "remove", "small")
    assert "E401" in said(capsys, "remove", "nuclei", code=4)
    assert "E437" in said(capsys, "add", str(write_package(tmp_path / "c", "nuclei", "1.0.0")), code=4)
    said(capsys, "add", str(write_otsu(tmp_path / "d", "nuclei", "2.0")))
    assert load_model("nuclei").manifest.predictor == "otsu"
    assert load_model("nuclei:1.0.0").manifest.predictor == "onnx"


def test_a_model_is_published_on_a_server_and_works_off_a_job_there(
    running: Running, shark: Path, mine: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("CELLFLEET_TOKEN", running.token("root", "admin"))
    assert said(capsys, "add", str(shark), "--on", running.url) == "gentle-shark:1\n"
    assert not mine.exists()
    listed = said(capsys, "list", "--on", running.url)
    assert re.search(rf"^gentle-shark +1 +nuclei +nuclear +any +CC-BY-4\.0 +{re.escape(running.url)}$", listed, re.M)
    pixels, truth = discs(gap=3)
    tifffile.imwrite(tmp_path / "discs.tif", pixels)
    words = ["segment", str(tmp_path / "discs.tif"), "-o", str(tmp_path / "there"), "-m", "gentle-shark"]
    with working(running):
        assert main([*words, "--on", running.url, "--progress", "none"]) == 0
    there = tifffile.imread(tmp_path / "there" / "discs_labels.tif")
    said(capsys, "add", str(shark))
    assert main(["segment", words[1], "-o", str(tmp_path / "here"), "-m", "gentle-shark", "--progress", "none"]) == 0
    assert there.max() == truth.max()
    assert np.array_equal(there, tifffile.imread(tmp_path / "here" / "discs_labels.tif"))


def test_only_administrators_publish(running: Running, shark: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CELLFLEET_TOKEN", running.token("ann"))
    assert "E903" in said(capsys, "add", str(shark), "--on", running.url, code=5)
    assert "gentle-shark" not in said(capsys, "list", "--on", running.url)
    assert "E439" in said(capsys, "add", str(shark), "--on", running.url, "--store", "x", code=2)


def test_a_model_is_published_in_a_store(shark: Path, tmp_path: Path, capsys) -> None:
    store = tmp_path / "store"
    said(capsys, "add", str(shark), "--store", str(store))
    models = Repository(FolderPlace(store), tmp_path / "another cache")
    assert models.load(models.resolve("gentle-shark")).manifest.version == "1"


def test_an_export_is_one_file_that_can_be_added_again(tmp_path: Path, capsys) -> None:
    out = tmp_path / "nuclei.zip"
    assert said(capsys, "export", "nuclei", "-o", str(out)) == f"{out}\n"
    names = zipfile.ZipFile(out).namelist()
    assert names[0] == "rdf.yaml" and {"README.md", "nuclei.onnx", "cover.jpg", "curve.svg"} < set(names)
    first = out.read_bytes()
    said(capsys, "export", "nuclei", "-o", str(out))
    assert out.read_bytes() == first
    assert said(capsys, "add", str(out)) == "nuclei:1.0.0\n"
    assert "E528" in said(capsys, "export", "otsu", "-o", str(out), code=4)
    assert "E527" in said(capsys, "export", "nuclei", code=2)


def test_what_training_may_begin_with_is_added_and_exported_with_a_model(mine: Path, tmp_path: Path, capsys) -> None:
    package, out = write_package(tmp_path / "small"), tmp_path / "small.zip"
    (package / "weights.pt").write_bytes(b"kernels")
    said(capsys, "add", str(package))
    said(capsys, "export", "small", "-o", str(out))
    said(capsys, "remove", "small")
    assert said(capsys, "add", str(out)) == "small:1.0\n"
    assert (mine / "small-1.0" / "weights.pt").read_bytes() == b"kernels"
    said(capsys, "add", str(out), "--store", str(tmp_path / "store"))
    models = Repository(FolderPlace(tmp_path / "store"), tmp_path / "another cache")
    assert models.to_train_from(models.resolve("small"))["weights.pt"] == b"kernels"


def test_a_classifier_is_tried_too(tmp_path: Path, capsys) -> None:
    tried = said(capsys, "test", str(write_classifier(tmp_path / "colours")))
    assert "graph    opens (cpu)" in tried and "image" not in tried


def test_the_newer_format_says_its_pixel_size(tmp_path: Path, capsys) -> None:
    said(capsys, "add", str(write_foreign(tmp_path / "fox", NEWER, bright())))
    assert re.search(r"^newer-fox +1\.2 +nuclei +nuclear +0\.5 +MIT +yours$", said(capsys), re.MULTILINE)
