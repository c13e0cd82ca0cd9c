"""Answers the probes of Kubernetes, and Prometheus, over HTTP from threads of their own. Knows not what is probed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cellfleet.errors import UsageError
from cellfleet.observe import metrics

Probe = Callable[[], str]
"""Returns why the answer is no; empty: it is yes."""


@contextlib.contextmanager
def serving_probes(address: str, probes: Mapping[str, Probe]) -> Iterator[str]:
    """Answer ``GET`` of the paths in `probes`, and of ``/metrics``, while the block runs; yield the address.

    A probe says 200, or 503 and why. Port 0: one that is free.

    Raises:
        UsageError: E981, the address is none, or it is not to be had.
    """
    host, _, port = address.rpartition(":")
    action = "Give host and port, such as 0.0.0.0:9100"
    if not (host and port.isdigit() and int(port) < 1 << 16):
        raise UsageError("E981", "is no address for probes", where=repr(address), action=action)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                body, kind = metrics.page()
                self._answer(200, kind, body)
            elif self.path in probes:
                why = probes[self.path]()
                self._answer(503 if why else 200, "text/plain; charset=utf-8", f"{why or 'ok'}\n".encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"not found\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: probes come every few seconds."""

    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        what = f"probes cannot be answered there ({error.strerror or error})"
        raise UsageError("E981", what, where=address, action=action) from error
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
