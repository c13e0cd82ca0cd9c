"""Users, their tokens and quotas, as the HTTP API tells of them. Knows no service.

Times are milliseconds since 1970; sizes are bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from cellfleet.spec.job import UserName

Role = Literal["admin", "user", "viewer"]
"""`viewer`: sees what the user of this name has, changes nothing. `admin`: sees and does everything."""


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Quota(BaseModel):
    """What a user may have; None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: NonNegativeInt | None = None
    """Of uploads."""
    running_jobs: NonNegativeInt | None = None


class NewToken(_Request):
    """A token for a user, who is made where there is none."""

    user: UserName
    role: Role = "user"
    quota: Quota = Quota()
    note: str = Field(default="", max_length=200)
    days: PositiveInt | None = None
    """Until it expires."""


class TokenInfo(_Answer):
    """A token, without its secret."""

    id: str
    user: UserName
    role: Role
    quota: Quota
    note: str
    created_ms: NonNegativeInt
    expires_ms: NonNegativeInt | None


class TokenMade(_Answer):
    """A new token; its secret is told only here."""

    token: str
    info: TokenInfo


class TokenList(_Answer):
    """All tokens."""

    tokens: tuple[TokenInfo, ...]


class UserInfo(_Answer):
    """A user, and what is used."""

    name: UserName
    quota: Quota
    used_bytes: NonNegativeInt
    running_jobs: NonNegativeInt


class UserList(_Answer):
    """All users who have, or had, a token, by name."""

    users: tuple[UserInfo, ...]
