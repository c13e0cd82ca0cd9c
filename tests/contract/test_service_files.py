"""Result files over HTTP: whole, by range, unchanged; and that nothing else of the machine is to be had."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2
import numpy as np
import pytest
import zarr
from tests.services import Running, running_service
from tests.worked import add_job, add_set, labels_of, work_off

from cellfleet.service import files
from cellfleet.stores.place import Place, open_place
from cellfleet.stores.remote import zarr_store

NAME = "plate/A1, field µ 🦠_labels.tif"
CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


@pytest.fixture(scope="module")
def job(running: Running) -> str:
    return add_job(running.client("ann"), add_set(running, "ann", ["a.tif"]))


@pytest.fixture
def place(running: Running, job: str) -> Place:
    """The results of the job, with one file."""
    place = running.service.desk.results(job)
    place.write(NAME, CONTENT)
    return place


@pytest.fixture
def get(running: Running, job: str) -> Iterator[httpx2.Client]:
    """A client whose addresses are relative to the results."""
    token = running.token("ann")
    base = f"{running.url}/api/v1/jobs/{job}/files/"
    with httpx2.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """So that little is enough for an answer in pieces."""
    monkeypatch.setattr(files, "PIECE_BYTES", 1000)
    return 1000


def check_ranges(client: httpx2.Client, name: str, content: bytes) -> None:
    """Ask for a file in every way and compare with its content."""
    path, size = quote(name), len(content)
    whole = client.get(path)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, content, "bytes")
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))
    tag = whole.headers["etag"]
    assert tag == head.headers["etag"] and tag.startswith('"')
    for asked, part in {
        "bytes=0-0": slice(0, 1),
        "bytes=10-19": slice(10, 20),
        "bytes=500-3600": slice(500, 3601),
        f"bytes={size - 1}-": slice(size - 1, size),
        "bytes=0-": slice(0, size),
        f"bytes=100-{size + 100}": slice(100, size),
        "bytes=-7": slice(size - 7, size),
        "BYTES=-99999999": slice(0, size),
    }.items():
        answer = client.get(path, headers={"Range": asked})
        first, stop, _ = part.indices(size)
        assert (answer.status_code, answer.content) == (206, content[part]), asked
        assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{size}", asked
        assert (answer.headers["content-length"], answer.headers["etag"]) == (str(stop - first), tag), asked
    for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0", "bytes=9" + "9" * 16 + "-"):
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}"), asked
        assert answer.json()["code"] == "E941"
    for asked in ("bytes=5-2", "bytes=a-b", "bytes=-", "bytes=0-1,5-6", "lines=0-1", "bytes=0-" + "9" * 5000, ""):
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, content), asked
    for given, status in ((tag, 304), (f'"x", W/{tag}', 304), ("*", 304), ('"other"', 200)):
        for method in ("GET", "HEAD"):
            answer = client.request(method, path, headers={"If-None-Match": given})
            assert (answer.status_code, answer.headers["etag"]) == (status, tag), given
    for given, status in ((tag, 206), (f"W/{tag}", 200), ('"other"', 200), ("Sun, 22 Nov 2026 22:00:00 GMT", 200)):
        answer = client.get(path, headers={"Range": "bytes=5-8", "If-Range": given})
        assert (answer.status_code, answer.content) == (status, content[5:9] if status == 206 else content), given


def test_a_file_is_sent_whole_by_range_or_not_again(place: Place, get: httpx2.Client) -> None:
    check_ranges(get, NAME, CONTENT)


def test_a_file_is_sent_in_pieces(place: Place, get: httpx2.Client, small_pieces: int) -> None:
    check_ranges(get, NAME, CONTENT)


def test_a_file_that_was_replaced_has_another_etag(place: Place, get: httpx2.Client) -> None:
    tag = get.get(quote(NAME)).headers["etag"]
    place.write(NAME, CONTENT[::-1])
    again = get.get(quote(NAME), headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (200, CONTENT[::-1])


def test_a_file_that_is_replaced_while_it_is_sent_is_not_sent_mixed(
    place: Place, get: httpx2.Client, small_pieces: int
) -> None:
    content = bytes(8 << 20)
    place.write("large.tif", content)
    with get.stream("GET", "large.tif") as answer:
        pieces = answer.iter_raw(1000)
        next(pieces)
        place.write("large.tif", content)
        with pytest.raises(httpx2.TransportError):
            list(pieces)


def test_a_chunk_that_is_not_there_is_no_error_for_who_says_so(get: httpx2.Client) -> None:
    assert get.get("a.ome.zarr/0/c/0/0").status_code == 404
    answer = get.get("a.ome.zarr/0/c/0/0", params={"missing": "204"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert get.get("../../other/files/a", params={"missing": "204"}).status_code == 404


def test_an_empty_file_is_sent(place: Place, get: httpx2.Client) -> None:
    place.write("empty.csv", b"")
    assert (get.get("empty.csv").status_code, get.get("empty.csv").content) == (200, b"")
    assert get.get("empty.csv", headers={"Range": "bytes=0-"}).status_code == 416


@pytest.mark.parametrize(
    ("name", "media", "how"),
    [
        ("a_labels.tif", "image/tiff", "attachment"),
        ("a_cells.csv", "text/csv; charset=utf-8", "inline"),
        ("a_cells.parquet", "application/vnd.apache.parquet", "attachment"),
        ("report.html", "text/html; charset=utf-8", "inline"),
        ("run.json", "application/json", "inline"),
        ("a_rois.zip", "application/zip", "attachment"),
        ("a.ome.zarr/zarr.json", "application/json", "inline"),
        ("a.ome.zarr/.zattrs", "application/json", "attachment"),
        ("a.ome.zarr/0/c/0/0", "application/octet-stream", "attachment"),
        ("a_cells.geojson.gz", "application/gzip", "attachment"),
    ],
)
def test_a_browser_is_told_what_a_file_is(place: Place, get: httpx2.Client, name: str, media: str, how: str) -> None:
    place.write(name, b"{}")
    headers = get.get(name).headers
    file = name.rpartition("/")[2]
    assert headers["content-type"] == media
    assert headers["content-disposition"] == f"{how}; filename=\"{file}\"; filename*=UTF-8''{file}"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_name_of_any_letters_is_kept_when_a_file_is_saved(place: Place, get: httpx2.Client) -> None:
    told = get.get(quote(NAME)).headers["content-disposition"]
    assert told == f"attachment; filename=\"A1, field _ __labels.tif\"; filename*=UTF-8''{quote(Path(NAME).name)}"


def test_a_report_can_run_nothing_and_reach_nothing(place: Place, get: httpx2.Client) -> None:
    place.write("report.html", b"<script>fetch('/api/v1/jobs')</script>")
    policy = get.get("report.html").headers["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert (rules["default-src"], rules["sandbox"], rules["img-src"]) == ("'none'", "allow-downloads", "data:")
    assert not rules.keys() & {"script-src", "connect-src"}


def raw(running: Running, path: str) -> tuple[int, bytes]:
    """Send a path as it is: clients tidy paths up."""
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.putheader("Authorization", f"Bearer {running.token('ann')}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    "path",
    [
        "../{job}/secret",
        "plate/../../../../secret",
        "..%2f..%2f..%2fsecret",
        "%2e%2e/%2e%2e/%2e%2e/secret",
        "..%5c..%5csecret",
        "..\\..\\secret",
        "plate\\x.csv",
        "plate%5Cx.csv",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "file:///etc/passwd",
        "./x.csv",
        "plate/./x.csv",
        "plate//x.csv",
        "plate/",
        "plate",
        "",
        "x.csv%00",
        "x%0a.csv",
        "%ff%fe",
        "x" * 5000,
        "link",
        "folder_link/secret",
        ".cellfleet/records/0.json",
        ".cellfleet/lock",
        ".CELLFLEET/lock",
        "plate/.cellfleet/lock",
        ".cellfleet/thumbnails/../lock",
        ".cellfleet/thumbnails/x.txt",
        ".cellfleet-0-1-a.part",
    ],
)
def test_nothing_but_result_files_is_to_be_had(running: Running, job: str, place: Place, path: str) -> None:
    results = Path(place.url)
    for name in (".cellfleet/lock", ".cellfleet/records/0.json", "plate/.cellfleet/lock", "plate/x.csv", "x.csv"):
        place.write(name, b"secret")
    place.write(".cellfleet/thumbnails/x.txt", b"secret")
    (results / ".cellfleet-0-1-a.part").write_bytes(b"secret")
    for folder in (results.parent, results.parents[1], results.parents[2]):
        (folder / "secret").write_bytes(b"secret")
    if not (results / "link").is_symlink():
        (results / "link").symlink_to(results.parent / "secret")
        (results / "folder_link").symlink_to(results.parent)
    status, content = raw(running, f"/api/v1/jobs/{job}/files/{path.format(job=job)}")
    assert status == 404, content
    assert b'"code":"E9' in content and b"root:" not in content


def test_the_pictures_of_images_are_files_too(running: Running, place: Place, get: httpx2.Client) -> None:
    place.write(".cellfleet/thumbnails/0123abcd.jpg", b"picture")
    assert get.get(".cellfleet/thumbnails/0123abcd.jpg").content == b"picture"


def test_every_file_that_a_job_names_can_be_fetched(running: Running) -> None:
    client = running.client("ann")
    formats = ["labels-tiff", "csv", "parquet", "ome-zarr"]
    job = add_job(client, add_set(running, "ann"), formats=formats)
    work_off(running)
    for image in client.get(f"/api/v1/jobs/{job}/images").json()["images"]:
        for form, path in image["record"]["outputs"].items():
            name = f"{path}/zarr.json" if form == "ome-zarr" else path
            assert client.get(f"/api/v1/jobs/{job}/files/{quote(name)}").status_code == 200
    missing = client.get(f"/api/v1/jobs/{job}/files/{quote(path)}/0/c/9/9")
    assert (missing.status_code, missing.json()["code"]) == (404, "E940")


def test_an_ome_zarr_is_read_where_it_stands(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]), formats=["labels-tiff", "ome-zarr", "ome-zarr-0.4"])
    work_off(running)
    labels = labels_of(client.get(f"/api/v1/jobs/{job}/files/a_labels.tif").content)
    url = client.post(f"/api/v1/jobs/{job}/links", json={"what": "files"}).json()["url"]
    for name in ("a_labels.ome.zarr", "a_labels_v0.4.ome.zarr"):
        array = zarr.open_array(zarr_store(f"{url}{name}/0"), mode="r")
        assert (np.asarray(array[:]) == labels).all() and (np.asarray(array[20:30, 5:60]) == labels[20:30, 5:60]).all()


@pytest.mark.slow
def test_files_are_sent_by_range_from_a_bucket(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(tmp_path, store=open_place(f"{bucket}/service")) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local", ["a.tif"]))
        running.service.desk.results(job).write(NAME, CONTENT)
        client.base_url = f"{running.url}/api/v1/jobs/{job}/files/"
        check_ranges(client, NAME, CONTENT)
        monkeypatch.setattr(files, "PIECE_BYTES", 1000)
        check_ranges(client, NAME, CONTENT)
        assert client.get("missing/0/0").status_code == 404
