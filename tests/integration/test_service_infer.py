"""The Open Inference Protocol, by requests as its specification and its extension for binary tensors write them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.packages import expected, write_package
from tests.services import Running, running_service

import cellfleet
from cellfleet.models import load_model
from cellfleet.service import oip
from cellfleet.service.routes import infer

PIXELS = np.random.default_rng(0).random((2, 1, 70, 90), dtype=np.float32) * 200
CONTRAST = np.array([[[20, 180]], [[0, 100]]], np.float32)
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("service")
    write_package(path / "store" / "models" / "small")
    with running_service(path, login=True) as running:
        yield running


@pytest.fixture
def client(running: Running) -> httpx2.Client:
    return running.client("ann", "viewer")


def asked(**more: Any) -> dict[str, Any]:
    """Return a request of JSON alone, nested and flat."""
    pixels = {"name": "pixels", "shape": PIXELS.shape, "datatype": "FP32", "data": PIXELS.tolist()}
    contrast = {"name": "contrast", "shape": CONTRAST.shape, "datatype": "FP32", "data": CONTRAST.ravel().tolist()}
    return {"inputs": [pixels, contrast]} | more


def binary(pixels: NDArray[np.float32], contrast: NDArray[np.float32], **more: Any) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request with binary tensors."""
    arrays = {"pixels": pixels, "contrast": contrast}
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": "FP32",
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}} | more).encode()
    return head + pixels.tobytes() + contrast.tobytes(), {LENGTH: str(len(head))}


def heads_of(answer: httpx2.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[LENGTH]) if LENGTH in answer.headers else len(answer.content)
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert (output["name"], output["datatype"]) == ("heads", "UINT8")
    if "parameters" in output:
        assert output["parameters"] == {"binary_data_size": len(answer.content) - length} and "data" not in output
        return np.frombuffer(answer.content[length:], np.uint8).reshape(output["shape"])
    return np.array(output["data"], np.uint8).reshape(output["shape"])


def own_heads(model: str) -> NDArray[np.uint8]:
    predictor = load_model(model, device="cpu").predictor
    return np.stack([predictor.predict(*tile) for tile in zip(PIXELS, CONTRAST, strict=True)])


def test_the_server_says_what_it_is(client: httpx2.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    told = {"name": "cellfleet", "version": cellfleet.__version__, "extensions": ["binary_tensor_data"]}
    assert client.get("/v2").json() == told


@pytest.mark.parametrize("path", ["nuclei", "nuclei/versions/1.0.0"])
def test_a_model_says_what_it_takes_and_returns(client: httpx2.Client, path: str) -> None:
    assert client.get(f"/v2/models/{path}/ready").json() == {"name": "nuclei", "ready": True}
    assert client.get(f"/v2/models/{path}").json() == {
        "name": "nuclei",
        "versions": ["1.0.0"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "pixels", "datatype": "FP32", "shape": [-1, 1, -1, -1]},
            {"name": "contrast", "datatype": "FP32", "shape": [-1, 1, 2]},
        ],
        "outputs": [{"name": "heads", "datatype": "UINT8", "shape": [-1, 4, -1, -1]}],
    }


@pytest.mark.parametrize("model", ["nuclei", "otsu"])
def test_heads_are_those_of_the_predictor_byte_for_byte(client: httpx2.Client, model: str) -> None:
    own = own_heads(model)
    body, headers = binary(PIXELS, CONTRAST)
    for path in (
        f"/v2/models/{model}/infer",
        f"/v2/models/{model}/versions/{load_model(model).manifest.version}/infer",
    ):
        np.testing.assert_array_equal(heads_of(client.post(path, json=asked())), own)
        np.testing.assert_array_equal(heads_of(client.post(path, content=body, headers=headers)), own)


def test_the_answer_has_the_form_that_was_asked_for(client: httpx2.Client) -> None:
    for parameters, output, is_binary in [
        ({}, None, False),
        ({"binary_data_output": True}, None, True),
        ({}, {"binary_data": True}, True),
        ({"binary_data_output": True}, {"binary_data": False}, False),
        ({"binary_data_output": True}, {}, True),
    ]:
        outputs = {} if output is None else {"outputs": [{"name": "heads", "parameters": output}]}
        answer = client.post("/v2/models/small/infer", json=asked(parameters=parameters, id="seven µ", **outputs))
        np.testing.assert_array_equal(heads_of(answer), expected(PIXELS, CONTRAST))
        assert (LENGTH in answer.headers) == is_binary
        assert answer.headers["content-type"] == ("application/octet-stream" if is_binary else "application/json")
        told = json.loads(answer.content[: int(answer.headers.get(LENGTH, len(answer.content)))])
        assert (told["model_name"], told["model_version"], told["id"]) == ("small", "1.0", "seven µ")


def _input(number: int, **changes: Any) -> dict[str, Any]:
    content = asked()
    content["inputs"][number] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "JSON"),
        (b"no JSON", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"\xff\xfe", "JSON"),
        ([], "dictionary"),
        ({}, "inputs"),
        ({"inputs": []}, "none, not pixels and contrast"),
        ({"inputs": [asked()["inputs"][0]]}, "pixels, not pixels and contrast"),
        ({"inputs": asked()["inputs"] * 2}, "twice"),
        (_input(0, name="image"), "contrast, image, not"),
        (_input(0, datatype="FP64"), "is not FP32"),
        (_input(0, shape=[2, 70, 90]), "is not FP32"),
        (_input(0, shape=[2, 3, 70, 90]), "is not FP32"),
        (_input(0, shape=[2, 1, 70, 0]), "is not FP32"),
        (_input(0, shape=[2, 1, 70, -90]), "greater than or equal"),
        (_input(0, shape=[2, 1, 70, 10**30]), "so many values"),
        (_input(0, shape=[2, 1, 90, 70]), "so many values"),
        (_input(0, data=PIXELS.ravel().tolist()[1:]), "so many values"),
        (_input(0, data=[[1, 2], [3]]), "unequal length"),
        (_input(0, data=["1"] * PIXELS.size), "something else than numbers"),
        (_input(0, data=[True] * PIXELS.size), "something else than numbers"),
        (_input(0, data=[1e39] * PIXELS.size), "no finite numbers"),
        (_input(0, data=[10**400] * PIXELS.size), "something else than numbers"),
        (_input(0, data=None), "either data or binary_data_size"),
        (_input(0, parameters={"binary_data_size": 4}), "either data or binary_data_size"),
        (_input(0, data=None, parameters={"binary_data_size": 4 * PIXELS.size}), "0 are left"),
        (_input(0, parameters={"shared_memory_region": "a"}), "shared memory"),
        (_input(1, shape=[1, 1, 2], data=[0, 1]), "a batch of 2"),
        (_input(1, data=[1, 1, 0, 1]), "must rise"),
        (asked(outputs=[{"name": "labels"}]), "no output 'labels'"),
        (asked(outputs=[{"name": "heads", "parameters": {"classification": 3}}]), "classification"),
    ],
)
def test_a_request_that_does_not_fit_is_told_why(client: httpx2.Client, content: Any, why: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = client.post("/v2/models/small/infer", content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "E950" and why in answer.json()["error"]


@pytest.mark.parametrize(
    ("cut", "length", "why"),
    [
        (0, 1 << 40, "is no length|the whole body"),
        (0, -1, "is no length"),
        (0, "x", "is no length"),
        (0, 10, "begin with JSON"),
        (4, None, "are left of the body"),
        (-4, None, "belong to no input"),
    ],
)
def test_binary_tensors_of_another_length_are_refused(
    client: httpx2.Client, cut: int, length: int | str | None, why: str
) -> None:
    body, headers = binary(PIXELS, CONTRAST)
    body = body[:-cut] if cut > 0 else body + bytes(-cut)
    answer = client.post(
        "/v2/models/small/infer", content=body, headers={LENGTH: headers[LENGTH] if length is None else str(length)}
    )
    assert answer.status_code == 400 and any(part in answer.json()["error"] for part in why.split("|")), answer.text


def test_what_is_too_large_is_refused(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # The small model takes 1024 + 2 · 16 px.
    tile = np.zeros((1, 1, 1057, 1056), np.float32)
    body, headers = binary(tile, CONTRAST[:1])
    refused = [client.post("/v2/models/small/infer", content=body, headers=headers)]
    monkeypatch.setattr(oip, "_MOST_JSON_VALUES", PIXELS.size)
    refused.append(client.post("/v2/models/small/infer", json=asked()))
    monkeypatch.setattr(oip, "LARGEST_JSON_BYTES", 1000)
    refused.append(client.post("/v2/models/small/infer", json=asked()))
    monkeypatch.setattr(infer, "LARGEST_BODY_BYTES", 1000)
    body, headers = binary(PIXELS, CONTRAST)
    refused.append(client.post("/v2/models/small/infer", content=body, headers=headers))
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(413, "E951")] * 4
    assert len({answer.json()["error"] for answer in refused}) == 4


def test_a_compressed_body_is_refused(client: httpx2.Client) -> None:
    answer = client.post("/v2/models/small/infer", json=asked(), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415 and "compressed" in answer.json()["error"]


@pytest.mark.parametrize("path", ["nothing", "nuclei/versions/9", "nothing/versions/1", "..%5c..", "x" * 3000])
def test_a_model_that_is_not_there_is_told_so(client: httpx2.Client, path: str) -> None:
    for answer in (
        client.get(f"/v2/models/{path}"),
        client.get(f"/v2/models/{path}/ready"),
        client.post(f"/v2/models/{path}/infer", json=asked()),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "E401" and "there is no such model" in answer.json()["error"]


def test_who_has_no_token_gets_nothing(running: Running) -> None:
    client = running.client()
    paths = ("", "/health/live", "/health/ready", "/models/nuclei", "/models/nuclei/ready")
    answers = [client.get(f"/v2{path}") for path in paths]
    answers.append(client.post("/v2/models/nuclei/infer", json=asked()))
    for answer in answers:
        assert answer.status_code == 401 and "token is needed" in answer.json()["error"]
        assert "www-authenticate" in answer.headers


def test_more_than_a_few_at_a_time_are_asked_to_come_back() -> None:
    async def crowd() -> list[str]:
        turns = infer.Turns()
        done = asyncio.Event()

        async def one() -> str:
            try:
                with turns.taken():
                    await done.wait()
                    return "served"
            except cellfleet.CellfleetError as error:
                return error.code

        tasks = [asyncio.create_task(one()) for _ in range(infer.TAKEN_AT_ONCE + 3)]
        while sum(task.done() for task in tasks) < 3:
            await asyncio.sleep(0)
        done.set()
        told = await asyncio.gather(*tasks)
        with turns.taken():  # who was refused left no trace
            return told

    told = asyncio.run(asyncio.wait_for(crowd(), 20))
    assert sorted(told) == ["E953"] * 3 + ["served"] * infer.TAKEN_AT_ONCE


def test_many_at_once_all_get_their_own_heads(client: httpx2.Client) -> None:
    def ask(gain: int) -> bool:
        contrast = CONTRAST * np.float32(1 + gain)
        body, headers = binary(PIXELS, contrast)
        answer = client.post("/v2/models/small/infer", content=body, headers=headers)
        return np.array_equal(heads_of(answer), expected(PIXELS, contrast))

    with ThreadPoolExecutor(infer.TAKEN_AT_ONCE) as pool:
        assert all(pool.map(ask, range(24)))
