"""Counts what goes to and from a bucket: a proxy before a real S3 server that passes every request on unchanged."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.servers import S3

_PIECE = 1 << 16
_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Moved:
    """One request of the server."""

    method: str
    path: str
    """With the query."""
    up: int
    """Bytes of the body of the request."""
    down: int
    """Bytes of the body of the answer."""
    status: int


@dataclass
class Traffic:
    """All requests; may be cleared."""

    server: S3
    """The proxy, to be asked instead of the server."""
    requests: list[Moved] = field(default_factory=list)


@contextlib.contextmanager
def counted(endpoint: str) -> Iterator[Traffic]:
    """Run a proxy before the server at `endpoint` while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        server.daemon_threads = True
        traffic = Traffic(S3(f"http://127.0.0.1:{server.server_port}"))
        server.traffic, server.upstream = traffic, urlsplit(endpoint).netloc  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield traffic
        server.shutdown()
        thread.join()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = _PIECE

    def _pass_on(self) -> None:
        body = self._body()
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)  # type: ignore[attr-defined]
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOPS:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        moved = Moved(self.command, self.path, len(body), len(content), answer.status)
        self.server.traffic.requests.append(moved)  # type: ignore[attr-defined]
        self._answer(answer, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOPS:
                self.send_header(name, value)
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 (names that http.server calls)
