"""The six rules without which kiosk-client hangs, crashes or asks for ever (docs/reference/kiosk.md), on the wire."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPResponse
from typing import Any

import pytest
import tifffile
from tests.kiosks import working
from tests.services import Running, running_service, wait_until
from tests.support import discs

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login, with a worker."""
    with (
        running_service(tmp_path_factory.mktemp("kiosk")) as running,
        working(running),
    ):
        yield running


def spoken(kiosk: Running, *requests: bytes) -> tuple[list[Answer], bytes]:
    """Send requests over one connection, each after the answer to the last; return the answers and what came after."""
    host, port = kiosk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answers = []
        for request in requests:
            connection.sendall(request)
            answer = HTTPResponse(connection)
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            answers.append((answer.status, headers, answer.read()))
        if answers[-1][1].get("connection") == "close":
            return answers, connection.recv(1)
        return answers, b""


def request(
    path: str, body: bytes = b"", *, kind: str = "application/json", connection: str = "close", method: str = "POST"
) -> bytes:
    """Return a request as kiosk-client sends it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\n"
    head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def form(name: str, content: bytes) -> bytes:
    """Return an upload as kiosk-client sends it."""
    head = f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + content + b"\r\n--edge--\r\n"
    return request("/api/upload", body, kind="multipart/form-data; boundary=edge")


def asked(path: str, **body: Any) -> bytes:
    """Return a request with a JSON body."""
    return request(path, json.dumps(body).encode())


REQUESTS = {
    "upload": form("in/a.png", b"pixels"),
    "upload without file": request("/api/upload", b"none", kind="multipart/form-data; boundary=edge"),
    "predict": asked("/api/predict", jobType="segmentation", imageName="a.png"),
    "predict nothing": asked("/api/predict"),
    "redis": asked("/api/redis", hash="x", key="status"),
    "status": asked("/api/status/", hash="x"),
    "expire": asked("/api/redis/expire", hash="x"),
    "no JSON": request("/api/predict", b"\xff{"),
    "no route": request("/api/train"),
    "no such address": request("/nothing"),
    "wrong method": request("/api/v1/about"),
    "too large": request("/api/predict", b" " * (2 << 20)),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_1_an_answer_says_that_it_closes_when_it_was_asked_to(kiosk: Running, what: str) -> None:
    ((_, headers, _),), rest = spoken(kiosk, REQUESTS[what])
    assert headers["connection"].lower() == "close"
    assert rest == b"", "and then the connection ends"


def test_1_a_connection_that_may_stay_open_does(kiosk: Running) -> None:
    one = request("/api/status", b'{"hash": "x"}', connection="keep-alive")
    answers, _ = spoken(kiosk, one, one, one)
    assert [status for status, _, _ in answers] == [200] * 3
    assert all("connection" not in headers for _, headers, _ in answers)


@pytest.mark.parametrize("what", REQUESTS)
def test_2_every_answer_is_a_json_object(kiosk: Running, what: str) -> None:
    ((_, headers, body),), _ = spoken(kiosk, REQUESTS[what])
    assert headers["content-type"].startswith("application/json")
    assert isinstance(json.loads(body), dict)


def done(kiosk: Running, **changes: Any) -> str:
    """Have an image segmented; return the name of the job."""
    client = kiosk.client()
    tifffile.imwrite(content := io.BytesIO(), discs())
    upload = client.post("/api/upload", files={"file": ("a.tif", content.getvalue())}).json()["uploadedName"]
    body = {"jobType": "segmentation", "imageName": "a.tif", "uploadedName": upload, "modelName": "otsu"}
    key: str = client.post("/api/predict", json={**body, **changes}).json()["hash"]
    fields = ["status", "created_at", "finished_at", "output_url"]
    seen = []

    def has_ended() -> bool:
        seen.append(client.post("/api/redis", json={"hash": key, "key": fields}).json()["value"])
        return seen[-1][0] in {"done", "failed"}

    wait_until(has_ended, "the job ends")
    assert all(None not in values for values in seen if values[0] == "done")
    return key


def test_3_a_done_job_has_its_dates_with_a_time_zone_and_its_address(kiosk: Running) -> None:
    key = done(kiosk)
    fields = ["status", "created_at", "finished_at", "output_url"]
    values = [kiosk.client().post("/api/redis", json={"hash": key, "key": field}).json()["value"] for field in fields]
    assert values[0] == "done"
    created, finished = map(datetime.fromisoformat, values[1:3])
    assert created.tzinfo is not None and finished.tzinfo is not None and created <= finished
    assert values[3].startswith(f"{kiosk.url}/links/") and values[3].endswith(f"_{key.rpartition(':')[2]}.zip")


def test_4_expire_answers_the_number_one(kiosk: Running) -> None:
    ((status, _, body),), _ = spoken(kiosk, asked("/api/redis/expire", hash=done(kiosk), expireIn=60))
    assert (status, body) == (200, b'{"value":1}')


@pytest.mark.parametrize(
    ("name", "ending"), [("in/a.png", ".png"), ("A.ZIP", ".ZIP"), ("a.ome.tif", ".tif"), ("C:\\a.tif", ".tif")]
)
def test_5_an_upload_keeps_extension_and_prefix(kiosk: Running, name: str, ending: str) -> None:
    ((_, _, body),), _ = spoken(kiosk, form(name, b"pixels"))
    upload = json.loads(body)["uploadedName"]
    assert upload.startswith("uploads/") and upload.endswith(ending)


def test_6_label_0_is_a_label(kiosk: Running) -> None:
    key = done(kiosk, modelName="", dataLabel=0)
    assert kiosk.service.desk.job(key.rpartition(":")[2]).model.name == "nuclei"
