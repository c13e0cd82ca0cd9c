"""Who may do what: users, their tokens, roles and quotas, and the secret that signs links. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from cellfleet.spec.http import Quota, Role
from cellfleet.stores.place import Place


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    role: Role
    quota: Quota = Quota()

    def may_see(self, owner: str) -> bool:
        """Say whether what `owner` has is this user's to see."""
        return self.role == "admin" or self.name == owner

    def may_change(self, owner: str) -> bool:
        """Say whether what `owner` has is this user's to change."""
        return self.role != "viewer" and self.may_see(owner)


LOCAL = User("local", "admin")
"""Everybody, where no login is needed."""


class Access:
    """Tokens and signatures, kept in the store: all processes of a service share them."""

    def __init__(self, store: Place) -> None:
        """Take the store; nothing is read yet."""
        self.store = store
