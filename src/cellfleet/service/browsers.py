"""What protects people whose browser is led to the service by a page of somebody else. Knows no user and no route.

Without login, this machine is trusted: so nobody else may connect, no name but this machine's leads here (DNS
rebinding), and no page of another site may ask. With login, a page of another site may ask only with a token in hand.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellfleet.errors import ServiceError
from cellfleet.service.errors import answer
from cellfleet.service.state import Settings

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Who has one of these has come through a proxy on this machine, from anywhere."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise itself."""


class SafeAnswers:
    """Adds headers that keep browsers from guessing, framing, running and remembering."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, safe)


class KnownOrigins:
    """Refuses requests that come from where they should not."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Wrap `app`."""
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await answer(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ServiceError | None:
        headers = Headers(scope=scope)
        if not self._settings.login:
            if not _is_loopback(scope) or any(name in headers for name in _OF_PROXIES):
                return _refused("without login, only this machine may connect")
            if _name(headers.get("host", "")) not in _THIS_MACHINE:
                return _refused("without login, the service answers to localhost and 127.0.0.1 only")
        origin = headers.get("origin")
        if origin is None or (self._settings.login and "authorization" in headers):
            return None
        return (
            None if self._is_ours(origin, headers.get("host", "")) else _refused("this comes from another site's page")
        )

    def _is_ours(self, origin: str, host: str) -> bool:
        public = self._settings.public_url
        if public is not None and origin == "{0.scheme}://{0.netloc}".format(urlsplit(public)):
            return True
        return origin in {f"http://{host}", f"https://{host}"}


def is_loopback(address: str) -> bool:
    """Say whether an IP address or name is this machine's own, reached by nobody else."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and is_loopback(client[0])


def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refused(why: str) -> ServiceError:
    return ServiceError("E910", f"refused: {why}", status=403, action="docs/reference/service.md tells how to log in")
