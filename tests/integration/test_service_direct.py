"""Files that a client sends straight to the bucket, by signed addresses, on real S3 servers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.servers import S3
from tests.services import Running, running_service
from tests.tus import Tus, sha256

from cellfleet.service import direct_uploads
from cellfleet.service.uploads import expire_uploads, used_bytes
from cellfleet.spec.access import Quota
from cellfleet.stores.place import BucketPlace

PART = 5 << 20
DATA = os.urandom(1 << 20) * 11
"""Three parts: 5, 5 and 1 MiB."""
WEEK_MS = 7 * 86_400_000


@dataclass
class Direct:
    """A service on a bucket, and a user's client."""

    running: Running
    client: httpx2.Client
    s3: S3

    def begin(self, into: str, path: str, data: bytes, **more: str) -> httpx2.Response:
        body = {"path": path, "size": len(data), **more}
        return self.client.post(f"/api/v1/sets/{into}/direct", json=body)

    def address(self, base: str, number: int) -> str:
        answer = self.client.post(f"{base}/addresses", json={"numbers": [number]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["urls"][str(number)])

    def put(self, base: str, number: int, data: bytes) -> str:
        """Send a part as any program would: a plain PUT without headers; return its ETag."""
        answer = httpx2.put(self.address(base, number), content=data)
        assert answer.status_code == 200, answer.text
        return answer.headers["ETag"]

    def begun(self, into: str, path: str, data: bytes, **more: str) -> str:
        """Return the address of a new upload."""
        answer = self.begin(into, path, data, **more)
        assert answer.status_code == 201, answer.text
        assert answer.json()["part_bytes"] == PART
        return f"/api/v1/sets/{into}/direct/{answer.json()['id']}"

    def sent(self, base: str, data: bytes) -> dict[int, str]:
        """Send all parts; return number → ETag."""
        starts = range(0, max(len(data), 1), PART)
        return {number: self.put(base, number, data[start : start + PART]) for number, start in enumerate(starts, 1)}

    def complete(self, base: str, etags: dict[int, str]) -> httpx2.Response:
        parts = [{"number": number, "etag": etag} for number, etag in etags.items()]
        return self.client.post(f"{base}/complete", json={"parts": parts})

    def new_set(self) -> str:
        return Tus(self.client).new_set()

    def unfinished(self) -> int:
        """Return how many multipart uploads the bucket holds."""
        bucket = self.running.store.url.split("/")[2]
        return len(self.s3.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@contextlib.contextmanager
def service_on(s3: S3, folder: Path, prefix: str) -> Iterator[Direct]:
    """Run a service on a new bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        patch.setattr(direct_uploads, "PART_BYTES", PART)
        store = BucketPlace(f"s3://{s3.new_bucket()}/{prefix}")
        with running_service(folder, store=store, login=True) as running:
            yield Direct(running, running.client("ann"), s3)


@pytest.fixture(scope="module")
def direct(moto: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    with service_on(moto, tmp_path_factory.mktemp("service"), "cell fleet") as found:
        yield found


def test_a_file_that_was_sent_to_the_bucket_is_one_of_its_set(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "plate 1/µ, +%20 🦠.tif", DATA, sha256=sha256(DATA))
    etags = direct.sent(base, DATA)
    assert Tus(direct.client).files(into) == {}
    answer = direct.complete(base, etags)
    assert (answer.status_code, answer.json()) == (200, {"path": "plate 1/µ, +%20 🦠.tif", "size": len(DATA)})
    assert direct.complete(base, etags).json() == answer.json()
    assert Tus(direct.client).files(into) == {"plate 1/µ, +%20 🦠.tif": len(DATA)}
    assert direct.running.store.read(f"uploads/{into}/plate 1/µ, +%20 🦠.tif") == DATA
    assert used_bytes(direct.running.store)["ann"] >= len(DATA)


def test_parts_may_come_in_any_order_and_again(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "a", DATA)
    direct.put(base, 1, b"x" * PART)
    etags = {3: direct.put(base, 3, DATA[2 * PART :]), 2: direct.put(base, 2, DATA[PART : 2 * PART])}
    etags[1] = direct.put(base, 1, DATA[:PART])
    assert direct.complete(base, etags).status_code == 200
    assert direct.running.store.read(f"uploads/{into}/a") == DATA


def test_an_empty_file_has_one_empty_part(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "empty", b"")
    assert direct.complete(base, direct.sent(base, b"")).status_code == 200
    assert Tus(direct.client).files(into) == {"empty": 0}


def test_parts_that_are_missing_or_of_another_size_do_not_make_a_file(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "a", DATA)
    etags = {1: direct.put(base, 1, DATA[:PART]), 2: direct.put(base, 2, DATA[PART : 2 * PART])}
    for sent, said in [
        (etags, "part 3 is missing"),
        ({**etags, 3: '"x"'}, "part 3 is missing"),
        ({1: etags[1], 3: "x"}, "part 2 is missing"),
    ]:
        answer = direct.complete(base, sent)
        assert (answer.status_code, answer.json()["code"]) == (400, "E932")
        assert said in answer.json()["what"]
    etags[3] = direct.put(base, 3, DATA[2 * PART : -1])
    assert "part 3 has" in direct.complete(base, etags).json()["what"]
    newer = direct.put(base, 3, DATA[2 * PART :])
    assert "part 3 has been replaced" in direct.complete(base, etags).json()["what"]
    assert Tus(direct.client).files(into) == {}
    assert direct.complete(base, {**etags, 3: newer}).status_code == 200


def test_a_part_beyond_the_last_has_no_address(direct: Direct) -> None:
    base = direct.begun(direct.new_set(), "a", DATA)
    answer = direct.client.post(f"{base}/addresses", json={"numbers": [1, 4]})
    assert (answer.status_code, answer.json()["code"]) == (400, "E932")


def test_a_file_with_a_wrong_sha256_is_refused_and_gone(direct: Direct) -> None:
    into = direct.new_set()
    used = direct.running.service.ledger.used("ann")
    base = direct.begun(into, "a", DATA, sha256=sha256(b"other"))
    answer = direct.complete(base, direct.sent(base, DATA))
    assert (answer.status_code, answer.json()["code"]) == (460, "E928")
    assert Tus(direct.client).files(into) == {}
    assert direct.running.service.ledger.used("ann") == used


def test_the_same_file_may_be_sent_again_another_may_not(direct: Direct) -> None:
    into = direct.new_set()
    first = direct.begun(into, "a", DATA, sha256=sha256(DATA))
    again = direct.begun(into, "a", DATA, sha256=sha256(DATA))
    other = direct.begun(into, "a", DATA, sha256=sha256(DATA[::-1]))
    for base in (first, again):
        assert direct.complete(base, direct.sent(base, DATA)).status_code == 200
    answer = direct.complete(other, direct.sent(other, DATA[::-1]))
    assert (answer.status_code, answer.json()["code"]) == (409, "E922")
    assert direct.running.store.read(f"uploads/{into}/a") == DATA
    assert direct.begin(into, "a/b", DATA).json()["code"] == "E922"
    assert direct.begin(into, "../a", DATA).json()["code"] == "E920"


def test_an_upload_that_is_given_up_leaves_no_parts_and_frees_its_bytes(direct: Direct) -> None:
    used, unfinished = direct.running.service.ledger.used("ann"), direct.unfinished()
    base = direct.begun(direct.new_set(), "a", DATA)
    direct.put(base, 1, DATA[:PART])
    assert direct.unfinished() == unfinished + 1
    assert direct.client.delete(base).status_code == 204
    assert direct.unfinished() == unfinished
    assert direct.running.service.ledger.used("ann") == used
    assert direct.client.delete(base).json()["code"] == "E927"
    assert direct.client.post(f"{base}/addresses", json={"numbers": [1]}).status_code == 404


def test_uploads_that_are_never_completed_expire(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "a", DATA)
    direct.put(base, 1, DATA[:PART])
    made_ms = int(base.rpartition("/")[2][:11], 16)
    assert direct.unfinished() > 0
    expire_uploads(direct.running.service, made_ms + WEEK_MS + 60_000)
    assert direct.unfinished() == 0
    assert direct.complete(base, {1: "x"}).status_code == 404


def test_a_file_that_was_completed_just_before_a_crash_counts_on(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "a", DATA)
    direct.complete(base, direct.sent(base, DATA))
    identity = base.rpartition("/")[2]
    direct.running.store.remove(f"incoming/{identity}/done")
    used = direct.running.service.ledger.used("ann")
    assert direct.complete(base, {1: "x"}).status_code == 200
    direct.running.store.remove(f"incoming/{identity}/done")
    expire_uploads(direct.running.service, int(identity[:11], 16) + WEEK_MS + 60_000)
    assert direct.running.service.ledger.used("ann") >= len(DATA)
    assert direct.running.service.ledger.used("ann") <= used
    assert Tus(direct.client).files(into) == {"a": len(DATA)}


def test_a_quota_holds_for_what_is_announced(direct: Direct) -> None:
    quota = Quota(bytes=len(DATA))
    mine = Direct(direct.running, direct.running.client(token=direct.running.token("little", quota=quota)), direct.s3)
    into = mine.new_set()
    base = mine.begun(into, "a", DATA)
    assert mine.begin(into, "b", b"x").json()["code"] == "E926"
    mine.client.delete(base)
    assert mine.begin(into, "b", b"x").status_code == 201


def test_another_users_uploads_are_not_to_be_had(direct: Direct) -> None:
    into = direct.new_set()
    base = direct.begun(into, "a", DATA)
    eve = Direct(direct.running, direct.running.client("eve"), direct.s3)
    assert eve.begin(into, "b", DATA).json()["code"] == "E921"
    assert eve.client.post(f"{base}/addresses", json={"numbers": [1]}).status_code == 404
    assert eve.complete(base, {1: "x"}).status_code == eve.client.delete(base).status_code == 404
    own = base.replace(into, eve.new_set())
    assert eve.client.delete(own).status_code == 404
    assert direct.client.delete(base.replace(into, direct.new_set())).status_code == 404
    assert Tus(direct.client).head(f"/api/v1/uploads/{base.rpartition('/')[2]}").status_code == 404
    viewer = direct.running.client("ann", "viewer")
    assert viewer.delete(base).status_code == 403


def test_a_signed_address_is_for_one_part_and_nothing_else(nanio: S3, tmp_path: Path) -> None:
    # This server checks signatures. It has neither batches of removals nor spaces in what it lists.
    with service_on(nanio, tmp_path, "cellfleet") as direct:
        into = direct.new_set()
        base = direct.begun(into, "µ.tif", DATA)
        url = direct.address(base, 1)
        assert httpx2.put(url.replace("partNumber=1", "partNumber=2"), content=b"x").status_code == 403
        assert httpx2.get(url).status_code == 403
        assert direct.complete(base, direct.sent(base, DATA)).status_code == 200
        assert direct.running.store.size(f"uploads/{into}/µ.tif") == len(DATA)


def test_a_folder_takes_no_files_from_clients(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_service(tmp_path_factory.mktemp("folder")) as running:
        client = running.client()
        into = Tus(client).new_set()
        answer = client.post(f"/api/v1/sets/{into}/direct", json={"path": "a", "size": 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "E931")
        assert not direct_uploads.offered(running.store)


@pytest.mark.parametrize("url", ["gs://bucket/x", "az://container/x"])
def test_other_clouds_take_no_files_from_clients(url: str) -> None:
    assert not direct_uploads.offered(BucketPlace(url))


@pytest.mark.usefixtures("clean_environment")
def test_without_credentials_nothing_is_signed() -> None:
    assert not direct_uploads.offered(BucketPlace("s3://bucket/x"))
