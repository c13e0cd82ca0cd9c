"""A way to a server on which things go wrong: what is sent is slow, cut off, or answered by somebody else."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Final, Literal

Trouble = Literal["none", "slow", "cut", "refused"]
TROUBLES: Final[tuple[Trouble, ...]] = ("slow", "cut", "refused")

_SLOW_SECONDS = 0.1
_LOOK_SECONDS = 0.2
_PIECE = 1 << 16
_BODY = b"<Error><Code>ServiceUnavailable</Code><Message>in trouble</Message></Error>"
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    + f"Content-Length: {len(_BODY)}\r\n\r\n".encode()
    + _BODY
)


class TroubledWay:
    """Passes on bytes between clients and a port of this machine, as long as there is no trouble."""

    def __init__(self, target: int) -> None:
        """Listen on a port of its own."""
        self.trouble: Trouble = "none"
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            while True:
                for ready in select.select([client, server], [], [], _LOOK_SECONDS)[0]:
                    piece = ready.recv(_PIECE)
                    if not piece or self._in_trouble(client):
                        return
                    (server if ready is client else client).sendall(piece)

    def _in_trouble(self, client: socket.socket) -> bool:
        if self.trouble == "slow":
            time.sleep(_SLOW_SECONDS)
        elif self.trouble == "refused":
            client.sendall(_REFUSAL)
        return self.trouble in {"cut", "refused"}
