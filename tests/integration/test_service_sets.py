"""Sets of uploads over HTTP: made, listed, looked into, deleted; each user's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services import Running, running_service
from tests.tus import Tus


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as service:
        yield service


@pytest.fixture
def tus(running: Running) -> Tus:
    return Tus(running.client("ann"))


def test_a_set_is_shown_to_its_owner(tus: Tus) -> None:
    made = tus.client.post("/api/v1/sets", json={"name": "plate µ, 1 🦠"}).json()
    assert (made["name"], made["owner"]) == ("plate µ, 1 🦠", "ann")
    assert tus.client.get(f"/api/v1/sets/{made['id']}").json() == made
    assert tus.client.get("/api/v1/sets").json()[0] == made


def test_sets_are_listed_newest_first_and_each_user_sees_their_own(running: Running) -> None:
    bob = Tus(running.client("bob"))
    made = [bob.new_set(str(number)) for number in range(3)]
    # Ids of the same millisecond have no order among themselves, but one that does not change.
    ordered = sorted(made, reverse=True)
    assert [found["id"] for found in bob.client.get("/api/v1/sets").json()] == ordered
    assert [found["id"] for found in bob.client.get("/api/v1/sets", params={"after": ordered[0]}).json()] == ordered[1:]
    assert made[0] not in running.client("ann").get("/api/v1/sets").text


def test_files_are_listed_page_by_page(tus: Tus) -> None:
    into = tus.new_set()
    names = [f"b/{number}.tif" for number in range(7)] + ["a-1", "a/1", "µ.tif"]
    for size, name in enumerate(names):
        tus.upload(into, name, b"x" * size)
    assert tus.files(into) == {name: size for size, name in enumerate(names)}
    page = tus.client.get(f"/api/v1/sets/{into}/files", params={"limit": 10}).json()
    assert (len(page["files"]), page["after"]) == (10, None)
    assert tus.client.get(f"/api/v1/sets/{into}/files", params={"limit": 1001}).status_code == 422
    assert tus.client.get(f"/api/v1/sets/{into}/files", params={"after": "../x"}).status_code == 400


def test_a_set_that_is_deleted_leaves_nothing_and_frees_its_bytes(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    tus.upload(into, "x/a", b"12345")
    used = running.service.ledger.used("ann")
    assert tus.client.delete(f"/api/v1/sets/{into}").status_code == 204
    assert running.service.ledger.used("ann") == used - 5
    assert list(running.store.names(f"uploads/{into}")) == []
    for answer in (tus.client.get(f"/api/v1/sets/{into}"), tus.client.delete(f"/api/v1/sets/{into}")):
        assert (answer.status_code, answer.json()["code"]) == (404, "E921")


@pytest.mark.parametrize("path", ["../../access/secret", "/etc/passwd", "a\\b", ".cellfleet/x"])
def test_a_path_that_leads_out_of_the_set_is_refused(running: Running, tus: Tus, path: str) -> None:
    before = sorted(running.store.names())
    answer = tus.create(tus.new_set(), path, 1)
    assert (answer.status_code, answer.json()["code"]) == (400, "E920")
    assert [name for name in sorted(running.store.names()) if name not in before and "sets/" not in name] == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("rest", ["", "/files"])
def test_another_users_set_is_as_good_as_not_there(running: Running, tus: Tus, method: str, rest: str) -> None:
    if (method, rest) == ("DELETE", "/files"):
        method = "GET"
    into = tus.new_set()
    eve = running.client("eve")
    answer, of_none = (eve.request(method, f"/api/v1/sets/{identity}{rest}") for identity in (into, "0" * 27))
    assert answer.status_code == of_none.status_code == 404
    assert answer.text.replace(into, "0" * 27) == of_none.text
    assert tus.client.get(f"/api/v1/sets/{into}").status_code == 200


@pytest.mark.parametrize("identity", ["..", "%2e%2e", "a%2fb", "A", "x" * 64, "µ", "a.b", "%00"])
def test_an_id_that_is_none_is_not_looked_for(tus: Tus, identity: str) -> None:
    assert tus.client.get(f"/api/v1/sets/{identity}/files").status_code == 404


def test_a_viewer_sees_and_changes_nothing(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    viewer = running.client("ann", "viewer")
    assert viewer.get(f"/api/v1/sets/{into}").status_code == 200
    assert viewer.post("/api/v1/sets", json={}).status_code == 403
    assert viewer.delete(f"/api/v1/sets/{into}").status_code == 403


def test_an_administrator_may_delete_the_sets_of_others(running: Running, tus: Tus) -> None:
    into = tus.new_set()
    tus.upload(into, "a", b"123")
    used = running.service.ledger.used("ann")
    admin = running.client("root", "admin")
    assert admin.get(f"/api/v1/sets/{into}/files").json()["files"] == [{"path": "a", "size": 3}]
    assert admin.delete(f"/api/v1/sets/{into}").status_code == 204
    assert running.service.ledger.used("ann") == used - 3
