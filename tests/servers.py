"""Real servers on this machine for tests: S3 by moto (correct) and nanio (checks signatures), and a web server."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 60
_KEYS = {
    "AWS_ACCESS_KEY_ID": "cellfleet-test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret-but-long",
    "AWS_REGION": "us-east-1",
}


@dataclass(frozen=True)
class S3:
    """A running S3 server."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which cellfleet finds the server."""
        return {**_KEYS, "AWS_ENDPOINT_URL": self.endpoint}

    @property
    def client(self) -> Any:
        """Another client's view of the server."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=_KEYS["AWS_REGION"],
        )

    def new_bucket(self) -> str:
        """Make a bucket; return its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def moto() -> Iterator[S3]:
    """An S3 server that keeps everything in memory and checks no signature."""
    with moto_server() as server:
        yield server


@contextlib.contextmanager
def moto_server() -> Iterator[S3]:
    """Run moto while the block runs."""
    port = _free_port()
    with _running([str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)], port, {}):
        yield S3(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server that refuses wrong signatures."""
    port = _free_port()
    words = ["serve", "--data-dir", str(tmp_path_factory.mktemp("nanio")), "--host", "127.0.0.1", "--port", str(port)]
    keys = {"NANIO_ACCESS_KEY": _KEYS["AWS_ACCESS_KEY_ID"], "NANIO_SECRET_KEY": _KEYS["AWS_SECRET_ACCESS_KEY"]}
    with _running([str(Path(sys.executable).with_name("nanio")), *words], port, keys):
        yield S3(f"http://127.0.0.1:{port}")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No cloud settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "SSL_CERT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture
def bucket(moto: S3, clean_environment: pytest.MonkeyPatch) -> str:
    """The address of a new bucket that the environment gives access to."""
    for name, value in moto.environment.items():
        clean_environment.setenv(name, value)
    return f"s3://{moto.new_bucket()}"


@dataclass
class WebServer:
    """A web server with a few files."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    """Path and query → content."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and range of every request."""
    ranges: bool = True
    """Whether parts of files are sent."""
    lengths: bool = True
    """Whether the length of a file is told."""
    status: int = 0
    """What every request is answered with; 0 for the file."""
    moved: dict[str, str] = field(default_factory=dict)
    """Path → address that it redirects to."""


@contextlib.contextmanager
def web_server(*, certificate: tuple[Path, Path] | None = None) -> Iterator[WebServer]:
    """Run a web server in a thread; with `certificate` (certificate, key) over TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme, host = ("https", "localhost") if certificate else ("http", "127.0.0.1")
        web = WebServer(f"{scheme}://{host}:{server.server_port}")
        server.web = web  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield web
        server.shutdown()
        thread.join()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key of ``localhost``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        web: WebServer = self.server.web  # type: ignore[attr-defined]
        asked = self.headers.get("Range", "")
        web.requests.append((self.command, self.path, asked))
        if web.status or self.path not in {**web.files, **web.moved}:
            self.send_error(web.status or 404)
            return
        if self.path in web.moved:
            self.send_response(302)
            self.send_header("Location", web.moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(web, web.files[self.path], asked, body=body)

    def _send(self, web: WebServer, content: bytes, asked: str, *, body: bool) -> None:
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", asked) if web.ranges else None
        if part and int(part[1]) >= len(content):
            self.send_error(416)
            return
        if part:
            first, end = int(part[1]), min(int(part[2]) + 1, len(content))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
            content = content[first:end]
        else:
            self.send_response(200)
        if web.lengths:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.close_connection = True
        self.end_headers()
        if body:
            with contextlib.suppress(ConnectionError):  # a client may stop reading
                self.wfile.write(content)


@contextlib.contextmanager
def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    env = {**os.environ, **environment}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} does not start"
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
