"""Tokens and users, for administrators."""

from __future__ import annotations

from fastapi import APIRouter, status

from cellfleet.service.context import Admin, Shared
from cellfleet.spec.access import NewToken, TokenList, TokenMade, UserInfo, UserList

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])


@router.get("/tokens")
def list_tokens(service: Shared, admin: Admin) -> TokenList:
    """Return all tokens, those that expired too, oldest first."""
    return TokenList(tokens=tuple(service.access.tokens()))


@router.post("/tokens", status_code=status.HTTP_201_CREATED)
def make_token(service: Shared, admin: Admin, new: NewToken) -> TokenMade:
    """Make a token; its secret is told only now. A quota, where one is said, holds for all tokens of the user."""
    return service.access.make_token(new)


@router.delete("/tokens/{token_id}", status_code=status.HTTP_204_NO_CONTENT)
def revoke_token(service: Shared, admin: Admin, token_id: str) -> None:
    """Let a token open nothing any more; other processes of the service learn of it within five seconds."""
    service.access.revoke(token_id)


@router.get("/users")
def list_users(service: Shared, admin: Admin) -> UserList:
    """Return who has a token, what they may use, and what they do use."""
    names = sorted({token.user for token in service.access.tokens()})
    return UserList(users=tuple(_user(service, name) for name in names))


def _user(service: Shared, name: str) -> UserInfo:
    return UserInfo(
        name=name,
        quota=service.access.quota(name),
        used_bytes=service.ledger.used(name),
        running_jobs=service.ledger.running(name),
    )
