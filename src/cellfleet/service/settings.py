"""From the words of the command line to checked settings. Knows no request."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from cellfleet.errors import UsageError
from cellfleet.service.state import Settings
from cellfleet.spec.job import UserName
from cellfleet.stores.url import is_url

_HEADER = re.compile(r"[0-9A-Za-z-]+")


def make_settings(
    *,
    public_url: str | None = None,
    allowed_inputs: Sequence[str] = (),
    kiosk_user: str | None = None,
    user_header: str | None = None,
    trusted_proxies: Sequence[str] = (),
    budget_usd: float | None = None,
    prices: str | None = None,
    retention_days: int | None = None,
) -> Settings:
    """Check settings.

    Raises:
        UsageError: E913, one of them cannot be used.
    """
    return Settings(
        public_url=None if public_url is None else _web_address(public_url),
        allowed_inputs=tuple(path if is_url(path) else os.path.abspath(path) for path in allowed_inputs),
        kiosk_user=None if kiosk_user is None else _user_name(kiosk_user),
        user_header=_header(user_header, trusted_proxies),
        trusted_proxies=tuple(_ip_address(proxy) for proxy in trusted_proxies),
        budget_usd=budget_usd,
        prices=prices,
        retention_days=retention_days,
    )


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise _unfit("--public-url", text, "is no address of a web page", "Write for example https://cells.lab.example")
    return text.rstrip("/")


def _user_name(text: str) -> str:
    try:
        return TypeAdapter(UserName).validate_python(text)
    except ValidationError as error:
        action = "Use small letters, digits and . _ @ -"
        raise _unfit("--kiosk-user", text, "is no name of a user", action) from error


def _header(name: str | None, proxies: Sequence[str]) -> str | None:
    if name is None and proxies:
        raise _unfit("--trust", proxies[0], "needs --user-header", "Say in which header the proxy names the user")
    if name is not None and not _HEADER.fullmatch(name):
        raise _unfit("--user-header", name, "is no name of a header", "Write for example X-Forwarded-User")
    if name is not None and not proxies:
        action = "Give the address from which the proxy connects"
        raise _unfit("--user-header", name, "needs --trust: anybody can send a header", action)
    return name


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise _unfit("--trust", text, "is no IP address", "Write for example 10.0.0.7") from error


def _unfit(option: str, value: str, what: str, action: str) -> UsageError:
    return UsageError("E913", f"{value!r} {what}", where=option, action=action)
