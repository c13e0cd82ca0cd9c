"""A middleware that counts requests and writes one log line for each. Plain ASGI: knows no framework and no route.

It reads two things that routing leaves in the scope: the route that was found, and `state["user"]`, who asked.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from cellfleet.observe import metrics
from cellfleet.observe.logs import log_context

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADER: Final = b"x-request-id"
_ID: Final = re.compile(rb"[0-9A-Za-z._-]{1,64}")
_GONE: Final = 499
"""As nginx says it: the client went away before there was an answer."""

_log = logging.getLogger("cellfleet.access")


class Observed:
    """Wraps an application. Put it outermost, so that it sees what clients see."""

    def __init__(self, app: App) -> None:
        """Take the application."""
        self._app = app
        metrics.prepare("service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        with log_context(request=request.id):
            try:
                await self._app(scope, request.receive, request.send)
            except Exception:
                request.failed = True
                raise
            finally:
                request.tell()


class _Request:
    """One request, from its first byte to the last of its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.perf_counter()
        self._status = 0
        self._received = self._sent = 0
        self._streams = False
        self.failed = False
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        self.id = given.decode() if _ID.fullmatch(given) else secrets.token_hex(8)
        """As a proxy in front of us names it, so that its log and ours can be laid side by side."""

    async def receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", ()))
            self._watch(any(value.startswith(b"text/event-stream") for _, value in headers))
            message = {**message, "headers": [*headers, (_HEADER, self.id.encode())]}
        self._sent += len(message.get("body", b""))
        await self._send(message)

    def _watch(self, streams: bool) -> None:
        self._streams = streams
        if streams:
            metrics.watchers_changed(1)

    def tell(self) -> None:
        """Count the request, and write its line."""
        if self._streams:
            metrics.watchers_changed(-1)
        seconds = time.perf_counter() - self._began
        status = self._status or (500 if self.failed else _GONE)
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        route = getattr(self._scope.get("route"), "path", "other")
        metrics.request_ended(method, route, status, seconds=seconds, received=self._received, sent=self._sent)
        fields: dict[str, object] = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        if user := self._scope.get("state", {}).get("user"):
            fields["user"] = user
        _log.info("%s %s %d", method, route, status, extra=fields)
