"""Any image classifier can be deployed by name and scored over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.packages import mean_colours, write_classifier
from tests.services import Running, running_service

from cellfleet import Client
from cellfleet.errors import ModelError
from cellfleet.inference import onnx
from cellfleet.inference.graph import Graph
from cellfleet.models.check import check_package
from cellfleet.models.classifier_package import package_classifier
from cellfleet.models.load import load_classifier, load_model
from cellfleet.models.source import open_source

IMAGES = np.random.default_rng(0).random((3, 8, 6, 3), dtype=np.float32)
MEANS = IMAGES.mean(axis=(1, 2))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("service")
    write_classifier(path / "store" / "models" / "colours")
    with running_service(path) as running:
        yield running


@pytest.fixture
def client(running: Running) -> httpx2.Client:
    return running.client()


def test_its_tensors_are_those_of_its_graph(client: httpx2.Client) -> None:
    said = client.get("/v2/models/colours").json()
    assert said["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 6, 3]}]
    assert said["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.get("/v2/models/colours/ready").json() == {"name": "colours", "ready": True}


def test_it_scores_images_as_json_and_in_binary(client: httpx2.Client) -> None:
    asked = {"name": "image", "datatype": "FP32", "shape": IMAGES.shape}
    plain = client.post("/v2/models/colours/infer", json={"inputs": [asked | {"data": IMAGES.ravel().tolist()}]})
    scores = np.reshape(plain.json()["outputs"][0]["data"], (3, 3))
    np.testing.assert_allclose(scores, MEANS, rtol=1e-5)
    head = json.dumps(
        {
            "id": "7",
            "inputs": [asked | {"parameters": {"binary_data_size": IMAGES.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    binary = client.post(
        "/v2/models/colours/versions/1.0/infer",
        content=head + IMAGES.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    length = int(binary.headers["Inference-Header-Content-Length"])
    assert json.loads(binary.content[:length])["id"] == "7"
    np.testing.assert_allclose(np.frombuffer(binary.content[length:], "<f4").reshape(3, 3), MEANS, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape"), [("pixels", [3, 8, 6, 3]), ("image", [3, 6, 8, 3]), ("image", [1, 8, 6, 3])]
)
def test_what_does_not_fit_it_is_refused(name: str, shape: list[int], client: httpx2.Client) -> None:
    asked = {"name": name, "datatype": "FP32", "shape": shape, "data": IMAGES.ravel().tolist()}
    said = client.post("/v2/models/colours/infer", json={"inputs": [asked]})
    assert (said.status_code, said.json()["code"]) == (400, "E950")


def test_it_is_listed_and_added_like_every_model(running: Running, tmp_path: Path) -> None:
    weights = tmp_path / "trained.onnx"
    weights.write_bytes(mean_colours(batch=1))
    package_classifier(weights, tmp_path / "package", name="mine", classes=("r", "g", "b"))
    with Client(running.url) as client:
        assert client.add_model(tmp_path / "package").task == "classification"
        assert {model.name for model in client.models()} >= {"colours", "mine", "nuclei"}
    asked = {"name": "image", "datatype": "FP32", "shape": IMAGES.shape, "data": IMAGES.ravel().tolist()}
    said = running.client().post("/v2/models/mine/infer", json={"inputs": [asked]}).json()
    np.testing.assert_allclose(np.reshape(said["outputs"][0]["data"], (3, 3)), MEANS, rtol=1e-5)


def test_who_asks_it_for_objects_is_told_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="E765"):
        load_model(write_classifier(tmp_path / "colours"))


def test_a_gpu_is_given_the_images_of_all_threads_in_batches_with_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(1).random((70, 8, 6, 3), dtype=np.float32)
    alone = load_classifier(write_classifier(tmp_path / "colours"), device="cpu").classifier.scores(images)
    # The processor stands in for the GPU: what matters is what one call of the graph is given.
    monkeypatch.setattr(onnx, "_PROVIDERS", {"cpu": "CPUExecutionProvider", "cuda": "CPUExecutionProvider"})
    sizes, run = list[int](), Graph.run

    def counted(graph: Graph, given: dict[str, Any]) -> dict[str, Any]:
        sizes.append(len(given["image"]))
        return run(graph, given)

    monkeypatch.setattr(Graph, "run", counted)
    together = load_classifier(tmp_path / "colours").classifier
    with ThreadPoolExecutor(2) as pool:
        found = np.concatenate(list(pool.map(together.scores, (images[:35], images[35:]))))
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    assert sum(sizes) == 70 and 1 < max(sizes) <= 32


def test_a_graph_that_is_another_than_its_description_says_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "wrong")
    text = (folder / "rdf.yaml").read_text("utf-8").replace("- 8\n", "- 9\n")
    (folder / "rdf.yaml").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"FP32 \[-1, 9, 6, 3\].*E766"):
        check_package(open_source(str(folder)))


def test_a_package_whose_scores_are_of_another_graph_is_refused(tmp_path: Path) -> None:
    weights = tmp_path / "trained.onnx"
    weights.write_bytes(mean_colours())
    package_classifier(weights, tmp_path / "package", name="mine")
    check_package(open_source(str(tmp_path / "package")))
    np.save(tmp_path / "package" / "test_scores.npy", np.ones((1, 3), np.float32))
    with pytest.raises(ModelError, match="E403"):
        check_package(open_source(str(tmp_path / "package")))
