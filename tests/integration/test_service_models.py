"""Models over HTTP: listed, described, added by administrators, and used by the next request."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from tests.packages import write_otsu, write_package
from tests.servers import web_server
from tests.services import Running, running_service

from cellfleet.models import bundled_names, load_model
from cellfleet.service.state import Settings
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
    found = {model.name: model for model in listed(client)}
    assert list(found) == bundled_names()
    nuclei = found["nuclei"]
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
        "https://models.example/small.zip": (403, "E818"),
    }
    for given, (status, code) in expected.items():
        answer = client.post("/api/v1/models", json={"input": given})
        assert (answer.status_code, answer.json()["code"]) == (status, code), (given, answer.text)
    assert not (tmp_path / "store" / "models").exists()


def test_a_package_at_an_address_that_is_allowed_is_taken_in(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
    with web_server() as web:
        web.files["/small.zip"] = (tmp_path / "small.zip").read_bytes()
        with running_service(tmp_path, login=True, settings=Settings(allowed_inputs=(web.url,))) as running:
            client = running.client("root", "admin")
            answer = client.post("/api/v1/models", json={"input": f"{web.url}/small.zip"})
            missing = client.post("/api/v1/models", json={"input": f"{web.url}/none.zip"})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["tested"]) == ("small", True)
    assert missing.status_code == 422 and missing.json()["action"]


def test_scores_test_picture_and_text_of_a_package_are_shown(running: Running, tmp_path: Path) -> None:
    client, package = running.client("root", "admin"), write_package(tmp_path / "package")
    described = yaml.safe_load((package / "rdf.yaml").read_text())
    described["covers"] = ["https://elsewhere.example/a.png", "../../secret.png", "cover.png"]
    described["config"]["cellfleet"]["scores"] = {"plates": {"f1": 0.75}, "broken": {"f1": "high"}, "other": 3}
    (package / "rdf.yaml").write_text(yaml.safe_dump(described))
    (package / "cover.png").write_bytes(b"a picture")
    (package / "README.md").write_text("# small\n\nFinds µm-sized things.\n", "utf-8")
    answer = client.post("/api/v1/models", json={"input": f"set:{uploaded(running, client, *package.iterdir())}"})
    told = ModelInfo.model_validate(answer.json())
    assert (told.scores, told.tested, told.picture) == ({"plates": 0.75}, True, True)
    picture = running.client("ann", "viewer").get("/api/v1/models/small/1.0/picture")
    assert (picture.content, picture.headers["Content-Type"]) == (b"a picture", "image/png")
    card = running.client("ann", "viewer").get("/api/v1/models/small/1.0/card")
    assert (card.text, card.headers["Content-Type"]) == (
        "# small\n\nFinds µm-sized things.\n",
        "text/markdown; charset=utf-8",
    )
    write_otsu(tmp_path / "store" / "models" / "plain", "plain", "1")
    for missing in ("picture", "card"):
        assert client.get(f"/api/v1/models/plain/1/{missing}").status_code == 404
    assert not next(model for model in listed(client) if model.name == "plain").tested


def test_an_administrator_says_which_model_is_offered_first(running: Running) -> None:
    client = running.client("root", "admin")
    assert [model.name for model in listed(client) if model.default] == ["nuclei"]
    assert client.put("/api/v1/models/otsu/default").json()["default"]
    assert [model.name for model in listed(running.client("ann")) if model.default] == ["otsu"]
    assert client.put("/api/v1/models/none/default").json()["code"] == "E401"
    assert running.client("ann").put("/api/v1/models/nuclei/default").status_code == 403
