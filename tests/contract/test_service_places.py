"""Places that the service can reach itself: the same answers for a folder and for a bucket on a real S3 server."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import tifffile
from tests.servers import S3
from tests.services import Running, running_service
from tests.support import discs

from cellfleet.service.state import Settings
from cellfleet.stores.place import open_place


def _tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, discs())
    return file.getvalue()


PIXELS = discs().size
FILES: Mapping[str, bytes] = {
    "plate 1/A10.tif": _tiff(),
    "plate 1/A9 µ.tif": _tiff(),
    "plate 1/deep/er/B.tif": _tiff(),
    "plate 1/.hidden.tif": b"x",
    "plate 1/raw.zip": b"PK",
    "plate 10/notes.txt": b"x",
    "slide.ome.zarr/.zgroup": b"{}",
    "slide.ome.zarr/0/0.0": b"x",
    "slide.ome.zarr/labels/x.tif": b"x",
    "done/run.json": b"{}",
    "done/.cellfleet/a": b"x",
    "done/labels/A.tif": b"x",
    "c.tif": _tiff(),
    "readme.txt": b"x",
}


@dataclass
class Places:
    """A service that allows one place."""

    client: httpx2.Client
    top: str

    def look(self, below: str = "", **more: Any) -> httpx2.Response:
        place = f"{self.top}/{below}" if below else self.top
        return self.client.post("/api/v1/places", json={"place": place, **more})

    def names(self, below: str = "", **more: Any) -> list[tuple[str, str]]:
        answer = self.look(below, **more)
        assert answer.status_code == 200, answer.text
        return [(entry["name"], entry["kind"]) for entry in answer.json()["entries"]]

    def count(self, below: str = "") -> dict[str, Any]:
        place = f"{self.top}/{below}" if below else self.top
        answer = self.client.post("/api/v1/places/count", json={"place": place})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextlib.contextmanager
def _service(folder: Path, top: str) -> Iterator[Running]:
    with running_service(folder, login=True, settings=Settings(allowed_inputs=(top,))) as running:
        yield running


@pytest.fixture(scope="module", params=["folder", "bucket"])
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        top = str(folder / "lab")
        if request.param == "bucket":
            s3: S3 = request.getfixturevalue("moto")
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            top = f"s3://{s3.new_bucket()}/lab"
        for name, content in FILES.items():
            open_place(top).write(name, content)
        with _service(folder, top) as running:
            yield Places(running.client("ann", "viewer"), top)


def test_a_place_shows_folders_images_and_archives_by_name(places: Places) -> None:
    assert places.names() == [
        ("c.tif", "image"),
        ("done", "folder"),
        ("plate 1", "folder"),
        ("plate 10", "folder"),
        ("slide.ome.zarr", "image"),
    ]
    assert places.names("plate 1/") == [
        ("A10.tif", "image"),
        ("A9 µ.tif", "image"),
        ("deep", "folder"),
        ("raw.zip", "archive"),
    ]
    assert places.names("plate 10") == []


def test_an_entry_is_an_input_of_a_job_and_leads_on(places: Places) -> None:
    entries = {entry["name"]: entry for entry in places.look("plate 1").json()["entries"]}
    assert entries["A10.tif"]["place"] == f"{places.top}/plate 1/A10.tif"
    assert entries["A10.tif"]["size"] == len(_tiff())
    looked = places.client.post("/api/v1/inspect", json={"input": entries["A9 µ.tif"]["place"]})
    assert looked.json()["shape"] == list(discs().shape)
    deep = places.client.post("/api/v1/places", json={"place": entries["deep"]["place"]}).json()
    assert (deep["above"], [entry["name"] for entry in deep["entries"]]) == (f"{places.top}/plate 1", ["er"])


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_together_are_the_whole(places: Places, limit: int) -> None:
    found, after = [], ""
    while after is not None:
        page = places.look(after=after, limit=limit).json()
        found += [entry["name"] for entry in page["entries"]]
        after = page["after"]
    assert found == [name for name, _ in places.names()]


def test_images_are_counted_as_a_job_would_find_them(places: Places) -> None:
    assert places.count() == {"images": 5, "more": False, "pixels": 5 * PIXELS}
    assert places.count("plate 1") == {"images": 3, "more": False, "pixels": 3 * PIXELS}
    assert places.count("plate 10") == {"images": 0, "more": False, "pixels": None}
    assert places.count("c.tif") == {"images": 1, "more": False, "pixels": PIXELS}


def test_a_file_that_is_not_there_is_told_before_it_is_in_a_job(places: Places) -> None:
    answer = places.client.post("/api/v1/places/count", json={"place": f"{places.top}/no.tif"})
    assert (answer.status_code, answer.json()["code"]) in {(422, "E102"), (422, "E151")}


def test_a_file_or_zarr_is_one_image_and_is_not_entered(places: Places) -> None:
    for name, kind in {"c.tif": "image", "slide.ome.zarr": "image", "plate 1/raw.zip": "archive"}.items():
        found = places.look(name).json()
        assert (found["kind"], found["entries"]) == (kind, [])


def test_nobody_looks_beside_what_is_allowed(places: Places) -> None:
    first = places.client.post("/api/v1/places", json={}).json()
    assert [entry["place"] for entry in first["entries"]] == [places.top]
    assert places.look().json()["above"] is None
    above = places.top.rpartition("/")[0]
    beside = [
        above,
        f"{places.top}/..",
        f"{places.top}2",
        "/",
        "s3://other",
        "http://169.254.169.254/latest",
        "file:///etc",
    ]
    for place in beside:
        for route in ("places", "places/count"):
            answer = places.client.post(f"/api/v1/{route}", json={"place": place})
            assert (answer.status_code, answer.json()["code"]) == (403, "E818"), place


def test_without_a_token_nothing_is_listed(places: Places) -> None:
    with httpx2.Client(base_url=places.client.base_url) as nobody:
        assert nobody.post("/api/v1/places", json={"place": places.top}).status_code == 401


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, Path]]:
    """A service without login, and a folder."""
    folder = tmp_path_factory.mktemp("open")
    with running_service(folder, login=False) as running:
        yield running.client(), folder


def test_without_login_looking_begins_at_home_and_goes_anywhere(open_to_all: tuple[httpx2.Client, Path]) -> None:
    client, folder = open_to_all
    first = client.post("/api/v1/places", json={}).json()
    assert [entry["place"] for entry in first["entries"]] == [str(Path.home()), "/"]
    (folder / "inner").mkdir()
    assert client.post("/api/v1/places", json={"place": f"{folder}/inner/"}).json()["above"] == str(folder)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("{folder}/nothing", "E102"),
        ("{folder}/text.txt", "E103"),
        ("{folder}/closed", "E985"),
        ("relative/path", "E986"),
        ("set:abc", "E986"),
        ("https://server.example/folder", "E154"),
        ("odd://b/x", "E150"),
    ],
)
def test_what_cannot_be_looked_through_says_why(
    open_to_all: tuple[httpx2.Client, Path], place: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folder = open_to_all
    (folder / "text.txt").touch()
    (folder / "closed").mkdir(exist_ok=True)
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("closed"):  # a mode would not keep root out
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    answer = client.post("/api/v1/places", json={"place": place.format(folder=folder)})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_links_in_a_circle_and_dead_links_do_no_harm(open_to_all: tuple[httpx2.Client, Path]) -> None:
    client, folder = open_to_all
    top = folder / "linked"
    top.mkdir()
    (top / "again").symlink_to(top)
    (top / "dead.tif").symlink_to(top / "nowhere")
    (top / "a.tif").write_bytes(_tiff())
    (top / "b.tif").symlink_to(top / "a.tif")
    entries = client.post("/api/v1/places", json={"place": str(top)}).json()["entries"]
    assert [entry["name"] for entry in entries] == ["a.tif", "again", "b.tif", "dead.tif"]
    found = client.post("/api/v1/places/count", json={"place": str(top)}).json()
    assert (found["images"], found["pixels"]) == (3, 3 * PIXELS)


def test_a_pattern_is_counted(open_to_all: tuple[httpx2.Client, Path]) -> None:
    client, folder = open_to_all
    for name in ("w1/a.tif", "w1/b.tif", "w2/a.tif"):
        (folder / "patterned" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "patterned" / name).write_bytes(_tiff())
    place = f"{folder}/patterned/*/a.tif"
    assert client.post("/api/v1/places", json={"place": place}).json()["kind"] == "pattern"
    found = client.post("/api/v1/places/count", json={"place": place}).json()
    assert (found["images"], found["pixels"]) == (2, 2 * PIXELS)


def test_a_count_is_broken_off_and_says_so(
    open_to_all: tuple[httpx2.Client, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folder = open_to_all
    top = folder / "many"
    top.mkdir()
    for number in range(5):
        (top / f"{number}.tif").touch()
    monkeypatch.setattr("cellfleet.service.places.MOST_COUNTED", 3)
    assert client.post("/api/v1/places/count", json={"place": str(top)}).json() == {
        "images": 3,
        "more": True,
        "pixels": None,
    }


def test_a_folder_of_a_bucket_is_passed_over_however_much_is_in_it(
    moto: S3, clean_environment: pytest.MonkeyPatch
) -> None:
    from cellfleet.stores import level

    for name, value in moto.environment.items():
        clean_environment.setenv(name, value)
    top = f"s3://{moto.new_bucket()}"
    for folder in ("a", "b"):
        for number in range(7):
            open_place(top).write(f"{folder}/{number}", b"")
    clean_environment.setattr(level, "_PAGE", 2)
    assert [entry.name for entry in level.list_level(top, most=10)] == ["a/", "b/"]
    assert [entry.name for entry in level.list_level(top, after="a/", most=10)] == ["b/"]
