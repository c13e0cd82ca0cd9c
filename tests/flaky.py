"""A proxy of TCP before a server on this machine that a test can cut, and that counts what goes to the server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 1 << 16


@dataclass
class Flaky:
    """The proxy; every connection is cut when `budget` bytes have gone to the server."""

    url: str = ""
    budget: int | None = None
    """None: there is no end."""
    sent: int = 0
    """Bytes that have gone to the server so far."""
    refusing: bool = False
    """Whether new connections are dropped at once."""
    refused: int = 0
    """How many were."""
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _take(self, count: int) -> bool:
        """Count bytes on their way to the server; False: the line is cut instead."""
        with self._lock:
            if self.budget is not None and self.sent + count > self.budget:
                return False
            self.sent += count
            return True


@contextlib.contextmanager
def flaky(url: str) -> Iterator[Flaky]:
    """Run a proxy before the server at `url` while the block runs."""
    target = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    state = Flaky()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=_accept, args=(listener, target, state), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            state.cut()
    thread.join()


def _accept(listener: socket.socket, target: tuple[str, int], state: Flaky) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        if state.refusing:
            client.close()
            state.refused += 1
            continue
        server = socket.create_connection(target)
        state._open |= {client, server}
        for source, sink, counted in ((client, server, True), (server, client, False)):
            threading.Thread(target=_pump, args=(source, sink, state, counted), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, state: Flaky, counted: bool) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            if counted and not state._take(len(data)):
                break
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
