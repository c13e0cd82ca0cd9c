"""Reading by address: parts on demand, errors in our words, nothing of a secret."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore
from tests.servers import WebServer, self_signed, web_server

from cellfleet.errors import CellfleetError, InputError
from cellfleet.stores import client, range_file, remote
from cellfleet.stores.range_file import BLOCK_BYTES, RangeFile
from cellfleet.stores.remote import list_files, open_remote, read_remote, stat_remote, zarr_store


@pytest.fixture
def web(clean_environment: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRIES", 0)


def _code(caught: pytest.ExceptionInfo[CellfleetError]) -> str:
    return caught.value.code


NOISE = np.random.default_rng(3).bytes(5 * BLOCK_BYTES + 777)

_STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "start", "on", "end"]), st.integers(-3 * BLOCK_BYTES, 6 * BLOCK_BYTES)),
    max_size=30,
)


@given(_STEPS, st.integers(1, 20), st.booleans())
def test_a_remote_file_reads_like_a_local_one(steps: list[tuple[str, int]], kept: int, known_start: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_file, "_KEPT_BLOCKS", kept)
        start = NOISE[:BLOCK_BYTES] if known_start else b""
        here, there = io.BytesIO(NOISE), RangeFile("x", len(NOISE), lambda first, end: NOISE[first:end], start)
        for what, number in steps:
            if what == "read":
                assert here.read(number) == there.read(number)
            else:
                whence = ["start", "on", "end"].index(what)
                target = (0, here.tell(), len(NOISE))[whence] + number
                if target >= 0:
                    assert here.seek(target) == there.seek(number, whence)
            assert here.tell() == there.tell()


def test_small_reads_ask_once_and_straight_reading_asks_ever_more_at_once() -> None:
    asked: list[tuple[int, int]] = []

    def fetch(first: int, end: int) -> bytes:
        asked.append((first // BLOCK_BYTES, -(-end // BLOCK_BYTES)))
        return bytes(end - first)

    file = RangeFile("x", 100 * BLOCK_BYTES, fetch)
    for offset in (50 * BLOCK_BYTES, 50 * BLOCK_BYTES + 9, 50 * BLOCK_BYTES):
        file.seek(offset)
        file.read(100)
    assert asked == [(50, 51)]
    asked.clear()
    file.seek(60 * BLOCK_BYTES)
    while len(file.read(BLOCK_BYTES // 2)) and file.tell() < 80 * BLOCK_BYTES:
        pass
    assert asked == [(60, 61), (61, 63), (63, 67), (67, 75), (75, 83)]
    asked.clear()
    file.seek(0)
    assert len(file.read(90 * BLOCK_BYTES)) == 90 * BLOCK_BYTES
    assert asked == [(0, 90)]


def test_threads_that_share_a_file_get_their_own_bytes_under_a_lock() -> None:
    file, lock, wrong = RangeFile("x", len(NOISE), lambda first, end: NOISE[first:end]), threading.Lock(), []

    def read_many(seed: int) -> None:
        for offset in np.random.default_rng(seed).integers(0, len(NOISE), 200):
            with lock:
                file.seek(int(offset))
                content = file.read(1000)
            if content != NOISE[offset : offset + 1000]:
                wrong.append(offset)

    threads = [threading.Thread(target=read_many, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_tiff_on_a_web_server_is_read_by_parts(web: WebServer) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (3000, 3000), dtype=np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, tile=(512, 512))
    web.files["/day%201/a.tif?signature=abc"] = file.getvalue()
    with open_remote(f"{web.url}/day%201/a.tif?signature=abc") as opened, tifffile.TiffFile(opened) as tiff:
        assert opened.name == f"{web.url}/day%201/a.tif"
        page = tiff.pages.first
        tiff.filehandle.seek(page.dataoffsets[30])
        tiff.filehandle.read(page.databytecounts[30])
        assert len(web.requests) <= 3
        np.testing.assert_array_equal(tiff.asarray(), pixels)
    assert {method for method, _, _ in web.requests} == {"GET"}
    assert all(asked for _, _, asked in web.requests)


def test_size_and_version_come_without_the_file_and_are_asked_by_get(web: WebServer) -> None:
    web.files["/a.tif"] = NOISE
    web.files["/empty.tif"] = b""
    assert (stat_remote(f"{web.url}/a.tif").size, stat_remote(f"{web.url}/empty.tif").size) == (len(NOISE), 0)
    assert [asked for _, _, asked in web.requests] == ["bytes=0-0", "bytes=0-0", ""]
    with open_remote(f"{web.url}/empty.tif") as file:
        assert file.read() == b""


def test_a_server_without_parts_sends_the_file_whole_unless_it_is_large(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/a.tif"], web.ranges = NOISE, False
    assert stat_remote(f"{web.url}/a.tif").size == len(NOISE)
    with open_remote(f"{web.url}/a.tif") as file:
        file.seek(-10, io.SEEK_END)
        assert file.read() == NOISE[-10:]
    monkeypatch.setattr(remote, "LARGEST_WHOLE", len(NOISE) - 1)
    with pytest.raises(InputError, match="no parts") as caught:
        open_remote(f"{web.url}/a.tif")
    assert _code(caught) == "E155"


def test_a_server_that_does_not_tell_the_length_is_refused(web: WebServer) -> None:
    web.files["/a.tif"], web.ranges, web.lengths = NOISE, False, False
    for ask in (open_remote, stat_remote, read_remote):
        with pytest.raises(InputError, match="length") as caught:
            ask(f"{web.url}/a.tif")
        assert _code(caught) == "E155"


def test_a_redirect_is_followed(web: WebServer) -> None:
    web.files["/real"] = NOISE
    web.moved["/a"] = "/real"
    with open_remote(f"{web.url}/a") as file:
        assert file.read() == NOISE


@pytest.mark.parametrize(
    ("status", "code"), [(401, "E152"), (403, "E152"), (404, "E151"), (410, "E159"), (429, "E153"), (503, "E153")]
)
@pytest.mark.usefixtures("impatient")
def test_a_refusal_becomes_a_code_an_action_and_tells_no_secret(web: WebServer, status: int, code: str) -> None:
    web.status = status
    for ask in (open_remote, stat_remote, read_remote):
        with pytest.raises(InputError) as caught:
            ask(f"{web.url}/a.tif?signature=SECRET")
        assert (_code(caught), caught.value.where) == (code, f"{web.url}/a.tif")
        assert caught.value.action
        assert "SECRET" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_told(web: WebServer) -> None:
    with pytest.raises(InputError, match="cannot be reached") as caught:
        open_remote("http://127.0.0.1:1/a.tif")
    assert _code(caught) == "E153"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_only_trusted_certificates_are_accepted(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    certificate = self_signed(tmp_path)
    with web_server(certificate=certificate) as web:
        web.files["/a.tif"] = NOISE
        with pytest.raises(InputError, match="certificate") as caught:
            open_remote(f"{web.url}/a.tif")
        assert _code(caught) == "E153"
        clean_environment.setenv(variable, str(certificate[0]))
        with open_remote(f"{web.url}/a.tif") as file:
            assert file.read() == NOISE


def test_a_file_that_is_read_whole_has_a_limit(web: WebServer, tmp_path: Path) -> None:
    web.files["/zarr.json"] = b"{}  "
    (tmp_path / "zarr.json").write_bytes(b"{}  ")
    for url in (f"{web.url}/zarr.json", (tmp_path / "zarr.json").as_uri()):
        assert read_remote(url, limit=4) == b"{}  "
        with pytest.raises(InputError) as caught:
            read_remote(url, limit=3)
        assert _code(caught) == "E156"


def test_a_zarr_on_a_web_server_is_read(web: WebServer, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(20, 20), chunks=(10, 10), dtype="u2")
    array[:] = np.arange(400).reshape(20, 20)
    for path in (tmp_path / "a.zarr").rglob("*"):
        if path.is_file():
            web.files[f"/x/{path.relative_to(tmp_path).as_posix()}"] = path.read_bytes()
    for where in (f"{web.url}/x/a.zarr", f"{web.url}/x/a.zarr/", tmp_path / "a.zarr", (tmp_path / "a.zarr").as_uri()):
        opened = zarr.open_array(zarr_store(where), mode="r")
        np.testing.assert_array_equal(opened[5:15, 5:15], array[5:15, 5:15])
    assert all(path.startswith("/x/a.zarr/") for _, path, _ in web.requests)


def test_a_web_address_is_no_folder(web: WebServer) -> None:
    with pytest.raises(InputError, match="lists no folders") as caught:
        list(list_files(f"{web.url}/day1/?secret"))
    assert (_code(caught), web.requests) == ("E154", [])
    assert "secret" not in str(caught.value)


def test_a_file_address_is_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "day 1" / "z.zarr").mkdir(parents=True)
    (tmp_path / "day 1" / "ä.tif").write_bytes(NOISE)
    (tmp_path / "day 1" / "z.zarr" / "zarr.json").write_bytes(b"{}")
    found = sorted(list_files(tmp_path.as_uri(), closed=lambda name: name.endswith(".zarr")))
    assert [(file.url.removeprefix(tmp_path.as_uri()), file.size) for file in found] == [
        ("/day%201/%C3%A4.tif", len(NOISE)),
        ("/day%201/z.zarr/", 0),
    ]
    with open_remote((tmp_path / "day 1" / "ä.tif").as_uri()) as file:
        assert file.read() == NOISE
    with pytest.raises(InputError, match="E151"):
        stat_remote((tmp_path / "missing").as_uri())


_KEYS = st.lists(st.lists(st.sampled_from(["a", "b.z", "b.z0", "c", "~d.z", "é"]), min_size=1, max_size=4), max_size=25)


@given(_KEYS, st.sampled_from(["", "a", "b.z", "a/b.z"]), st.integers(1, 4))
def test_listing_shows_every_file_once_and_never_into_a_closed_folder(
    paths: list[list[str]], prefix: str, page: int
) -> None:
    """Against obstore's store in memory, which lists in order and page by page as S3 does."""
    store = MemoryStore()
    keys = {"/".join([*path, "x"]) for path in paths}
    for key in keys:
        store.put(key, b"1")
    expected = set()
    for key in keys:
        if key.startswith(f"{prefix}/" if prefix else ""):
            parts = key[len(prefix) :].strip("/").split("/")
            shut = next((number for number, part in enumerate(parts[:-1]) if part.endswith(".z")), None)
            inside = "/".join(parts) if shut is None else "/".join(parts[: shut + 1]) + "/"
            expected.add("s3://bucket/" + (f"{prefix}/" if prefix else "") + inside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "connect", lambda address: store)
        patch.setattr(remote, "_PAGE", page)
        address = f"s3://bucket/{prefix}" if prefix else "s3://bucket"
        found = [file.url for file in list_files(address, closed=lambda name: name.endswith(".z"))]
    assert len(found) == len(set(found))
    assert set(found) == expected
