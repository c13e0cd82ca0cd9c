"""Who gets in: tokens, roles, expiry, an authenticating proxy, and the command that makes tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest
from tests.services import Running, running_service

from cellfleet.cli import main
from cellfleet.service.settings import make_settings
from cellfleet.spec.access import NewToken, Quota
from cellfleet.stores.place import FolderPlace


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for tokens."""
    with running_service(tmp_path_factory.mktemp("private"), login=True) as running:
        yield running


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that believes a proxy on this machine."""
    settings = make_settings(user_header="X-Forwarded-User", trusted_proxies=["127.0.0.1"])
    with running_service(tmp_path_factory.mktemp("proxied"), login=True, settings=settings) as running:
        yield running


def about(client: httpx2.Client, **headers: str) -> httpx2.Response:
    return client.get("/api/v1/about", headers=headers)


def test_a_request_without_token_is_told_to_bring_one(private: Running) -> None:
    answer = about(private.client())
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "E904"


@pytest.mark.parametrize("token", ["x", "cf_", "cf_" + "0" * 64, "cf_../../secret", "ä" * 67, "cf_" + "0" * 9000])
def test_what_is_no_token_opens_nothing(private: Running, token: str) -> None:
    answer = about(private.client(), Authorization=f"Bearer {token}".encode())
    assert (answer.status_code, answer.json()["code"]) == (401, "E904")


def test_a_token_tells_who_asks(private: Running) -> None:
    answer = about(private.client("ann", "viewer")).json()
    assert (answer["user"], answer["role"], answer["login"]) == ("ann", "viewer", True)


def test_a_revoked_token_opens_nothing(private: Running) -> None:
    client = private.client("ann")
    assert about(client).status_code == 200
    admin = private.client("root", "admin")
    [mine] = [token for token in admin.get("/api/v1/admin/tokens").json()["tokens"] if token["user"] == "ann"][-1:]
    assert admin.delete(f"/api/v1/admin/tokens/{mine['id']}").status_code == 204
    assert about(client).status_code == 401
    again = admin.delete(f"/api/v1/admin/tokens/{mine['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "E909")


def test_an_expired_token_opens_nothing(private: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    made = private.service.access.make_token(NewToken(user="ann", days=1))
    client = private.client(token=made.token)
    assert about(client).status_code == 200
    later = time.time_ns() + 86_400 * 10**9
    monkeypatch.setattr("cellfleet.service.access.time.time_ns", lambda: later)
    assert about(client).status_code == 401


@pytest.mark.parametrize("role", ["user", "viewer"])
def test_only_administrators_manage_tokens(private: Running, role: str) -> None:
    client = private.client("ann", role)
    answers = [
        client.get("/api/v1/admin/tokens"),
        client.post("/api/v1/admin/tokens", json={"user": "ann", "role": "admin"}),
        client.delete("/api/v1/admin/tokens/0123456789abcdef"),
        client.get("/api/v1/admin/users"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "E903")] * 4


def test_an_administrator_makes_a_token_and_its_secret_is_told_only_then(private: Running) -> None:
    admin = private.client("root", "admin")
    made = admin.post("/api/v1/admin/tokens", json={"user": "new", "quota": {"bytes": 5}, "note": "µ"})
    assert made.status_code == 201
    secret = made.json()["token"]
    assert about(private.client(token=secret)).json()["quota"] == {"bytes": 5, "running_jobs": None}
    assert secret not in admin.get("/api/v1/admin/tokens").text
    store = private.store
    assert isinstance(store, FolderPlace)
    assert all(secret.encode() not in (store.read(name) or b"") for name in store.names("access"))
    users = {user["name"]: user for user in admin.get("/api/v1/admin/users").json()["users"]}
    assert users["new"] == {
        "name": "new",
        "quota": {"bytes": 5, "running_jobs": None},
        "used_bytes": 0,
        "running_jobs": 0,
    }


def test_another_token_of_a_user_leaves_the_quota_as_it_is(private: Running) -> None:
    private.token("careful", quota=Quota(running_jobs=1))
    assert about(private.client("careful")).json()["quota"]["running_jobs"] == 1


def test_a_trusted_proxy_says_who_asks(proxied: Running) -> None:
    answer = about(proxied.client(), **{"X-Forwarded-User": "Ann@lab.example"}).json()
    assert (answer["user"], answer["role"]) == ("ann@lab.example", "user")


@pytest.mark.parametrize("names", [[], ["ann", "root"], [""], ["../x"], ["ann, root"]])
def test_a_proxy_that_names_nobody_or_several_is_not_believed(proxied: Running, names: list[str]) -> None:
    headers = [("X-Forwarded-User", name) for name in names]
    assert proxied.client().get("/api/v1/about", headers=headers).status_code == 401


def test_a_header_from_elsewhere_is_not_believed(private: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert about(private.client(), **{"X-Forwarded-User": "root"}).status_code == 401
    settings = make_settings(user_header="X-Forwarded-User", trusted_proxies=["10.0.0.7"])
    with running_service(tmp_path_factory.mktemp("far"), login=True, settings=settings) as far:
        headers = {"X-Forwarded-User": "root", "X-Forwarded-For": "10.0.0.7"}
        assert about(far.client(), **headers).status_code == 401


def test_the_command_makes_tokens_that_open_the_service(
    private: Running, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", private.store.url]
    assert main(["tokens", "add", "carl", "--role", "viewer", "--uploads", "5GB", *store]) == 0
    token = capsys.readouterr().out.strip()
    answer = about(private.client(token=token)).json()
    assert (answer["user"], answer["role"], answer["quota"]["bytes"]) == ("carl", "viewer", 5_000_000_000)
    assert main(["tokens", "list", *store]) == 0
    listed = capsys.readouterr().out
    assert token not in listed
    [line] = [line for line in listed.splitlines() if " carl " in line]
    assert main(["tokens", "revoke", line.split()[0], *store]) == 0
    assert main(["tokens", "list", *store]) == 0
    assert " carl " not in capsys.readouterr().out


@pytest.mark.parametrize("words", [["add"], ["revoke"], ["revoke", "nonsense"], ["add", "../x"], ["add", "Ann Lee"]])
def test_the_command_says_what_it_lacks(words: list[str], tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", *words, "--data", str(tmp_path)]) in {2, 5}
    assert "[E9" in capsys.readouterr().err


def test_health_needs_no_token(private: Running) -> None:
    for path in ("/health/live", "/health/ready"):
        assert private.client().get(path).json() == {"status": "ok"}


def test_a_service_whose_ledger_is_gone_lives_and_is_not_ready(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_service(tmp_path_factory.mktemp("broken")) as running:
        running.stop_ledger()
        assert running.client().get("/health/live").status_code == 200
        ready = running.client().get("/health/ready")
        assert (ready.status_code, ready.json()["code"], ready.headers["Retry-After"]) == (503, "E801", "5")
        about_now = about(running.client())
        assert (about_now.status_code, about_now.json()["code"]) == (503, "E801")
