"""Uploads by the tus protocol, on a folder and on a real S3 server: resumed, checked, counted, given up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.servers import S3
from tests.services import Running, running_service, wait_until
from tests.tus import TYPE, VERSION, Tus, checksum, metadata, sha256

from cellfleet.service import incoming
from cellfleet.service.state import Settings
from cellfleet.service.uploads import DAYS_TO_FINISH, expire_uploads, used_bytes
from cellfleet.spec.access import Quota
from cellfleet.stores.place import BucketPlace, FolderPlace, Place

DATA = bytes(range(256)) * 4000
SIZE = len(DATA)
PIECE = 100_000
"""Of objects in a bucket, in these tests."""


@pytest.fixture(scope="module", params=["folder", "s3"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service on a folder, and one on a bucket."""
    store: Place | None = None
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "s3":
            moto: S3 = request.getfixturevalue("moto")
            for name, value in moto.environment.items():
                patch.setenv(name, value)
            store = BucketPlace(f"s3://{moto.new_bucket()}/cellfleet")
        patch.setattr(incoming, "PIECE_BYTES", PIECE)
        settings = Settings(largest_upload=100 * SIZE)
        with running_service(tmp_path_factory.mktemp("service"), store=store, login=True, settings=settings) as service:
            yield service


@pytest.fixture
def tus(running: Running) -> Tus:
    return Tus(running.client("ann"))


def content(running: Running, into: str, path: str) -> bytes | None:
    return running.store.read(f"uploads/{into}/{path}")


def left(running: Running, address: str) -> list[str]:
    """Return what is kept of the bytes of an upload under way."""
    names = running.store.names(f"incoming/{address.rpartition('/')[2]}")
    return sorted(name.rpartition("/")[2] for name in names if not name.endswith("upload.json"))


@pytest.mark.parametrize(
    "path", ["a.tif", "plate 1/µ, well A01 🦠.tif", ".hidden/x", "a%20b#?&~[1]'.tif", "deep/" * 30 + "x"]
)
def test_a_file_arrives_under_the_path_that_it_was_given(running: Running, tus: Tus, path: str) -> None:
    into = tus.new_set()
    tus.upload(into, path, DATA)
    assert tus.files(into) == {path: SIZE}
    assert content(running, into, path) == DATA


def test_an_upload_goes_on_where_it_ended(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a.tif", SIZE, sha256=sha256(DATA))
    for start, end in [(0, 1), (1, 250_001), (250_001, 250_001), (250_001, SIZE)]:
        assert tus.offset(address) == start
        answer = tus.append(address, start, DATA[start:end])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(end))
        assert tus.files(into) == ({"a.tif": SIZE} if end == SIZE else {})
    assert content(running, into, "a.tif") == DATA
    assert tus.offset(address) == SIZE
    assert left(running, address) == ["done"]


def test_an_empty_file_is_a_file(tus: Tus) -> None:
    into = tus.new_set()
    assert tus.offset(tus.announced(into, "empty", 0)) == 0
    assert tus.files(into) == {"empty": 0}


def test_the_first_bytes_may_come_with_the_announcement(tus: Tus) -> None:
    into = tus.new_set()
    answer = tus.create(into, "a", SIZE, content=DATA[:1000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
    assert tus.append(answer.headers["Location"], 1000, DATA[1000:]).status_code == 204
    assert tus.files(into) == {"a": SIZE}


def test_every_answer_follows_the_protocol(running: Running, tus: Tus) -> None:
    answer = running.client().options("/api/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) >= {"creation", "checksum", "expiration", "termination"}
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert answer.headers["Tus-Max-Size"] == str(100 * SIZE)
    into = tus.new_set()
    address = tus.announced(into, "µ", 5)
    answer = tus.head(address)
    assert answer.headers["Upload-Length"] == "5"
    assert answer.headers["Upload-Metadata"] == metadata(set=into, path="µ")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Expires"].endswith("GMT")
    assert tus.head("/api/v1/uploads/none").headers["Tus-Resumable"] == "1.0.0"


def test_another_version_of_the_protocol_is_refused(tus: Tus) -> None:
    answer = tus.client.post("/api/v1/uploads", headers={"Tus-Resumable": "0.2.2", "Upload-Length": "1"})
    assert (answer.status_code, answer.json()["code"]) == (412, "E924")
    assert answer.headers["Tus-Version"] == "1.0.0"


def test_bytes_that_do_not_follow_are_refused(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", SIZE)
    assert tus.append(address, 0, DATA[:500]).status_code == 204
    for start in (0, 499, 501, SIZE):
        answer = tus.append(address, start, b"x")
        assert (answer.status_code, answer.json()["code"]) == (409, "E925")
    assert tus.offset(address) == 500


def test_more_bytes_than_announced_are_refused(tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", 1000)
    answer = tus.append(address, 0, DATA[:1001])
    assert (answer.status_code, answer.json()["code"]) == (413, "E923")
    assert tus.offset(address) == 0

    def endless() -> Iterator[bytes]:
        yield from (DATA[:300] for _ in range(10))

    headers = {**VERSION, **TYPE, "Upload-Offset": "0"}
    assert tus.client.patch(address, headers=headers, content=endless()).status_code == 413
    assert tus.files(into) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"Upload-Length": "-1"},
        {"Upload-Length": "ten"},
        {"Upload-Length": "9" * 30},
        {"Upload-Length": ""},
        {"Upload-Defer-Length": "1", "Upload-Length": ""},
        {"Upload-Metadata": ""},
        {"Upload-Metadata": "set YQ=="},
        {"Upload-Metadata": "set ***,path YQ=="},
        {"Upload-Metadata": "set YQ==,path /w=="},
        {"Upload-Metadata": "set YQ==,path YQ==,sha256 YQ=="},
        {"Upload-Metadata": "set YQ==,path YQ==," + ",".join(f"k{i} YQ==" for i in range(2000))},
    ],
)
def test_a_wrong_announcement_is_refused(tus: Tus, changed: dict[str, str]) -> None:
    good = {**VERSION, "Upload-Length": "1", "Upload-Metadata": metadata(set=tus.new_set(), path="a")}
    answer = tus.client.post("/api/v1/uploads", headers={**good, **changed})
    assert (answer.status_code, answer.json()["code"]) == (400, "E923")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_bytes_with_a_wrong_checksum_are_not_kept(tus: Tus, algorithm: str) -> None:
    address = tus.announced(tus.new_set(), "a", SIZE)
    assert tus.append(address, 0, DATA[:300_000], **checksum(DATA[:300_000], algorithm)).status_code == 204
    answer = tus.append(address, 300_000, DATA[300_000:], **checksum(b"other", algorithm))
    assert (answer.status_code, answer.json()["code"]) == (460, "E929")
    assert tus.offset(address) == 300_000
    assert tus.append(address, 300_000, DATA[300_000:], **checksum(DATA[300_000:], algorithm)).status_code == 204


@pytest.mark.parametrize("said", ["md5 YQ==", "sha1 *", "sha1"])
def test_a_checksum_that_cannot_be_checked_is_refused(tus: Tus, said: str) -> None:
    address = tus.announced(tus.new_set(), "a", 10)
    answer = tus.append(address, 0, b"x" * 10, **{"Upload-Checksum": said})
    assert answer.status_code in {400, 460}
    assert tus.offset(address) == 0


def test_a_file_with_a_wrong_sha256_is_refused_and_gone(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    used = running.service.ledger.used("ann")
    address = tus.announced(into, "a", SIZE, sha256=sha256(b"other"))
    answer = tus.append(address, 0, DATA)
    assert (answer.status_code, answer.json()["code"]) == (460, "E928")
    assert tus.head(address).status_code == 404
    assert tus.files(into) == {}
    assert running.service.ledger.used("ann") == used


def test_what_arrived_before_a_client_vanished_is_kept(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", SIZE)
    host = urlsplit(running.url)
    sent = 345_678
    lines = [
        f"PATCH {address} HTTP/1.1",
        f"Host: {host.netloc}",
        f"Content-Length: {SIZE}",
        "Upload-Offset: 0",
        f"Authorization: {tus.client.headers['Authorization']}",
        *(f"{name}: {value}" for name, value in {**VERSION, **TYPE}.items()),
    ]
    with socket.create_connection((host.hostname or "", host.port or 0)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + DATA[:sent])
    wait_until(lambda: tus.offset(address) == sent, "the bytes that were sent are kept")
    wait_until(lambda: tus.append(address, sent, b"").status_code == 204, "the connection is given up")
    assert tus.append(address, sent, DATA[sent:]).status_code == 204
    assert content(running, into, "a") == DATA


def test_of_two_that_send_the_same_upload_one_wins(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", SIZE, sha256=sha256(DATA))
    both = threading.Barrier(2)
    answers: list[int] = []

    def send() -> None:
        def slowly() -> Iterator[bytes]:
            both.wait(10)
            yield from (DATA[start : start + 10_000] for start in range(0, SIZE, 10_000))

        client = Tus(running.client(token=tus.client.headers["Authorization"].removeprefix("Bearer ")))
        answers.append(client.append(address, 0, slowly()).status_code)  # type: ignore[arg-type]

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[0] == 204
    assert sorted(answers)[1] in {409, 423}
    assert tus.offset(address) == SIZE
    assert content(running, into, "a") == DATA


def test_an_upload_that_is_given_up_leaves_nothing_and_frees_its_bytes(running: Running, tus: Tus) -> None:
    used = running.service.ledger.used("ann")
    address = tus.announced(tus.new_set(), "a", SIZE)
    tus.append(address, 0, DATA[:300_000])
    assert running.service.ledger.used("ann") == used + SIZE
    assert tus.end(address).status_code == 204
    assert running.service.ledger.used("ann") == used
    assert left(running, address) == []
    assert tus.head(address).status_code == tus.end(address).status_code == 404
    assert tus.append(address, 0, b"x").json()["code"] == "E927"


def test_methods_may_be_named_in_a_header(tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", 3)
    headers = {**VERSION, **TYPE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert tus.client.post(address, headers=headers, content=b"abc").status_code == 204
    assert tus.files(into) == {"a": 3}
    assert tus.client.post(address, headers={**VERSION, "X-HTTP-Method-Override": "GET"}).status_code == 400
    assert tus.client.post(address, headers={**VERSION, "X-HTTP-Method-Override": "DELETE"}).status_code == 204


def test_the_same_file_may_be_sent_again_another_may_not(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    tus.upload(into, "a", DATA)
    used = running.service.ledger.used("ann")
    tus.upload(into, "a", DATA)
    assert running.service.ledger.used("ann") == used
    address = tus.announced(into, "a", SIZE)
    answer = tus.append(address, 0, DATA[::-1])
    assert (answer.status_code, answer.json()["code"]) == (409, "E922")
    assert tus.head(address).status_code == 404
    assert tus.create(into, "a", SIZE - 1).json()["code"] == "E922"
    assert running.service.ledger.used("ann") == used
    assert content(running, into, "a") == DATA


def test_a_file_and_a_folder_cannot_have_one_name(tus: Tus) -> None:
    into = tus.new_set()
    tus.upload(into, "plate/a/b", DATA)
    for path in ("plate", "plate/a", "plate/a/b/c", "plate/a/b/c/d"):
        answer = tus.create(into, path, 1)
        assert (answer.status_code, answer.json()["code"]) == (409, "E922")
    tus.upload(into, "plate/a/bc", DATA)
    assert tus.files(into) == {"plate/a/b": SIZE, "plate/a/bc": SIZE}


def test_a_quota_holds_for_what_is_announced(running: Running) -> None:
    token = running.token("quota", quota=Quota(bytes=2 * SIZE))
    tus = Tus(running.client(token=token))
    into = tus.new_set()
    first = tus.announced(into, "a", SIZE)
    tus.upload(into, "b", DATA)
    answer = tus.create(into, "c", 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "E926")
    tus.end(first)
    assert tus.create(into, "c", SIZE).status_code == 201
    assert tus.client.delete(f"/api/v1/sets/{into}").status_code == 204
    assert running.service.ledger.used("quota") == SIZE  # of the upload that has not ended


def test_a_file_that_arrived_before_a_crash_is_finished_when_it_is_asked_for(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address, wrong = (tus.announced(into, name, 5, sha256=sha256(b"12345")) for name in ("right", "wrong"))
    piece = "data" if isinstance(running.store, FolderPlace) else "0" * 16
    running.store.write(f"incoming/{address.rpartition('/')[2]}/{piece}", b"12345")
    running.store.write(f"incoming/{wrong.rpartition('/')[2]}/{piece}", b"54321")
    assert tus.offset(address) == 5
    assert tus.head(wrong).status_code == 460
    assert tus.files(into) == {"right": 5}


def test_a_file_that_became_one_of_its_set_before_a_crash_is_not_counted_twice(running: Running, tus: Tus) -> None:
    if not isinstance(running.store, FolderPlace):
        return  # a bucket's count is corrected when it is added up anew
    into = tus.new_set()
    address = tus.announced(into, "a", 5)
    used = running.service.ledger.used("ann")
    data = f"incoming/{address.rpartition('/')[2]}/data"
    running.store.write(data, b"12345")
    running.store.local(f"uploads/{into}").mkdir(parents=True)
    running.store.local(f"uploads/{into}/a").hardlink_to(running.store.local(data))
    assert tus.offset(address) == 5
    assert (left(running, address), tus.files(into)) == (["done"], {"a": 5})
    assert running.service.ledger.used("ann") == used


def test_a_file_larger_than_the_service_takes_is_refused(tus: Tus) -> None:
    answer = tus.create(tus.new_set(), "a", 100 * SIZE + 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "E926")


def test_uploads_that_are_never_finished_expire(running: Running) -> None:
    tus = Tus(running.client("late"))
    into = tus.new_set()
    address, whole = tus.announced(into, "a", SIZE), tus.announced(into, "b", 3)
    tus.append(address, 0, DATA[:200_000])
    tus.append(whole, 0, b"abc")
    made_ms = int(address.rpartition("/")[2][:11], 16)
    week_ms = DAYS_TO_FINISH * 86_400_000
    expire_uploads(running.service, made_ms + week_ms - 1)
    assert tus.offset(address) == 200_000
    assert expire_uploads(running.service, made_ms + week_ms + 60_000) >= 2
    assert tus.head(address).status_code == tus.head(whole).status_code == 404
    assert left(running, address) == left(running, whole) == []
    assert tus.files(into) == {"b": 3}
    assert running.service.ledger.used("late") == 3


def test_what_counts_against_quotas_can_be_added_up_from_the_store(running: Running) -> None:
    tus = Tus(running.client("adder"))
    into = tus.new_set()
    tus.upload(into, "x/a", DATA)
    tus.announced(into, "x/b", 77)
    assert used_bytes(running.store)["adder"] == running.service.ledger.used("adder") == SIZE + 77


def test_an_upload_to_a_set_that_was_deleted_ends(tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", 3)
    tus.client.delete(f"/api/v1/sets/{into}")
    assert tus.append(address, 0, b"abc").json()["code"] == "E921"
    assert tus.head(address).status_code == 404


def test_another_users_uploads_are_not_to_be_had(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    address = tus.announced(into, "a", 3)
    eve = Tus(running.client("eve"))
    assert eve.create(into, "b", 1).json()["code"] == "E921"
    assert (
        eve.head(address).status_code
        == eve.append(address, 0, b"abc").status_code
        == eve.end(address).status_code
        == 404
    )
    assert eve.append(address, 0, b"abc").json() == eve.append(address[:-1] + "z", 0, b"abc").json() | {
        "where": address.rpartition("/")[2],
        "message": eve.append(address, 0, b"abc").json()["message"],
    }
    viewer = Tus(running.client("ann", "viewer"))
    assert viewer.append(address, 0, b"abc").status_code == 403
    assert Tus(running.client()).head(address).status_code == 401
    assert tus.offset(address) == 0
