"""Uploads of kiosk clients: whole or not at all, within the user's room, however the body is cut into pieces."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services import Running, running_service, wait_until

from cellfleet.errors import ServiceError
from cellfleet.service.access import User
from cellfleet.service.kiosk_upload import receive
from cellfleet.service.state import Settings
from cellfleet.spec.access import Quota

ANN = User("ann", "user", Quota(bytes=5000))
TYPE = "multipart/form-data; boundary=edge"


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login that takes uploads of up to 100 kB."""
    settings = Settings(kiosk_user="local", largest_upload=100_000)
    with running_service(tmp_path_factory.mktemp("kiosk"), settings=settings) as running:
        yield running


def form(content: bytes, name: str = "a.png", *, field: str = "file") -> bytes:
    """Return a body with one file."""
    head = f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--edge--\r\n"


def received(kiosk: Running, body: bytes, cuts: list[int]) -> tuple[str, str]:
    """Take in a body that arrives in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        ends = sorted({cut % len(body) for cut in cuts} | {len(body)})
        for start, stop in zip([0, *ends], ends, strict=False):
            yield body[start:stop]

    return asyncio.run(receive(kiosk.service, ANN, TYPE, len(body), pieces()))


def kept(kiosk: Running) -> tuple[set[str], set[str], int]:
    """Return what is stored of uploads, and how much counts as ann's."""
    return set(kiosk.store.names("uploads")), set(kiosk.store.names("sets")), kiosk.service.ledger.used("ann")


@given(st.binary(max_size=300) | st.just(b"\r\n--edge\r\n--edg" * 5), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_file_arrives_as_it_was_sent_however_it_is_cut(kiosk: Running, content: bytes, cuts: list[int]) -> None:
    if b"\r\n--edge" in content:
        content = content.replace(b"--edge", b"--edgf")
    before = kiosk.service.ledger.used("ann")
    made, name = received(kiosk, form(content), cuts)
    try:
        assert kiosk.store.read(f"uploads/{made}/a.png") == content
        assert name == f"uploads/{made}.png"
        assert kiosk.service.ledger.used("ann") - before == len(content)
    finally:
        kiosk.service.ledger.give_back("ann", len(content))


def test_other_fields_of_the_form_are_passed_over(kiosk: Running) -> None:
    other = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"x" * 2000 + b"\r\n"
    made, _ = received(kiosk, other + form(b"pixels"), [])
    assert kiosk.store.read(f"uploads/{made}/a.png") == b"pixels"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(b"pixels")[:-15], "E956"),
        (form(b"pixels")[:60], "E956"),
        (form(b"pixels")[:-4].replace(b"--edge--", b"--edge") + b"\r\n" + form(b"more", "b.png")[8:], "E956"),
        (form(b"pixels", field="image"), "E956"),
        (form(b"x" * 6000), "E926"),
    ],
    ids=["cut in the file", "cut in the head", "two files", "other field", "more than the quota"],
)
def test_what_cannot_be_taken_in_leaves_nothing(kiosk: Running, body: bytes, code: str) -> None:
    before = kept(kiosk)
    with pytest.raises(ServiceError) as caught:
        received(kiosk, body, [10, 70, 100])
    assert caught.value.code == code
    assert kept(kiosk) == before


def test_the_size_is_refused_before_the_file_is_read(kiosk: Running) -> None:
    before = kept(kiosk)
    answer = kiosk.client().post("/api/upload", files={"file": ("a.png", b"x" * 100_001)})
    assert (answer.status_code, answer.json()["code"]) == (413, "E926")
    assert kept(kiosk) == before


def test_an_upload_without_a_length_is_refused(kiosk: Running) -> None:
    answer = kiosk.client().post("/api/upload", content=iter([form(b"pixels")]), headers={"Content-Type": TYPE})
    assert (answer.status_code, answer.json()["code"]) == (411, "E956")


def test_a_client_that_vanishes_leaves_nothing(kiosk: Running) -> None:
    before = kept(kiosk)
    host, port = kiosk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\nContent-Length: 90000\r\n\r\n"
        # Enough that a piece of it is handed on.
        connection.sendall(head.encode() + form(os.urandom(70_000))[:-12])
        wait_until(lambda: kiosk.service.ledger.used("local") == 90_000, "the upload begins")
    wait_until(lambda: kiosk.service.ledger.used("local") == 0, "the upload ends")
    wait_until(lambda: kept(kiosk) == before, "nothing of it is left")


def test_who_may_only_look_uploads_and_asks_for_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_service(tmp_path_factory.mktemp("login"), login=True) as running:
        base = f"/kiosk/{running.token('ann', 'viewer')}/api"
        client = running.client()
        for answer in (
            client.post(f"{base}/upload", files={"file": ("a.png", b"pixels")}),
            client.post(f"{base}/predict", json={"jobType": "segmentation", "imageName": "a.png"}),
            client.post(f"{base}/redis/expire", json={"hash": "x"}),
        ):
            assert answer.status_code == 403, answer.text
        assert list(running.store.names("uploads")) == []
