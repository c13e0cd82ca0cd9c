"""Signatures and tokens, without a server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.service.access import Access, User
from cellfleet.spec.access import NewToken
from cellfleet.stores.place import FolderPlace

HOUR_MS = 3_600_000


def later() -> int:
    return time.time_ns() // 1_000_000 + HOUR_MS


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    return Access(FolderPlace(tmp_path_factory.mktemp("store")))


def test_what_was_signed_comes_back(access: Access) -> None:
    payload = {"job": "1", "owner": "ann", "what": "zip", "formats": ["csv"], "name": "µ 🦠"}
    signed = access.sign(payload, later())
    assert access.verify(signed) == payload
    assert signed.isascii() and not set(signed) & set("/?#%& ")


def test_every_process_of_a_service_knows_the_signatures_of_the_others(access: Access) -> None:
    assert Access(access.store).verify(access.sign({"job": "1"}, later())) == {"job": "1"}


def test_another_service_does_not(access: Access, tmp_path: Path) -> None:
    assert Access(FolderPlace(tmp_path)).verify(access.sign({"job": "1"}, later())) is None


def test_a_signature_ends(access: Access) -> None:
    assert access.verify(access.sign({"job": "1"}, time.time_ns() // 1_000_000 - 1)) is None


@given(place=st.integers(0, 200), character=st.sampled_from("A.b-_0\n ä"))
def test_a_changed_signature_opens_nothing(access: Access, place: int, character: str) -> None:
    signed = access.sign({"job": "1"}, later())
    place %= len(signed)
    changed = signed[:place] + character + signed[place + 1 :]
    assert (access.verify(changed) is None) == (changed != signed)


@given(text=st.text(max_size=50))
def test_no_other_text_opens_anything(access: Access, text: str) -> None:
    assert access.verify(text) is None
    assert access.user(text) is None


def test_two_processes_make_tokens_at_the_same_time(access: Access) -> None:
    other = Access(access.store)
    made = [place.make_token(NewToken(user="ann")).token for place in (access, other) for _ in range(5)]
    assert [place.user(token) for place in (access, other) for token in made] == [User("ann", "user")] * 20


@pytest.mark.parametrize(("role", "sees", "changes"), [("admin", True, True), ("user", False, False)])
def test_who_may_touch_the_things_of_others(role: str, sees: bool, changes: bool) -> None:
    user = User("ann", role)
    assert (user.may_see("bob"), user.may_change("bob")) == (sees, changes)
    assert user.may_see("ann") and user.may_change("ann")
    assert User("ann", "viewer").may_see("ann") and not User("ann", "viewer").may_change("ann")
