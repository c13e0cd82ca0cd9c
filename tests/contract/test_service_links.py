"""Links to results: they work without a token, show what they were made for, and end."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from urllib.parse import quote

import httpx2
import pytest
from tests.services import Running, running_service
from tests.worked import NAMES, add_job, add_set, work_off

from cellfleet.service.sets import now_ms
from cellfleet.service.state import Settings


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> httpx2.Client:
    return running.client("ann")


@pytest.fixture(scope="module")
def anybody(running: Running) -> httpx2.Client:
    return running.client()


@pytest.fixture(scope="module")
def job(running: Running, client: httpx2.Client) -> str:
    job = add_job(client, add_set(running, "ann"), name="Plate 1: µ")
    work_off(running)
    return job


def link(client: httpx2.Client, job: str, **new: object) -> str:
    answer = client.post(f"/api/v1/jobs/{job}/links", json=new)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def names(answer: httpx2.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())


def refused(answer: httpx2.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (404, "E946")


def test_a_link_gives_the_zip_to_anybody(client: httpx2.Client, anybody: httpx2.Client, job: str) -> None:
    url = link(client, job)
    assert url.endswith("/Plate%201_%20%C2%B5.zip")
    assert "c_labels.tif" in names(anybody.get(url)) and "c_cells.csv" in names(anybody.get(url))
    head = anybody.head(url)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/zip", b"")


def test_a_link_to_formats_shows_no_others(client: httpx2.Client, anybody: httpx2.Client, job: str) -> None:
    url = link(client, job, formats=["csv"])
    for asked in (url, f"{url}?format=labels-tiff", f"{url}?image=0"):
        shown = names(anybody.get(asked))
        assert {f"{name.removesuffix('.tif')}_cells.csv" for name in NAMES} < shown
        assert not any(name.endswith(".tif") for name in shown)
    for new in ({"formats": ["parquet"]}, {"what": "files", "formats": ["csv"]}):
        answer = client.post(f"/api/v1/jobs/{job}/links", json=new)
        assert (answer.status_code, answer.json()["code"]) == (422, "E945")


def test_a_link_to_some_images_shows_no_others(client: httpx2.Client, anybody: httpx2.Client, job: str) -> None:
    every = {name for name in names(anybody.get(link(client, job))) if name.endswith(".tif")}
    some = min(every)
    shown = names(anybody.get(link(client, job, named=some.removesuffix("_labels.tif"))))
    assert {name for name in shown if name.endswith(".tif")} == {some} < every


def test_a_link_to_files_shows_files_and_reports(client: httpx2.Client, anybody: httpx2.Client, job: str) -> None:
    url = link(client, job, what="files")
    for name in ("report.html", "run.json", f"{NAMES[0].removesuffix('.tif')}_labels.tif"):
        there = client.get(f"/api/v1/jobs/{job}/files/{quote(name)}")
        assert anybody.get(url + quote(name)).content == there.content
        assert anybody.head(url + quote(name)).headers["etag"] == there.headers["etag"]
    assert anybody.get(f"{url}run.json", headers={"Range": "bytes=0-0"}).content == b"{"
    for path in (".cellfleet/lock", "%2e%2e/x", "missing"):
        assert anybody.get(url + path).json()["code"] == "E940"


def test_a_link_that_expired_opens_nothing(
    client: httpx2.Client, anybody: httpx2.Client, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped, files = link(client, job, seconds=60), f"{link(client, job, what='files', seconds=60)}run.json"
    assert anybody.get(zipped).status_code == anybody.get(files).status_code == 200
    later = now_ms() + 61_000
    monkeypatch.setattr("cellfleet.service.access._now_ms", lambda: later)
    assert refused(anybody.get(zipped)) and refused(anybody.get(files))


def test_a_link_cannot_be_changed(running: Running, client: httpx2.Client, anybody: httpx2.Client, job: str) -> None:
    url = link(client, job)
    base, token = url.split("/links/")[0] + "/links/", url.split("/links/")[1].split("/")[0]
    other = add_job(client, add_set(running, "ann", ["a.tif"]))
    content, _, signature = token.partition(".")
    forged = link(client, other).split("/links/")[1].split(".")[0]
    changed = [content[:-1] + ("A" if content[-1] != "A" else "B"), forged, content + "A", ""]
    for bad in (*(f"{one}.{signature}" for one in changed), content, f"{content}.", f"{token}x", "x" * 9000, "µ", ".x"):
        assert refused(anybody.get(f"{base}{quote(bad)}/x.zip")), bad
    assert refused(anybody.get(f"{base}{token}/files/run.json")), "a link to a zip opened files"
    to_files = link(client, job, what="files").removesuffix("files/")
    assert refused(anybody.get(f"{to_files}x.zip")), "a link to files opened the zip"


def test_what_was_signed_for_something_else_is_no_link(running: Running, anybody: httpx2.Client, job: str) -> None:
    for payload in ({"job": job}, {"link": "zip"}, {"link": "upload", "job": job}, {"upload": "1"}, {}):
        token = running.service.access.sign(payload, now_ms() + 60_000)
        assert refused(anybody.get(f"/links/{token}/x.zip")), payload


def test_a_link_ends_with_its_job(running: Running, client: httpx2.Client, anybody: httpx2.Client) -> None:
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    url, files = link(client, job), link(client, job, what="files")
    client.post(f"/api/v1/jobs/{job}/cancel")
    client.delete(f"/api/v1/jobs/{job}")
    for address in (url, f"{files}run.json"):
        assert (anybody.get(address).status_code, anybody.get(address).json()["code"]) == (404, "E810")


def test_a_link_leads_where_clients_reach_the_service(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(public_url="https://cells.example.org/fleet/")
    with running_service(tmp_path_factory.mktemp("public"), settings=settings) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local", ["a.tif"]))
        assert link(client, job).startswith("https://cells.example.org/fleet/links/")
        assert link(client, job, what="files").endswith("/files/")
