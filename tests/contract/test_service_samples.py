"""Samples over HTTP: they are shown, and one of them becomes a set like any other."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from tests.looks import picture
from tests.services import Running, running_service

from cellfleet.samples import SAMPLES, read_sample
from cellfleet.spec.access import Quota


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


def test_every_image_that_travels_along_is_described() -> None:
    here = {entry.name for entry in files("cellfleet.samples").iterdir() if entry.name.endswith(".tif")}
    assert list(SAMPLES) == sorted(here)


def test_all_samples_are_shown_to_whoever_may_look(running: Running) -> None:
    answer = running.client("vera", "viewer").get("/api/v1/samples")
    assert answer.status_code == 200
    shown = answer.json()["samples"]
    assert {sample["name"]: sample["what"] for sample in shown} == SAMPLES
    for sample in shown:
        assert sample["size"] == len(read_sample(sample["name"]))
        assert picture(sample["thumbnail"]).max() > 100


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_becomes_a_set_of_whoever_asks_and_can_be_looked_at(running: Running, name: str) -> None:
    ann = running.client("ann")
    made = ann.post(f"/api/v1/samples/{name}")
    assert (made.status_code, made.json()["owner"]) == (201, "ann")
    found = ann.get(f"/api/v1/sets/{made.json()['id']}/files").json()["files"]
    assert found == [{"path": name, "size": len(read_sample(name))}]
    assert running.store.read(f"uploads/{made.json()['id']}/{name}") == read_sample(name)
    looked = ann.post("/api/v1/inspect", json={"input": f"set:{made.json()['id']}"})
    assert looked.json()["images"] == [name]


def test_a_sample_counts_against_the_quota_until_its_set_is_deleted(running: Running) -> None:
    size = len(read_sample("small_nuclei.tif"))
    ben = running.client(token=running.token("ben", quota=Quota(bytes=size)))
    made = ben.post("/api/v1/samples/small_nuclei.tif").json()
    assert ben.get("/api/v1/about").json()["used_bytes"] == size
    again = ben.post("/api/v1/samples/small_nuclei.tif")
    assert (again.status_code, again.json()["code"]) == (413, "E926")
    assert ben.delete(f"/api/v1/sets/{made['id']}").status_code == 204
    assert ben.get("/api/v1/about").json()["used_bytes"] == 0


def test_a_sample_needs_a_known_name_and_the_right_to_change(running: Running) -> None:
    for name in ("README.md", "..%2F__init__.py", "other.tif"):
        answer = running.client("ann").post(f"/api/v1/samples/{name}")
        assert (answer.status_code, answer.json()["code"]) in {(404, "E936"), (404, "E900")}
    assert running.client("vera", "viewer").post("/api/v1/samples/small_nuclei.tif").status_code == 403
    assert running.client().get("/api/v1/samples").status_code == 401
