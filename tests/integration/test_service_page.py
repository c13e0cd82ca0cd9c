"""The document of the web page, whom its policy lets it talk to, and its scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.servers import S3
from tests.services import running_service

from cellfleet.service.routes import page
from cellfleet.stores.place import BucketPlace, Place


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of one line, instead of the built one."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text('<script nonce="__NONCE__"></script>', encoding="utf-8")
    monkeypatch.setattr(page, "FOLDER", folder)
    return folder


def _connect_sources(folder: Path, store: Place | None = None) -> list[str]:
    with running_service(folder, store=store) as running:
        policy = running.client().get("/").headers["Content-Security-Policy"]
    found = re.search(r"connect-src ([^;]*);", policy)
    assert found is not None
    return found[1].split()


@pytest.mark.usefixtures("built")
def test_the_page_talks_to_its_service_alone(tmp_path: Path) -> None:
    assert _connect_sources(tmp_path) == ["'self'"]


@pytest.mark.usefixtures("built")
def test_at_an_address_that_is_none_people_get_a_page_and_programs_an_error(tmp_path: Path) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    with running_service(tmp_path) as running:
        client = running.client()
        answers = {path: client.get(path, headers=browser) for path in ("/nowhere", "/api/v1/nowhere", "/assets/x.js")}
        told = client.get("/nowhere")
        posted = client.post("/nowhere", headers=browser)
    page_of_it = answers["/nowhere"]
    assert (page_of_it.status_code, "<script nonce=" in page_of_it.text) == (404, True)
    assert "script-src 'self'" in page_of_it.headers["Content-Security-Policy"]
    assert (answers["/api/v1/nowhere"].status_code, answers["/api/v1/nowhere"].json()["code"]) == (404, "E900")
    assert answers["/assets/x.js"].headers["Content-Type"].startswith("text/plain")
    assert [answer.json()["code"] for answer in (told, posted)] == ["E900", "E900"]


@pytest.mark.usefixtures("built")
def test_where_files_go_straight_to_a_bucket_the_page_may_talk_to_its_server_and_to_nobody_else(
    bucket: str, moto: S3, tmp_path: Path
) -> None:
    assert _connect_sources(tmp_path, BucketPlace(f"{bucket}/cells")) == ["'self'", moto.endpoint]


@pytest.mark.usefixtures("built")
def test_without_an_endpoint_of_ones_own_it_is_the_buckets_name_at_amazon(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    from cellfleet.service import direct_uploads

    names = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-north-1"}
    for name, value in names.items():
        clean_environment.setenv(name, value)
    assert direct_uploads.server(BucketPlace("s3://cells/x")) == "https://cells.s3.eu-north-1.amazonaws.com"


def test_a_bucket_that_nothing_can_be_signed_for_opens_nothing(clean_environment: pytest.MonkeyPatch) -> None:
    from cellfleet.service import direct_uploads

    clean_environment.setenv("AWS_SKIP_SIGNATURE", "true")
    assert direct_uploads.server(BucketPlace("s3://cells/x")) is None
    assert direct_uploads.server(BucketPlace("gs://cells/x")) is None


def test_scripts_are_packed_for_browsers_that_unpack_them(built: Path, tmp_path: Path) -> None:
    script = "export const words = 'the same again and again';\n" * 200
    (built / "assets").mkdir()
    (built / "assets" / "index-1.js").write_text(script, encoding="utf-8")
    with running_service(tmp_path) as running:
        client = running.client()
        packed = client.get("/assets/index-1.js", headers={"Accept-Encoding": "gzip"})
        plain = client.get("/assets/index-1.js", headers={"Accept-Encoding": "identity"})
    assert packed.text == plain.text == script
    assert packed.headers["Content-Encoding"] == "gzip" and int(packed.headers["Content-Length"]) < len(script) / 10
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
