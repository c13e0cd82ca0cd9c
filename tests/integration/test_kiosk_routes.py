"""The routes of the DeepCell Kiosk answer its clients as the original does."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.services import Running, running_service
from tests.worked import add_set

from cellfleet.models import bundled_names
from cellfleet.service.kiosk_form import SAME
from cellfleet.service.state import Settings
from cellfleet.spec.access import Quota
from cellfleet.spec.http import JobRequest

SLASHES = ["", "/"]
ORIGINAL = {
    "modelName": "NuclearSegmentation",
    "modelVersion": "1",
    "preprocessFunction": "",
    "postprocessFunction": "deep_watershed",
    "jobType": "segmentation",
    "dataRescale": 0.5,
    "dataLabel": 0,
}


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login, for one user."""
    with running_service(tmp_path_factory.mktemp("kiosk"), settings=Settings(kiosk_user="local")) as running:
        yield running


def uploaded(client: httpx2.Client, name: str = "in/well A1, µ 🦠.png", content: bytes = b"pixels") -> str:
    """Upload a file; return the name that the service gives it."""
    answer = client.post("/api/upload", files={"file": (name, content)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["uploadedName"])


def predicted(client: httpx2.Client, upload: str, **changes: Any) -> str:
    """Ask for a job as kiosk-client does; return its name."""
    image = upload.removeprefix("uploads/")
    body = {**ORIGINAL, "imageName": image, "uploadedName": upload, **changes}
    answer = client.post("/api/predict", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["hash"])


def read(client: httpx2.Client, key: str, *fields: str) -> list[str | None]:
    """Read fields of a job."""
    return list(client.post("/api/redis", json={"hash": key, "key": list(fields)}).json()["value"])


def text(value: list[str | None]) -> str:
    """Return the only value, which is there."""
    (only,) = value
    assert only is not None
    return only


@pytest.mark.parametrize("slash", SLASHES)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/health-check", {"message": "OK"}),
        ("/api/jobtypes", {"jobTypes": ["segmentation", "mesmer"]}),
        ("/api/models", {"models": {name: ["1"] for name in (*bundled_names(), *SAME)}}),
    ],
)
def test_what_can_be_asked_is_answered_directly(kiosk: Running, path: str, slash: str, expected: Any) -> None:
    answer = kiosk.client().get(path + slash)
    assert (answer.status_code, answer.json()) == (200, expected)


def test_the_address_stays_what_clients_take_for_their_base(kiosk: Running) -> None:
    answer = httpx2.get(kiosk.url, follow_redirects=True)
    assert (answer.status_code, str(answer.url).rstrip("/")) == (200, kiosk.url)


@pytest.mark.parametrize("slash", SLASHES)
def test_the_routes_are_described_as_openapi(kiosk: Running, slash: str) -> None:
    described = kiosk.client().get("/api/swagger.json" + slash).json()
    assert described["openapi"].startswith("3.")
    assert {"/api/upload", "/api/predict", "/api/redis", "/api/status", "/api/redis/expire"} <= set(described["paths"])


@pytest.mark.parametrize("path", ["/api/train", "/api/", "/api/batch/redis", "/api/upload", "/api/v1beta"])
def test_what_the_original_does_not_know_is_an_empty_object(kiosk: Running, path: str) -> None:
    answer = kiosk.client().get(path)
    assert (answer.status_code, answer.json()) == (404, {})


def test_the_services_own_api_is_left_alone(kiosk: Running) -> None:
    client = kiosk.client()
    assert client.get("/api/v1/about").status_code == 200
    assert client.get("/api/v1/nothing").json()["code"] == "E900"
    assert client.delete("/api/v1/about").status_code == 405


@pytest.mark.parametrize("slash", SLASHES)
def test_an_upload_keeps_its_extension_and_gets_a_name_of_its_own(kiosk: Running, slash: str) -> None:
    first, second = (
        kiosk.client().post("/api/upload" + slash, files={"file": ("in/a.png", b"pixels")}).json() for _ in range(2)
    )
    assert first["uploadedName"] != second["uploadedName"]
    assert all(name["uploadedName"].startswith("uploads/") for name in (first, second))
    assert first["uploadedName"].endswith(".png") and first["imageURL"].startswith("http://")


def test_an_upload_is_a_set_with_the_file_under_its_own_name(kiosk: Running) -> None:
    upload = uploaded(kiosk.client(), "in/well A1, µ 🦠.png", b"pixels")
    folder = upload.removesuffix(".png")
    assert kiosk.store.read(f"{folder}/well A1, µ 🦠.png") == b"pixels"


@pytest.mark.parametrize(
    "body",
    [
        {"files": {"other": ("a.png", b"pixels")}},
        {"files": {"file": (None, b"pixels")}},
        {"data": {"file": "pixels"}},
        {"content": b"pixels"},
        {"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"pixels", "headers": {"Content-Type": "multipart/form-data"}},
    ],
    ids=["other field", "no name", "no form", "no type", "broken", "no boundary"],
)
def test_an_upload_without_a_file_is_refused_and_leaves_nothing(kiosk: Running, body: dict[str, Any]) -> None:
    before = set(kiosk.store.names("uploads")), set(kiosk.store.names("sets")), kiosk.service.ledger.used("local")
    answer = kiosk.client().post("/api/upload", **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "E956")
    after = set(kiosk.store.names("uploads")), set(kiosk.store.names("sets")), kiosk.service.ledger.used("local")
    assert after == before


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "{}", '{"jobType": "segmentation"}', "[" * 100_000])
def test_a_prediction_without_an_image_is_refused_in_the_originals_words(kiosk: Running, body: str) -> None:
    answer = kiosk.client().post("/api/predict", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid prediction request body.")


@pytest.mark.parametrize("job_type", ["polaris", "", "Segmentation"])
def test_an_unknown_job_type_is_refused_in_the_originals_words(kiosk: Running, job_type: str) -> None:
    answer = kiosk.client().post("/api/predict", json={"jobType": job_type, "imageName": "a.png"})
    assert (answer.status_code, answer.json()["message"]) == (400, f"Invalid Job Type: {job_type}.")


def test_a_job_is_named_after_queue_image_and_itself(kiosk: Running) -> None:
    client = kiosk.client()
    for name, queue in {"a.png": "segmentation", "a.ZIP": "segmentation-zip"}.items():
        upload = uploaded(client, name, zipped() if name.endswith("ZIP") else b"pixels")
        key = predicted(client, upload)
        job = key.removeprefix(f"{queue}:{upload.removeprefix('uploads/')}:")
        assert kiosk.service.desk.job(job).name == name


def zipped() -> bytes:
    """Return a zip with a file that may be an image."""
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("a.png", b"pixels")
    return content.getvalue()


def test_the_scale_of_the_original_is_relative_to_its_models_pixel_size(kiosk: Running) -> None:
    client = kiosk.client()
    job = kiosk.service.desk.job(predicted(client, uploaded(client), dataRescale=0.5).rpartition(":")[2])
    assert job.segment.microns_per_pixel == pytest.approx(0.325)
    assert job.model.name == "nuclei"


@pytest.mark.parametrize(
    "changes",
    [
        {"modelName": "CytoplasmSegmentation"},
        {"modelName": "nuclei", "modelVersion": "7"},
        {"modelName": "", "dataLabel": 1},
        {"modelName": "", "jobForm": {"selectedChannels": ",1,"}},
        {"jobForm": {"selectedChannels": "0,1,"}},
        {"jobForm": {"selectedChannels": "red"}},
        {"dataRescale": "large"},
        {"dataRescale": -1},
        {"uploadedName": "uploads/notthere.png"},
        {"uploadedName": "uploads/../../etc/passwd"},
    ],
    ids=str,
)
def test_what_cannot_be_done_is_a_job_that_failed_and_says_why(kiosk: Running, changes: dict[str, Any]) -> None:
    client = kiosk.client()
    key = predicted(client, uploaded(client), **changes)
    status, reason, created = read(client, key, "status", "reason", "created_at")
    assert status == "failed" and created is not None
    assert reason is not None and ("[E957]" in reason or "[E958]" in reason)
    assert client.post("/api/redis/expire/", json={"hash": key, "expireIn": 60}).json() == {"value": 1}


@pytest.mark.parametrize("slash", SLASHES)
def test_only_the_originals_fields_of_a_job_can_be_read(kiosk: Running, slash: str) -> None:
    client = kiosk.client()
    key = predicted(client, uploaded(client, "a.png"))
    for field in ("owner", "spec", "__class__", "", "cellfleet:jobs", "prediction_time", "reason"):
        assert client.post("/api/redis" + slash, json={"hash": key, "key": field}).json() == {"value": None}
    wanted = ["status", "original_name", "model_name", "nothing", "output_url"]
    answer = client.post("/api/redis" + slash, json={"hash": key, "key": wanted}).json()
    assert answer == {"value": ["new", "a.png", "nuclei", None, None]}
    assert client.post("/api/status" + slash, json={"hash": key}).json() == {"status": "new"}


@pytest.mark.parametrize("key", ["", "nothing", "a:b:c", "segmentation:a.png:../x", "x:refused.%%", None, 7, [], {}])
def test_a_job_that_is_not_there_has_no_fields_and_does_not_expire(kiosk: Running, key: Any) -> None:
    client = kiosk.client()
    assert client.post("/api/status", json={"hash": key}).json() == {"status": None}
    assert client.post("/api/redis", json={"hash": key, "key": "status"}).json() == {"value": None}
    assert client.post("/api/redis", json={"hash": key, "key": ["status"]}).json() == {"value": [None]}
    expired = client.post("/api/redis/expire", json={"hash": key})
    assert (expired.status_code, expired.json()) == (404, {"value": 0})


@pytest.mark.parametrize("slash", SLASHES)
@pytest.mark.parametrize("expire_in", [60, "60", 0, None, "", "soon", 1e300])
def test_a_job_expires_with_the_number_one(kiosk: Running, slash: str, expire_in: Any) -> None:
    client = kiosk.client()
    key = predicted(client, uploaded(client))
    body = json.dumps({"hash": key, "expireIn": expire_in})
    answer = client.post("/api/redis/expire" + slash, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["value"], type(answer.json()["value"])) == (200, 1, int)


def test_the_operator_can_open_the_routes_for_one_user(tmp_path: Path) -> None:
    with running_service(tmp_path, login=True, settings=Settings(kiosk_user="kiosk")) as running:
        key = predicted(running.client(), uploaded(running.client()))
        assert running.service.desk.job(key.rpartition(":")[2]).owner == "kiosk"
        other = running.service.desk.submit(JobRequest(inputs=(a_set(running, "ann"),)), "ann", Quota())
        assert read(running.client(), f"segmentation:a.png:{other.id}", "status") == [None]


def a_set(running: Running, owner: str) -> str:
    """Return a set with an image, as the input of a job."""
    return f"set:{add_set(running, owner)}"


def test_without_a_user_for_them_the_routes_need_a_token(tmp_path: Path) -> None:
    with running_service(tmp_path, login=True) as running:
        client = running.client()
        for path in ("/api/upload", "/api/predict", "/api/redis", "/api/status", "/api/redis/expire"):
            answer = client.post(path, json={"jobType": "segmentation", "imageName": "a.png"})
            assert (answer.status_code, answer.json()["code"]) == (401, "E955")
        assert client.get("/kiosk/cf_" + "0" * 64).status_code == 401


@pytest.mark.parametrize("slash", SLASHES)
def test_a_token_in_the_address_opens_the_routes_for_its_user(tmp_path: Path, slash: str) -> None:
    with running_service(tmp_path, login=True) as running:
        base = f"/kiosk/{running.token('ann')}"
        assert base == base.lower(), "kiosk-client makes small letters of it"
        client, other = running.client(), f"/kiosk/{running.token('bob')}"
        assert client.get(base + slash).status_code == 200
        upload = client.post(f"{base}/api/upload{slash}", files={"file": ("a.png", b"pixels")}).json()["uploadedName"]
        body = {**ORIGINAL, "imageName": "a.png", "uploadedName": upload}
        key = client.post(f"{base}/api/predict{slash}", json=body).json()["hash"]
        assert running.service.desk.job(key.rpartition(":")[2]).owner == "ann"
        assert client.post(f"{base}/api/status{slash}", json={"hash": key}).json() == {"status": "new"}
        assert client.post(f"{other}/api/status{slash}", json={"hash": key}).json() == {"status": None}
        assert client.post(f"{other}/api/redis/expire{slash}", json={"hash": key}).status_code == 404
        theirs = client.post(f"{other}/api/predict{slash}", json=body).json()["hash"]
        refused = client.post(f"{other}/api/redis", json={"hash": theirs, "key": "reason"}).json()["value"]
        assert "[E958]" in refused
