"""Workflows by name through the command, Python, jobs, shards and previews: the same cells everywhere."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture
from tests.services import Running, running_service
from tests.small_blocks import SIDE
from tests.support import results, run_record
from tests.worked import add_job, add_set, work_off
from tests.workflows import stack, write_chain

import cellfleet
from cellfleet.cli import main
from cellfleet.run import process

WANTED = ("--format", "labels-tiff", "--format", "csv", "--format", "predicted-tiff")


def planes_file() -> bytes:
    """Return a stack of two and a half blocks each way, as ImageJ writes it."""
    file = io.BytesIO()
    tifffile.imwrite(file, stack(tiles=(10, 8)), imagej=True, metadata={"axes": "ZYX", "unit": "um"}, resolution=(2, 2))
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of a workflow, and one with a stack and a smaller one."""
    folder = tmp_path_factory.mktemp("workflow")
    write_chain(folder / "models")
    (folder / "images").mkdir()
    (folder / "images" / "a.tif").write_bytes(planes_file())
    tifffile.imwrite(folder / "images" / "b.tif", stack(), imagej=True, metadata={"axes": "ZYX"})
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """Results of the command, in one piece."""
    out, model = folder / "alone", folder / "models" / "chain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "How", functools.partial(process.How, block=SIDE))
        assert main(["segment", str(folder / "images"), "-o", str(out), "--model", str(model), *WANTED]) == 0
    return out


@pytest.fixture(autouse=True)
def small_blocks(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 256 px; once the results of the command are there."""
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=SIDE))


@pytest.fixture(scope="module")
def running(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("service")
    write_chain(path / "store" / "models")
    with running_service(path) as running:
        yield running


def test_the_record_names_every_step_and_what_was_predicted(alone: Path) -> None:
    run = run_record(alone)
    assert (run.model.name, [f"{step.name}:{step.version}" for step in run.model.steps]) == (
        "chain",
        ["stain:1.0", "finder:1.0"],
    )
    assert all(len(step.sha256) == 64 for step in run.model.steps)
    large, small = run.images
    assert (large.axes, large.shape) == ("ZYX", (3, 640, 640)) and large.objects == 320 and small.objects == 4
    assert large.blocks == 4
    told = large.predicted
    assert told and (told.axes, told.shape, told.dtype, told.channel_names) == ("YX", (640, 640), "uint16", ("DAPI",))
    assert "brightfield-dapi" not in run.command and "models/chain" in run.command


def test_the_predicted_image_is_kept_with_its_pixel_size(alone: Path, folder: Path) -> None:
    cells = cellfleet.segment(folder / "images" / "a.tif", model=folder / "models" / "chain")
    kept = tifffile.imread(alone / "a_predicted.ome.tif")
    np.testing.assert_array_equal(kept, cells.predicted)
    with tifffile.TiffFile(alone / "a_predicted.ome.tif") as tiff:
        assert 'PhysicalSizeX="0.5"' in (tiff.ome_metadata or "") and 'Name="DAPI"' in (tiff.ome_metadata or "")


def test_python_finds_what_the_command_finds(alone: Path, folder: Path, tmp_path: Path) -> None:
    for cells in cellfleet.segment(folder / "images", model=folder / "models" / "chain"):
        cells.save(tmp_path, formats=("labels-tiff", "csv"))
    assert results(tmp_path) == results(alone)
    array = cellfleet.segment(stack(), axes="ZYX", model=folder / "models" / "chain")
    assert array.axes == "YX" and array.labels.max() == 4


def test_machines_that_share_a_run_find_the_same(alone: Path, folder: Path, tmp_path: Path) -> None:
    words = [str(folder / "images"), "-o", str(tmp_path), "--model", str(folder / "models" / "chain"), *WANTED]
    for shard in ("1/2", "2/2"):
        assert main(["segment", *words, "--shard", shard]) == 0
    assert main(["merge", str(tmp_path)]) == 0
    assert results(tmp_path) == results(alone)
    assert (tmp_path / "a_predicted.ome.tif").read_bytes() == (alone / "a_predicted.ome.tif").read_bytes()


def test_a_job_finds_the_same_by_name(running: Running, alone: Path, folder: Path) -> None:
    client = running.client()
    images = {name: (folder / "images" / name).read_bytes() for name in ("a.tif", "b.tif")}
    formats = [word for word in WANTED if word != "--format"]
    job = add_job(client, add_set(running, "anonymous", images), segment={"model": "chain"}, formats=formats)
    work_off(running)
    done = client.get(f"/api/v1/jobs/{job}").json()
    assert done["state"] == "done", done
    model = next(one for one in client.get("/api/v1/models").json()["models"] if one["name"] == "chain")
    assert (model["task"], model["steps"]) == ("workflow", ["stain:1.0", "finder:1.0"])
    names = {name.rpartition("/")[2]: name for name in running.store.names("results")}
    for name in ("a_labels.tif", "a_cells.csv", "b_labels.tif", "a_predicted.ome.tif"):
        assert running.store.read(names[name]) == (alone / name).read_bytes(), name
    # The viewer shows the stack, whose contrast is not that of the predicted image.
    (image,) = (one for one in client.get(f"/api/v1/jobs/{job}/images").json()["images"] if one["image"] == "b.tif")
    described = client.get(f"/api/v1/jobs/{job}/images/{image['number']}/pixels/zarr.json").json()
    window = described["attributes"]["ome"]["omero"]["channels"][0]["window"]
    assert window["end"] < 1200 < image["record"]["contrast"][0][1]
    assert b'"steps"' in (running.store.read(names["run.json"]) or b"")


def test_a_preview_shows_a_region_of_it(running: Running, alone: Path, folder: Path) -> None:
    given = add_set(running, "anonymous", {"a.tif": (folder / "images" / "a.tif").read_bytes()})
    region = {"y": 100, "x": 90, "height": 130, "width": 150}
    asked = {"input": f"set:{given}", "segment": {"model": "chain"}, "region": region}
    answer = running.client().post("/api/v1/preview", json=asked)
    assert answer.status_code == 200, answer.text
    shown = np.asarray(Picture.open(io.BytesIO(base64.b64decode(answer.json()["labels"].partition(",")[2]))))
    whole = tifffile.imread(alone / "a_labels.tif")[100:230, 90:240]
    pairs = set(zip(shown.ravel().tolist(), whole.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 10


@pytest.mark.parametrize(("model", "code"), [("stain", "E416"), ("otsu", "E418")])
def test_jobs_that_cannot_be_are_refused_at_once(running: Running, model: str, code: str) -> None:
    given = add_set(running, "anonymous", ["a.tif"])
    asked = {"inputs": [f"set:{given}"], "segment": {"model": model}, "formats": ["predicted-tiff"]}
    answer = running.client().post("/api/v1/jobs", json=asked)
    assert answer.json()["code"] == code and answer.status_code < 500, answer.text


def test_tiles_of_a_workflow_are_not_predicted_over_http(running: Running) -> None:
    answer = running.client().get("/v2/models/chain")
    assert answer.status_code == 501 and "workflow" in answer.json()["error"]


def test_finished_results_are_exported_but_not_what_was_predicted(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(alone), "--format", "imagej-rois", "-o", str(tmp_path / "rois")]) == 0
    assert (tmp_path / "rois" / "a_rois.zip").stat().st_size > 1000
    assert main(["export", str(alone), "--format", "predicted-tiff", "-o", str(tmp_path / "more")]) != 0
    assert "E418" in capsys.readouterr().err


def test_an_image_that_is_no_stack_fails_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "flat.tif", stack()[0])
    (tmp_path / "images" / "b.tif").write_bytes((folder / "images" / "b.tif").read_bytes())
    words = [str(tmp_path / "images"), "-o", str(tmp_path / "out"), "--model", str(folder / "models" / "chain")]
    assert main(["segment", *words]) == 3
    failed = {image.image: image.error.code for image in run_record(tmp_path / "out").images if image.error}
    assert failed == {"flat.tif": "E417"}
