"""Members of a zip in a bucket are read where they are: with one request each, and nothing between them."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator

import pytest
from tests.servers import S3
from tests.traffic import Traffic, counted

from cellfleet.errors import InputError
from cellfleet.images import archive
from cellfleet.images.archive import list_members, member_checksum, member_content

pytestmark = pytest.mark.slow
KINDS = pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])


@pytest.fixture
def traffic(moto: S3, clean_environment: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """A real S3 server whose requests are counted, and that the environment gives access to."""
    with counted(moto.endpoint) as traffic:
        for name, value in traffic.server.environment.items():
            clean_environment.setenv(name, value)
        yield traffic


def packed(members: dict[str, bytes], kind: int) -> bytes:
    """Return a zip."""
    with zipfile.ZipFile(content := io.BytesIO(), "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()


def put(traffic: Traffic, content: bytes, name: str = "plate.zip", bucket: str = "") -> str:
    """Write an object; return its address."""
    bucket = bucket or traffic.server.new_bucket()
    traffic.server.client.put_object(Bucket=bucket, Key=name, Body=content)
    return f"s3://{bucket}/{name}"


def members(count: int, size: int) -> dict[str, bytes]:
    """Return so many files of random bytes."""
    source = random.Random(0)
    return {f"well A{number}, µ 🦠.tif": source.randbytes(size) for number in range(count)}


@KINDS
def test_each_member_costs_one_request_and_its_own_bytes(traffic: Traffic, kind: int) -> None:
    wanted = members(20, 100_000)
    content = packed(wanted, kind)
    url = put(traffic, content)
    assert sorted(list_members(url)) == sorted(wanted)
    traffic.requests.clear()
    for name, data in wanted.items():
        assert member_checksum(url, name)[0] == len(data)
        member = member_content(url, name, name)
        with member.open() as file:
            assert file.read() == data
    reads = [moved for moved in traffic.requests if moved.method == "GET"]
    assert len(reads) == len(wanted)
    assert sum(moved.down for moved in reads) <= len(content)
    assert len(traffic.requests) < 2 * len(wanted), "the server is not asked for every member whether all has changed"


@KINDS
def test_a_large_member_is_read_by_parts(traffic: Traffic, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_AT_ONCE", 50_000)
    wanted = members(2, 100_000)
    url = put(traffic, packed(wanted, kind))
    for name, data in wanted.items():
        member = member_content(url, name, name)
        with member.open() as file:
            assert file.read() == data


@KINDS
def test_an_archive_that_changed_is_noticed(traffic: Traffic, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = members(2, 1000)
    url = put(traffic, packed(wanted, kind))
    name = list_members(url)[0]
    late = member_content(url, name, name)
    put(traffic, packed(members(3, 1000), kind), bucket=url.split("/")[2])
    with pytest.raises(InputError) as caught:
        late.open()
    assert caught.value.code == "E158"
    # After the moment for which an answer is believed.
    monkeypatch.setattr(archive, "_BELIEVED_SECONDS", 1e9)
    assert len(list_members(url)) == 3


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_lie_over_each_other_or_are_damaged_are_errors(traffic: Traffic, kind: int) -> None:
    wanted = members(2, 5000)
    content = bytearray(packed(wanted, kind))
    content[: len(b"PK\x03\x04")] = b"none"
    url = put(traffic, bytes(content))
    name = next(iter(wanted))
    with pytest.raises(InputError) as caught:
        member_content(url, name, name).open()
    assert caught.value.code == "E106"
