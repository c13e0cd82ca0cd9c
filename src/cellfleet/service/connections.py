"""The HTTP server: uvicorn with bounds on what a connection may cost around its requests.

uvicorn itself waits for ever for the headers of a request, and for a client that does not take its answer. Knows no
route; what a request may cost stands in `limits.py`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cellfleet.errors import ServiceError
from cellfleet.service.errors import answer
from cellfleet.service.limits import Limits, busy, headers_too_large, too_slow

_LINGER_SECONDS = 1.0
"""A socket that is closed while its client sends is reset, and the client misses the answer: so read on a little."""

_THROW_AWAY = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def http_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """Return a server for `app`; it takes its sockets when it is run."""
    config = uvicorn.Config(
        app,
        http=cast(Any, partial(PatientProtocol, limits=limits)),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # or whoever sends X-Forwarded-For could say where he is
        timeout_keep_alive=cast(int, limits.idle_seconds),
        timeout_graceful_shutdown=cast(int, limits.stop_seconds),
        h11_max_incomplete_event_size=limits.header_bytes,
    )
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """One connection; it waits for its client, but not for ever."""

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        """Pass on what uvicorn gives."""
        super().__init__(*args, **named)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        """Runs while a request, or the rest of one that was answered, is arriving."""
        self._write_timer: asyncio.TimerHandle | None = None
        """Runs while the client does not take what was sent."""
        self._received = False
        self._hung_up = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()
        if len(self.connections) > self._limits.connections:
            self._refuse(busy())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting_for_head()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._hung_up:
            return
        if not self._serving and not self._received:
            self._wait_for_head()
            self._received = True
        super().data_received(data)
        if self._serving:
            self._stop_waiting_for_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._received = False
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.idle_seconds, self._abandon)

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or has too large headers."""
        if len(self.conn.trailing_data[0]) > self._limits.header_bytes:
            self._refuse(headers_too_large(self._limits))
        else:
            self._refuse(ServiceError("E902", "this is no HTTP request that can be read", status=400))

    @property
    def _serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._stop_waiting_for_head()
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _stop_waiting_for_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._received:
            self._refuse(too_slow())
        else:
            self.transport.abort()

    def _abandon(self) -> None:
        """Hang up, and have the system throw away what the client did not take; it would offer that for minutes."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _THROW_AWAY)
        self.transport.abort()

    def _refuse(self, error: ServiceError) -> None:
        """Answer outside of any request, and hang up."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            told = answer(error, headers={"Connection": "close"})
            for event in (
                h11.Response(status_code=told.status_code, headers=told.raw_headers),
                h11.Data(data=bytes(told.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.write_eof()
        self._hung_up = True
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)
