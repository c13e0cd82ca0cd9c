"""Who may do what: users, their tokens, roles and quotas, and the secret that signs links. Knows no HTTP.

All of it is in the store, one small file per thing, so that several processes share it without a lock:

    access/tokens/<id>.json    a token: its SHA-256, user, role, expiry; <id> = the first 16 digits of the SHA-256
    access/users/<name>.json   a user's quota
    access/secret              signs links; made once

What was read is believed for five seconds: so long a token that another process revoked may still work here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from cellfleet.errors import ServiceError
from cellfleet.spec.access import NewToken, Quota, Role, TokenInfo, TokenMade
from cellfleet.spec.job import UserName
from cellfleet.stores.place import Place

_T = TypeVar("_T")

UNLIMITED: Final = Quota()

_TOKEN = re.compile("cf_[0-9a-f]{64}")
"""32 random bytes: nobody guesses one, so a plain SHA-256 hides it well enough. Small letters and digits alone, because
kiosk-client turns the address that it is given, and with it a token there, into small letters."""
_TOKEN_ID = re.compile("[0-9a-f]{16}")
_BELIEVED_SECONDS: Final = 5.0
_MOST_REMEMBERED: Final = 10_000
_DAY_MS: Final = 86_400_000
_SECRET_BYTES: Final = 32
_LONGEST_SIGNED: Final = 8192


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    role: Role
    quota: Quota = UNLIMITED

    def may_see(self, owner: str) -> bool:
        """Say whether what `owner` has is this user's to see."""
        return self.role == "admin" or self.name == owner

    def may_change(self, owner: str) -> bool:
        """Say whether what `owner` has is this user's to change."""
        return self.role != "viewer" and self.may_see(owner)

    def check_may_change(self, owner: str) -> None:
        """Raise `ServiceError` E903 unless what `owner` has is this user's to change."""
        if not self.may_change(owner):
            action = "Ask an administrator for a token with the role `user`"
            raise ServiceError("E903", "this token may look, not change", status=403, where=self.name, action=action)


LOCAL = User("local", "admin")
"""Everybody, where no login is needed."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1


class _Token(_Stored):
    sha256: str
    user: UserName
    role: Role
    note: str
    created_ms: NonNegativeInt
    expires_ms: NonNegativeInt | None

    @property
    def id(self) -> str:
        return self.sha256[:16]


class _UserFile(_Stored):
    quota: Quota


class Access:
    """Tokens, quotas and signatures of one store. Every method may be called from any thread, and fails as `Place`."""

    def __init__(self, store: Place, default_quota: Quota = UNLIMITED) -> None:
        """Take the store; nothing is read yet.

        Args:
            store: Where tokens are.
            default_quota: Of users for whom none is set.
        """
        self.store = store
        self._default_quota = default_quota
        self._tokens: _Remembered[_Token] = _Remembered(self._read_token)
        self._quotas: _Remembered[Quota] = _Remembered(self._read_quota)
        self._secret: bytes | None = None

    def user(self, token: str) -> User | None:
        """Return whose token this is; None: it is none, or not any more."""
        if not _TOKEN.fullmatch(token):
            return None
        digest = _sha256(token)
        found = self._tokens.get(digest[:16])
        if found is None or not hmac.compare_digest(found.sha256, digest) or _expired(found):
            return None
        return User(found.user, found.role, self.quota(found.user))

    def quota(self, name: str) -> Quota:
        """Return what a user may have."""
        return self._quotas.get(name) or self._default_quota

    def make_token(self, new: NewToken) -> TokenMade:
        """Make a token; the user is made, or given this quota if one is said."""
        token = "cf_" + secrets.token_hex(32)
        now = _now_ms()
        made = _Token(
            sha256=_sha256(token),
            user=new.user,
            role=new.role,
            note=new.note,
            created_ms=now,
            expires_ms=None if new.days is None else now + new.days * _DAY_MS,
        )
        if "quota" in new.model_fields_set:
            self.store.write(_user_file(new.user), _UserFile(quota=new.quota).model_dump_json().encode())
            self._quotas.forget(new.user)
        self.store.write(_token_file(made.id), made.model_dump_json().encode())
        self._tokens.forget(made.id)
        return TokenMade(token=token, info=self._info(made))

    def tokens(self) -> list[TokenInfo]:
        """Return all tokens, those that expired too, oldest first."""
        found = [token for token in map(self._read_token, self._token_ids()) if token is not None]
        return [self._info(token) for token in sorted(found, key=lambda token: (token.created_ms, token.id))]

    def revoke(self, token_id: str) -> None:
        """Remove a token. Raises `ServiceError` E909 if there is none of this id."""
        if not _TOKEN_ID.fullmatch(token_id) or self.store.read(_token_file(token_id)) is None:
            action = "`cellfleet tokens list` shows the ids"
            raise ServiceError("E909", "there is no such token", status=404, where=token_id, action=action)
        self.store.remove(_token_file(token_id))
        self._tokens.forget(token_id)

    def sign(self, payload: Mapping[str, Any], expires_ms: int) -> str:
        """Return a text for addresses that carries `payload` (JSON), and that nobody else can make, until a time.

        The payload can be read by everybody who has the text. It must say what it is for: whoever verifies it must not
        take a signature of one purpose for one of another.
        """
        content = _base64(json.dumps({"expires_ms": expires_ms, "payload": payload}, separators=(",", ":")).encode())
        return f"{content}.{self._signature(content)}"

    def verify(self, signed: str) -> dict[str, Any] | None:
        """Return the payload of what `sign` made; None: somebody else made it, or its time is over."""
        content, _, signature = signed.partition(".")
        if len(signed) > _LONGEST_SIGNED or not signed.isascii():
            return None
        if not hmac.compare_digest(signature, self._signature(content)):
            return None
        try:
            found = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
        except (binascii.Error, ValueError):  # signed by us, so never; a strict reader costs nothing
            return None
        return dict(found["payload"]) if found["expires_ms"] > _now_ms() else None

    def _signature(self, content: str) -> str:
        return _base64(hmac.digest(self._signing_secret(), content.encode(), "sha256"))

    def _signing_secret(self) -> bytes:
        if self._secret is None:
            self.store.create("access/secret", secrets.token_hex(_SECRET_BYTES).encode())
            self._secret = self.store.read("access/secret")
        assert self._secret is not None and len(self._secret) == 2 * _SECRET_BYTES, "access/secret is damaged"
        return self._secret

    def _token_ids(self) -> Iterator[str]:
        for name in self.store.names("access/tokens"):
            token_id = name.rpartition("/")[2].removesuffix(".json")
            if _TOKEN_ID.fullmatch(token_id):
                yield token_id

    def _info(self, token: _Token) -> TokenInfo:
        return TokenInfo(
            id=token.id,
            user=token.user,
            role=token.role,
            quota=self.quota(token.user),
            note=token.note,
            created_ms=token.created_ms,
            expires_ms=token.expires_ms,
        )

    def _read_token(self, token_id: str) -> _Token | None:
        content = self.store.read(_token_file(token_id))
        return None if content is None else _Token.model_validate_json(content)

    def _read_quota(self, name: str) -> Quota | None:
        content = self.store.read(_user_file(name))
        return None if content is None else _UserFile.model_validate_json(content).quota


class _Remembered(Generic[_T]):
    """What was read from the store within the last seconds, also that there was nothing."""

    def __init__(self, read: Callable[[str], _T | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, _T | None]] = {}

    def get(self, name: str) -> _T | None:
        now = time.monotonic()
        with self._lock:
            until, found = self._found.get(name, (0.0, None))
        if until > now:
            return found
        found = self._read(name)
        with self._lock:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[name] = (now + _BELIEVED_SECONDS, found)
        return found

    def forget(self, name: str) -> None:
        with self._lock:
            self._found.pop(name, None)


def _token_file(token_id: str) -> str:
    return f"access/tokens/{token_id}.json"


def _user_file(name: str) -> str:
    return f"access/users/{name}.json"


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _expired(token: _Token) -> bool:
    return token.expires_ms is not None and token.expires_ms <= _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
