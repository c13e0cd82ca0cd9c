"""An input is known again by its content, whatever its time of change; any change of content is noticed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from cellfleet.errors import InputError
from cellfleet.images import identity
from cellfleet.images.identity import identify, input_path, unchanged
from cellfleet.images.source import Source
from cellfleet.stores.remote import RemoteFile


def source(path: Path, inside: str = "") -> Source:
    return Source(str(path), path.name, inside)


def test_only_the_content_of_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"12345678")
    known = identify(source(path))
    assert (known.size_bytes, known.hashed, known.path) == (8, "content", str(path))
    assert unchanged(source(path), known)
    os.utime(path, (1, 1))
    assert unchanged(source(path), known)
    path.write_bytes(b"87654321")
    assert not unchanged(source(path), known)
    path.write_bytes(b"1234567")
    os.utime(path, ns=(known.mtime_ns, known.mtime_ns))
    assert not unchanged(source(path), known)


def test_a_large_file_is_known_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LARGEST_HASHED_WHOLE", 1000)
    monkeypatch.setattr(identity, "SAMPLE_BYTES", 10)
    path = tmp_path / "a.tif"
    data = bytearray(os.urandom(66_000))
    path.write_bytes(data)
    known = identify(source(path))
    assert known.hashed == "sample"
    os.utime(path, (1, 1))
    assert unchanged(source(path), known)
    for place in (0, 65_999, 65_990 // 65 * 30 + 15):  # first, last, a sample between
        changed = data.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        assert not unchanged(source(path), known)


def test_a_zarr_folder_is_known_by_its_listing_and_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    (folder / "0").mkdir(parents=True)
    (folder / "zarr.json").write_text("{}")
    (folder / "0" / "chunk").write_bytes(b"1234")
    known = identify(source(folder))
    assert (known.size_bytes, known.hashed) == (6, "listing")
    assert unchanged(source(folder), known)
    times = (folder / "zarr.json").stat().st_mtime_ns
    (folder / "zarr.json").write_text("[]")
    os.utime(folder / "zarr.json", ns=(times, times))
    assert not unchanged(source(folder), known)
    (folder / "zarr.json").write_text("{}")
    os.utime(folder / "zarr.json", ns=(times, times))
    assert unchanged(source(folder), known)
    (folder / "0" / "chunk").rename(folder / "0" / "other")
    assert not unchanged(source(folder), known)


def test_a_member_of_an_archive_is_known_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"

    def write(**members: bytes) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)

    write(a=b"12345678")
    known = identify(source(path, "a"))
    assert (known.path, known.size_bytes, known.hashed) == (f"{path}/a", 8, "listing")
    write(b=b"other", a=b"12345678")
    assert unchanged(source(path, "a"), known)
    write(b=b"other", a=b"12345679")
    assert not unchanged(source(path, "a"), known)


def test_a_file_at_an_address_is_known_by_size_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter([(5, "one"), (5, "one"), (5, "two"), (6, "one")])
    monkeypatch.setattr(identity, "stat_remote", lambda url: RemoteFile(url, *next(versions)))
    remote = Source("https://server.example/a.tif?sig=secret", "a.tif")
    known = identify(remote)
    assert known.path == "https://server.example/a.tif"
    assert [unchanged(remote, known) for _ in range(3)] == [True, False, False]


def test_a_zarr_folder_in_a_bucket_is_known_by_its_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [RemoteFile("s3://b/a.zarr/0", 5, "1"), RemoteFile("s3://b/a.zarr/zarr.json", 2, "1")]
    monkeypatch.setattr(identity, "list_files", lambda url: iter(files))
    remote = Source("s3://b/a.zarr", "a.zarr")
    known = identify(remote)
    files.reverse()
    assert unchanged(remote, known)
    files[0] = RemoteFile(files[0].url, 2, "2")
    assert not unchanged(remote, known)


@pytest.mark.parametrize("name", ["a.tif", "a.zip", "a.nd2"])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: cannot be opened: it is not there any more.*\[E104\]"):
        identify(source(tmp_path / name))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(InputError, match="it is a device or pipe"):
        identify(source(tmp_path / "a.tif"))


def test_paths_can_stand_in_json(tmp_path: Path) -> None:
    shown = input_path(Source(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.tif"), "x"))
    assert shown == f"{tmp_path}/caf%E9%0A.tif"
