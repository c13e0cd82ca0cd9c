"""What one request may cost: bytes of headers and body, seconds of waiting, and how many are served at a time.

What a connection may cost before and after its requests stands in `connections.py`. Knows no route but those whose
bodies are large by nature; these have limits of their own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellfleet.errors import ServiceError
from cellfleet.service.errors import answer

_STREAMED = re.compile("/api/v1/uploads|(/kiosk/[^/]*)?/api/upload|/v2/")
"""Below these, bodies are read piece by piece, and the routes say how large they may be."""
_NEVER_REFUSED = "/health/"
"""A busy service is alive."""
_DRAINED_BYTES = 4 << 20
_DRAINED_SECONDS = 1.0
"""What is read of a body that is too large, before the answer: a client that only sends does not see one."""


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused or cut. The defaults are no settings: they hold everywhere but in tests."""

    headers: int = 100
    header_bytes: int = 32 << 10
    body_bytes: int = 1 << 20
    """Of JSON; uploads have limits of their own."""
    head_seconds: float = 20.0
    """From the first byte of a request to the end of its headers."""
    idle_seconds: float = 30.0
    """Between two requests of a connection, between two pieces of a body, and for a client to take what was sent."""
    slowest_body: float = 1000.0
    """Bytes per second on average, after the first `idle_seconds` of waiting for a body."""
    answer_seconds: float = 120.0
    """From the last piece of a body to the beginning of the answer."""
    requests: int = 500
    """Served at a time; streams of events count."""
    connections: int = 1000
    stop_seconds: float = 10.0
    """For open requests to end, when the service stops."""


class Bounded:
    """Keeps every request within limits. One per event loop."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        """Wrap `app`."""
        self._app = app
        self._limits = limits
        self._serving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            if not any(
                name == b"expect" for name, _ in scope["headers"]
            ):  # who expects our word sends no body before it
                await _drain(receive)
            await _refuse(refusal, scope, receive, send)
            return
        self._serving += 1
        try:
            await _Exchange(self._limits, scope, receive, send).run(self._app)
        finally:
            self._serving -= 1

    def _refusal(self, scope: Scope) -> ServiceError | None:
        """Return why a request is not even looked at."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > self._limits.headers or size > self._limits.header_bytes:
            return headers_too_large(self._limits)
        most = _most_bytes(scope, self._limits)
        if most is not None and _length(headers) > most:
            return _too_large(most)
        if self._serving >= self._limits.requests and not scope["path"].startswith(_NEVER_REFUSED):
            return busy()
        return None


def headers_too_large(limits: Limits) -> ServiceError:
    """Return the error that says so."""
    what = f"the headers are more than {limits.headers}, or larger than {limits.header_bytes >> 10} KiB"
    return ServiceError("E905", what, status=431)


def too_slow() -> ServiceError:
    """Return the error for a request that does not arrive."""
    return ServiceError("E908", "the request arrives too slowly", status=408, action="Send it again")


def busy() -> ServiceError:
    """Return the error for a request that finds too many others."""
    return ServiceError("E906", "too many requests are being served", status=503, action="Ask again in some seconds")


def _too_large(most: int) -> ServiceError:
    return ServiceError("E907", f"the body is larger than {most} bytes", status=413, action="Upload files to a set")


def _took_too_long(limits: Limits) -> ServiceError:
    what = f"there was no answer within {limits.answer_seconds:g} s"
    return ServiceError("E906", what, status=503, action="Ask again later")


def _most_bytes(scope: Scope, limits: Limits) -> int | None:
    return None if _STREAMED.match(scope["path"]) else limits.body_bytes


def _length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    said = next((value for name, value in headers if name == b"content-length"), b"")
    return int(said) if said.isdigit() else 0


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    await answer(error, headers={"Connection": "close"})(scope, receive, send)


async def _drain(receive: Receive) -> None:
    left = _DRAINED_BYTES
    try:
        async with asyncio.timeout(_DRAINED_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


class _Exchange:
    """One request and its answer."""

    def __init__(self, limits: Limits, scope: Scope, receive: Receive, send: Send) -> None:
        self._limits = limits
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most_bytes = _most_bytes(scope, limits)
        self._bytes = 0
        self._waited = 0.0
        self._whole = False
        """Whether all of the body has arrived."""
        self._begun = False
        """Whether the answer has begun."""
        self._fault: ServiceError | None = None
        """Why the rest of the body is not waited for."""

    async def run(self, app: ASGIApp) -> None:
        try:
            async with asyncio.timeout(self._limits.answer_seconds) as self._timer:
                await app(self._scope, self._next, self._answer)
        except TimeoutError:
            if not self._timer.expired():
                raise
            self._fault = _took_too_long(self._limits)
        except Exception:
            # An application that is told that its client has left may say so in any way.
            if self._fault is None:
                raise
        if self._fault is not None and not self._begun:
            if self._fault.status == 413:
                await _drain(self._receive)
            await _refuse(self._fault, self._scope, self._receive, self._send)

    async def _next(self) -> Message:
        """Return the next piece of the body, or what follows it."""
        if self._whole or self._fault:
            return await self._receive() if self._whole else {"type": "http.disconnect"}
        self._allow(None)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                message = await self._receive()
        except TimeoutError:
            self._fault = too_slow()
            return {"type": "http.disconnect"}
        finally:
            self._waited += time.monotonic() - began
            self._allow(self._limits.answer_seconds)
        self._whole = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        self._fault = self._fault_of_body()
        return message if self._fault is None else {"type": "http.disconnect"}

    def _fault_of_body(self) -> ServiceError | None:
        if self._most_bytes is not None and self._bytes > self._most_bytes:
            return _too_large(self._most_bytes)
        late = self._waited > self._limits.idle_seconds and self._bytes < self._limits.slowest_body * self._waited
        return too_slow() if late and not self._whole else None

    async def _answer(self, message: Message) -> None:
        if not self._begun and (self._fault is not None or self._timer.expired()):
            return
        if not self._begun:
            self._begun = True
            self._timer.reschedule(None)
        await self._send(message)

    def _allow(self, seconds: float | None) -> None:
        """Give the application so long to begin its answer, from now on."""
        if not self._begun and not self._timer.expired():
            self._timer.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)
