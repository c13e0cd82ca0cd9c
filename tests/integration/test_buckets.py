"""Results in buckets and images from them, against real S3 servers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from tests.servers import S3

from cellfleet.errors import InputError, OutputError
from cellfleet.stores import bucket as bucket_module
from cellfleet.stores import client
from cellfleet.stores.place import Place, open_place
from cellfleet.stores.remote import list_files, open_remote, read_remote, stat_remote, zarr_store

pytestmark = pytest.mark.slow


@pytest.fixture
def place(bucket: str) -> Place:
    return open_place(f"{bucket}/runs/día 1")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """S3's smallest part, so that little is enough for an upload in parts."""
    monkeypatch.setattr(bucket_module, "PART_BYTES", 5 << 20)
    return 5 << 20


def test_what_is_written_is_found_read_listed_and_removed(place: Place) -> None:
    assert list(place.names()) == []
    place.write("plate/ä b#%20?.csv", b"1,2")
    with place.replacing("plate/a_labels.tif") as temporary:
        temporary.write_bytes(b"pixels")
        assert not place.exists("plate/a_labels.tif")
    assert sorted(place.names()) == ["plate/a_labels.tif", "plate/ä b#%20?.csv"]
    assert list(place.names("plate")) == list(place.names("plate/")) == sorted(place.names())
    assert list(place.names("pla")) == []
    assert (place.read("plate/ä b#%20?.csv"), place.size("plate/a_labels.tif")) == (b"1,2", 6)
    assert (place.read("plate"), place.size("plate"), place.exists("missing")) == (None, None, False)
    for name in ("plate/ä b#%20?.csv", "missing", "plate"):
        place.remove(name)
    assert list(place.names()) == []


def test_a_part_of_an_object_comes_with_its_size_and_version(place: Place) -> None:
    place.write("plate/ä b.csv", b"0123456789")
    place.write("empty", b"")
    whole = place.read_range("plate/ä b.csv", 0, 100)
    assert whole is not None and (whole.content, whole.size) == (b"0123456789", 10)
    cases = [
        ((2, 5), b"234"),
        ((8, 100), b"89"),
        ((10, 12), b""),
        ((50, 1 << 60), b""),
        ((1 << 60, 1 << 61), b""),
        ((0, 0), b""),
        ((4, 4), b""),
    ]
    for (start, stop), content in cases:
        assert place.read_range("plate/ä b.csv", start, stop, version=whole.version) == (content, 10, whole.version)
    empty = place.read_range("empty", 0, 10)
    assert empty is not None and (empty.content, empty.size) == (b"", 0)
    assert [place.read_range(name, 0, 10) for name in ("missing", "plate")] == [None, None]
    place.write("plate/ä b.csv", b"abcdefghij")
    with pytest.raises(OutputError, match="E325"):
        place.read_range("plate/ä b.csv", 5, 10, version=whole.version)


def test_a_tree_is_whole_or_not_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for fill in (1, 2):
        with place.replacing_tree("a.ome.zarr") as folder:
            group = zarr.open_group(folder, mode="w")
            group.create_array("labels/0", shape=(40, 40), chunks=(10, 10), dtype="u4", fill_value=0)[:] = fill
            if fill == 2:
                (folder / "labels" / "0" / "c" / "1" / "1").unlink()
        assert place.exists("a.ome.zarr")
    stored = zarr.open_array(zarr_store(f"{place.url}/a.ome.zarr/labels/0"), mode="r")
    assert stored[15, 15] == 0, "a chunk of the older tree came through"
    assert (stored[:10] == 2).all()

    upload = bucket_module.BucketPlace._upload
    uploaded: list[str] = []

    def fail_at_last(self: bucket_module.BucketPlace, path: Path, name: str) -> None:
        if name == "a.ome.zarr/zarr.json":
            raise OutputError("E323", "the server cannot be reached")
        upload(self, path, name)
        uploaded.append(name)

    monkeypatch.setattr(bucket_module.BucketPlace, "_upload", fail_at_last)
    with pytest.raises(OutputError), place.replacing_tree("a.ome.zarr") as folder:
        zarr.open_group(folder, mode="w").create_array("labels/0", shape=(40, 40), chunks=(10, 10), dtype="u4")[:] = 3
    assert not place.exists("a.ome.zarr")
    assert [name.rpartition("/")[2] for name in uploaded[-2:]] == ["zarr.json", "zarr.json"]
    place.remove("a.ome.zarr")
    assert list(place.names()) == []


def test_an_object_stays_until_the_new_one_is_whole_and_when_that_fails(place: Place) -> None:
    place.write("a.csv", b"old")

    def write_half() -> None:
        with place.replacing("a.csv") as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    with pytest.raises(OutputError, match="E305"), place.replacing("a.csv"):
        pass  # nothing was written
    assert place.read("a.csv") == b"old"


def test_of_two_writers_of_one_name_one_whole_object_stays(place: Place, small_parts: int) -> None:
    contents = [bytes([number]) * (2 * small_parts + 1000) for number in (1, 2)]
    start = threading.Barrier(2)

    def write(content: bytes) -> None:
        with place.replacing("a.tif") as temporary:
            temporary.write_bytes(content)
            start.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, contents))
    assert place.read("a.tif") in contents


def test_of_many_that_create_a_name_one_wins_and_its_content_stands(place: Place) -> None:
    start = threading.Barrier(8)

    def claim(number: int) -> bool:
        start.wait()
        return place.create("claims/0", bytes([number]))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(claim, range(8)))
    assert [bytes([number]) for number in range(8) if won[number]] == [place.read("claims/0")]


_UPLOAD = """
import sys
from cellfleet.stores import bucket
bucket.PART_BYTES, bucket._PARTS_AT_ONCE = 5 << 20, 1
with bucket.BucketPlace(sys.argv[1]).replacing("a.tif") as temporary:
    with temporary.open("wb") as file:
        file.truncate(40 * (5 << 20))
"""


def test_a_process_killed_while_it_uploads_leaves_no_object(
    place: Place, moto: S3, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("TMPDIR", str(tmp_path))
    name = place.url.removeprefix("s3://").partition("/")[0]
    with subprocess.Popen([sys.executable, "-c", _UPLOAD, place.url]) as process:
        deadline = time.monotonic() + 60
        while not _parts(moto, name):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
    assert 0 < _parts(moto, name) < 40
    assert not place.exists("a.tif")
    assert list(place.names()) == []
    clean_environment.setattr(tempfile, "tempdir", str(tmp_path))
    assert [path.name[:11] for path in tmp_path.iterdir()] == [".cellfleet-"]
    assert place.sweep() == 1
    assert list(tmp_path.iterdir()) == []


def _parts(moto: S3, name: str) -> int:
    """Number of parts that have arrived of the upload under way."""
    s3 = moto.client
    return sum(
        len(s3.list_parts(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", ()))
        for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", ())
    )


def test_more_objects_than_a_page_holds_are_listed_and_removed(place: Place, bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: place.write(f"b.zarr/c/{number}", b""), range(1001)))
    place.write("a.tif", b"1")
    place.write("c.tif", b"1")
    assert len(list(place.names())) == 1003
    assert len(list(list_files(bucket))) == 1003
    found = [file.url for file in list_files(bucket, closed=lambda name: name.endswith(".zarr"))]
    assert found == [f"{place.url}/a.tif", f"{place.url}/b.zarr/", f"{place.url}/c.tif"]
    place.remove("b.zarr")
    assert sorted(place.names()) == ["a.tif", "c.tif"]


def test_a_tiff_in_a_bucket_is_read_by_parts(place: Place) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (3000, 3000), dtype=np.uint16)
    with place.replacing("a.tif") as temporary:
        tifffile.imwrite(temporary, pixels, tile=(512, 512), compression="zlib")
    url = f"{place.url}/a.tif"
    with open_remote(url) as file, tifffile.TiffFile(file) as tiff:
        np.testing.assert_array_equal(tiff.asarray(maxworkers=4), pixels)
    described = stat_remote(url)
    assert (described.url, described.size) == (url, place.size("a.tif"))
    assert described.etag
    assert list(list_files(f"{place.url}/")) == [described]


def test_a_file_that_changes_while_it_is_read_is_noticed(place: Place) -> None:
    place.write("a.tif", bytes(3 << 20))
    with open_remote(f"{place.url}/a.tif") as file:
        file.read(10)
        place.write("a.tif", bytes(4 << 20))
        file.seek(2 << 20)
        with pytest.raises(InputError, match="E158"):
            file.read(10)


def test_an_empty_object_is_an_empty_file(place: Place) -> None:
    place.write("empty.tif", b"")
    with open_remote(f"{place.url}/empty.tif") as file:
        assert file.read() == b""


def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:
    missing = "s3://no-such-bucket-here"
    with pytest.raises(OutputError, match="no such bucket") as caught:
        open_place(missing).write("a", b"")
    assert caught.value.code == "E321"
    with pytest.raises(OutputError, match="E321"):
        open_place(missing).read("run.json")
    with pytest.raises(OutputError, match="E321"):
        list(open_place(missing).names())
    for read in (lambda: read_remote(f"{missing}/a"), lambda: list(list_files(missing))):
        with pytest.raises(InputError, match="no such bucket"):
            read()
    with pytest.raises(InputError, match="nothing of this name"):
        open_remote(f"{bucket}/a.tif")


def test_a_wrong_secret_is_told_and_never_shown(nanio: S3, clean_environment: pytest.MonkeyPatch) -> None:
    for name, value in nanio.environment.items():
        clean_environment.setenv(name, value)
    address = f"s3://{nanio.new_bucket()}"
    place = open_place(address)
    place.write("a.csv", b"1")
    assert place.read("a.csv") == b"1"

    clean_environment.setenv("AWS_SECRET_ACCESS_KEY", "WRONG-SECRET")
    _refused(place, "refuses the credentials (SignatureDoesNotMatch)")
    clean_environment.setenv("AWS_ACCESS_KEY_ID", "WRONG-KEY")
    _refused(place, "refuses the credentials (InvalidAccessKeyId)")
    clean_environment.delenv("AWS_ACCESS_KEY_ID")
    clean_environment.delenv("AWS_SECRET_ACCESS_KEY")
    _refused(place, "wants credentials")


def _refused(place: Place, what: str) -> None:
    for ask in (
        lambda: place.write("b.csv", b""),
        lambda: place.read("a.csv"),
        lambda: list(place.names()),
        lambda: place.create("b.csv", b""),
        lambda: open_remote(f"{place.url}/a.csv"),
        lambda: list(list_files(place.url)),
    ):
        with pytest.raises((OutputError, InputError)) as caught:
            ask()
        assert what in caught.value.what
        assert caught.value.code in {"E322", "E152"}
        assert caught.value.action
        assert "WRONG" not in str(caught.value)


def test_keys_of_a_profile_are_used(nanio: S3, clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys, address = nanio.environment, f"s3://{nanio.new_bucket()}/out"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n\n[lab]\n"
        f"aws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (tmp_path / ".aws" / "config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {nanio.endpoint}\n")
    clean_environment.setenv("AWS_PROFILE", "lab")
    place = open_place(address)
    place.write("a.csv", b"1")
    assert place.read("a.csv") == b"1"


def test_a_server_that_is_not_there_is_told(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setattr(client, "RETRIES", 0)
    clean_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(OutputError, match="cannot be reached") as caught:
        open_place("s3://bucket/out").write("a", b"")
    assert caught.value.code == "E323"
