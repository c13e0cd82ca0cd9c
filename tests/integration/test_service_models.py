"""Models over HTTP: listed, described, added by administrators, and used by the next request."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.packages import write_otsu, write_package
from tests.services import Running, running_service

from cellfleet.models import load_model
from cellfleet.spec.http import ModelInfo


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_service(tmp_path, login=True) as running:
        yield running


def uploaded(running: Running, client: httpx2.Client, *files: Path, below: str = "") -> str:
    """Put files into a new set of the client's; return its id."""
    made = client.post("/api/v1/sets", json={"name": "a model"}).json()["id"]
    for file in files:
        running.store.write(f"uploads/{made}/{below}{file.name}", file.read_bytes())
    return str(made)


def listed(client: httpx2.Client) -> list[ModelInfo]:
    return [ModelInfo.model_validate(model) for model in client.get("/api/v1/models").json()["models"]]


def test_models_are_listed_with_their_licence_and_described_one_by_one(running: Running, tmp_path: Path) -> None:
    client = running.client("ann", "viewer")
    assert [(model.name, model.version) for model in listed(client)] == [("nuclei", "1.0.0"), ("otsu", "1.0")]
    nuclei = listed(client)[0]
    assert nuclei.sha256 == load_model("nuclei").sha256 and nuclei.licence == "Apache-2.0" and nuclei.description
    for path in ("nuclei", "nuclei/1.0.0"):
        assert ModelInfo.model_validate(client.get(f"/api/v1/models/{path}").json()) == nuclei
    for path in ("nothing", "nuclei/2", "..%2f..", "nuclei/%00"):
        answer = client.get(f"/api/v1/models/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "E401"), path


def test_a_package_put_into_the_store_is_there_without_a_restart(running: Running, tmp_path: Path) -> None:
    client = running.client("ann")
    assert client.get("/v2/models/mine/ready").status_code == 404
    write_otsu(tmp_path / "store" / "models" / "copied", "mine", "3")
    assert client.get("/v2/models/mine/ready").json() == {"name": "mine", "ready": True}
    assert client.get("/api/v1/models/mine").json()["version"] == "3"


@pytest.mark.parametrize("kind", ["folder", "sub-folder", "zip"])
def test_an_administrator_adds_an_uploaded_package(running: Running, tmp_path: Path, kind: str) -> None:
    client, package = running.client("root", "admin"), write_package(tmp_path / "package")
    files = sorted(package.iterdir())
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
            for file in files:
                archive.write(file, f"small/{file.name}")
        given = f"set:{uploaded(running, client, tmp_path / 'small.zip')}/small.zip"
    elif kind == "folder":
        given = f"set:{uploaded(running, client, *files)}"
    else:
        given = f"set:{uploaded(running, client, *files, below='models/small/')}/models/small"
    answer = client.post("/api/v1/models", json={"input": given})
    assert answer.status_code == 201, answer.text
    added = ModelInfo.model_validate(answer.json())
    assert added.sha256 == load_model(package).sha256
    assert added in listed(running.client("ann"))


def test_only_administrators_add_models(running: Running, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    for role in ("user", "viewer"):
        name = f"a-{role}"
        owner = running.client(name)
        given = {"input": f"set:{uploaded(running, owner, *package.iterdir())}"}
        answer = running.client(name, role).post("/api/v1/models", json=given)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (403, "E903")
    assert running.client().post("/api/v1/models", json={"input": "set:x"}).status_code == 401
    assert not (tmp_path / "store" / "models").exists()


def test_a_package_that_is_none_is_refused_with_the_reason(running: Running, tmp_path: Path) -> None:
    client, package = running.client("root", "admin"), write_package(tmp_path / "package")
    (package / "weights.onnx").write_bytes(b"others")
    made = uploaded(running, client, *package.iterdir())
    expected = {
        f"set:{made}": (422, "E403"),
        f"set:{made}/README.md": (422, "E402"),
        f"set:{made}/missing.zip": (422, "E104"),
        f"set:{made}/../../tokens": (400, "E920"),
        "set:0123": (404, "E921"),
        str(package): (400, "E410"),
        "https://models.example/small.zip": (400, "E410"),
    }
    for given, (status, code) in expected.items():
        answer = client.post("/api/v1/models", json={"input": given})
        assert (answer.status_code, answer.json()["code"]) == (status, code), (given, answer.text)
    assert not (tmp_path / "store" / "models").exists()
