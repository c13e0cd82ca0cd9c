"""Models that detect objects, by name and path: command, Python, repository, service, and where they are refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.detectors import bright_cells, detector_graph, found_in, numbered, write_detector
from tests.packages import change, npy
from tests.services import Running, running_service, wait_until
from tests.worked import working

import cellfleet
from cellfleet.cli import main
from cellfleet.errors import ModelError
from cellfleet.models import load_model
from cellfleet.models.package import read_package
from cellfleet.models.repository import Repository
from cellfleet.stores.folder import FolderPlace


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_detector(tmp_path / "cells")


@pytest.fixture
def models(tmp_path: Path) -> Repository:
    return Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")


def test_what_a_graph_detects_becomes_labels_and_a_table(package: Path) -> None:
    board = bright_cells((200, 312))
    found = cellfleet.segment(board, model=package)
    np.testing.assert_array_equal(found.labels, numbered(board))
    assert found.table["area_px"].to_pylist() == [64] * (25 * 39 // 2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (17, 9), (61, 131)])
def test_images_of_any_size_are_padded_with_darkness(package: Path, shape: tuple[int, int]) -> None:
    board = bright_cells((64, 136))[: shape[0], : shape[1]]
    board[0, 0] = 190
    found = load_model(package).predictor.predict(board[np.newaxis], np.array([[20, 180]], np.float32))
    dark = np.full((64, 136), 20, np.float32)
    dark[: shape[0], : shape[1]] = board
    boxes, scores, _ = found_in(dark)
    np.testing.assert_array_equal(found["box"], boxes[0])
    np.testing.assert_allclose(found["score"], scores[0], rtol=1e-6)


def test_an_image_is_brought_to_the_scale_of_the_detector(tmp_path: Path) -> None:
    package = write_detector(tmp_path / "scaled", diameter_px=9.0, diameter_range_px=[8.9, 9.1])
    board = np.kron(bright_cells((64, 64)), np.ones((2, 2), np.float32))
    labels = cellfleet.segment(board, model=package, diameter=18).labels
    assert (labels == numbered(board[::2, ::2]).repeat(2, 0).repeat(2, 1)).mean() > 0.99


def test_the_scale_is_judged_by_what_is_detected(tmp_path: Path) -> None:
    """This one is as certain of the cells of a small copy, which is looked at first."""
    package = write_detector(tmp_path / "scaled", diameter_px=9.0, diameter_range_px=[8.5, 9.5])
    scale = cellfleet.segment(bright_cells((128, 128)), model=package).found.scale
    in_the_copy = 2 * np.sqrt(64 / np.pi)
    assert scale.source == "estimated" and scale.diameter_px == pytest.approx(4 * in_the_copy)


def test_the_command_segments_with_a_detector(package: Path, tmp_path: Path) -> None:
    board = bright_cells((96, 200)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "board.tif", board, photometric="minisblack")
    assert main(["segment", str(tmp_path / "board.tif"), "-m", str(package), "-o", str(tmp_path / "out")]) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "board_labels.tif"), numbered(board))


def test_a_package_is_taken_in_when_it_does_what_it_says(models: Repository, package: Path) -> None:
    assert models.add(package).name == "cells"


@pytest.mark.parametrize(
    ("tensor", "code"),
    [("boxes", "E407"), ("scores", "E407"), ("masks", "E402"), ("contrast", "E402"), ("pixels", "E407")],
)
def test_a_package_whose_test_tensors_are_of_another_model_is_refused(
    models: Repository, package: Path, tensor: str, code: str
) -> None:
    values = np.load(package / f"test_{tensor}.npy")
    another = npy(values[..., :1] if values.ndim == 4 or code == "E402" else values + 3)
    (package / f"test_{tensor}.npy").write_bytes(another)
    side, place = ("inputs", ["pixels", "contrast"]) if tensor in {"pixels", "contrast"} else (
        "outputs", ["boxes", "scores", "masks"])  # fmt: skip
    change(package, **{f"{side}__{place.index(tensor)}__test_tensor__sha256": hashlib.sha256(another).hexdigest()})
    with pytest.raises(ModelError) as caught:
        models.add(package)
    assert caught.value.code == code and caught.value.action


def test_a_graph_with_other_tensors_is_refused(package: Path) -> None:
    weights = detector_graph(masks="outlines")
    (package / "weights.onnx").write_bytes(weights)
    change(package, weights__onnx__sha256=hashlib.sha256(weights).hexdigest())
    with pytest.raises(ModelError, match=r"outlines UINT8.*E420"):
        load_model(package)
    change(package, config__cellfleet__roles=["nuclear", "membrane"])
    with pytest.raises(ModelError, match="E420"):
        load_model(write_detector(package.parent / "two", roles=["nuclear", "membrane"]))


def test_a_detector_stays_with_the_workers(package: Path) -> None:
    assert not read_package((package / "rdf.yaml").read_bytes(), "here").is_servable


# --- the service -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("service")
    write_detector(path / "store" / "models" / "cells")
    with running_service(path) as running:
        yield running


@pytest.fixture
def worker(running: Running) -> Iterator[None]:
    """Somebody works off what is handed in, until the test ends."""
    with working(running):
        yield


@pytest.mark.usefixtures("worker")
def test_a_job_names_a_detector_as_any_model(running: Running, tmp_path: Path) -> None:
    board = bright_cells((96, 200)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "board.tif", board, photometric="minisblack")
    there = ["segment", str(tmp_path / "board.tif"), "--on", running.url, "-m", "cells", "-o", str(tmp_path / "out")]
    assert main(there) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "board_labels.tif"), numbered(board))


@pytest.mark.usefixtures("worker")
def test_a_job_of_the_kiosk_names_a_detector(running: Running) -> None:
    client, board = running.client(), bright_cells((96, 200)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(board).save(content, "PNG")
    upload = client.post("/api/upload", files={"file": ("board.png", content.getvalue())}).json()["uploadedName"]
    asked = {
        "jobType": "segmentation",
        "imageName": "board.png",
        "uploadedName": upload,
        "modelName": "cells",
        "modelVersion": "1",
    }
    key = client.post("/api/predict", json=asked).json()["hash"]

    def read(field: str) -> str | None:
        return client.post("/api/redis", json={"hash": key, "key": field}).json()["value"]

    wait_until(lambda: read("status") in {"done", "failed"}, "the job is done")
    assert read("reason") is None
    with zipfile.ZipFile(io.BytesIO(client.get(str(read("output_url"))).content)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith((".tif", ".tiff"))]
        labels = tifffile.imread(io.BytesIO(archive.read(name)))
    np.testing.assert_array_equal(labels.squeeze(), numbered(board))


def test_heads_over_http_are_not_to_be_had_of_a_detector(running: Running) -> None:
    answer = running.client().get("/v2/models/cells")
    assert answer.status_code == 501 and "job" in json.loads(answer.content)["error"]
