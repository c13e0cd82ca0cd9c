"""Who gets in: tokens, roles, expiry, signatures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services import Running, running_service


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for tokens."""
    with running_service(tmp_path_factory.mktemp("private"), login=True) as running:
        yield running


def test_a_request_without_token_is_told_to_bring_one(private: Running) -> None:
    answer = private.client().get("/api/v1/about")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "E904"


def test_a_token_tells_who_asks(private: Running) -> None:
    answer = private.client("ann", "viewer").get("/api/v1/about").json()
    assert (answer["user"], answer["role"], answer["login"]) == ("ann", "viewer", True)
