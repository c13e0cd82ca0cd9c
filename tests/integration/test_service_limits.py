"""What a client may do to a service: large headers and bodies, slowness, crowds, other people's pages."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.services import Running, running_service, wait_until
from tests.worked import add_job, add_set

from cellfleet.service.limits import Limits

QUICK = Limits(head_seconds=0.4, idle_seconds=0.4, requests=3, connections=20)
PATIENT = 20.0


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login, that loses its patience soon."""
    with running_service(tmp_path_factory.mktemp("local"), limits=QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for tokens."""
    with running_service(tmp_path_factory.mktemp("private"), login=True) as running:
        yield running


def connected(running: Running) -> socket.socket:
    parts = urlsplit(running.url)
    return socket.create_connection((parts.hostname, parts.port), PATIENT)


def request(running: Running, sent: bytes) -> bytes:
    """Send bytes; return all that comes back until the service hangs up."""
    with connected(running) as client:
        client.sendall(sent)
        return everything(client)


def everything(client: socket.socket) -> bytes:
    found = b""
    while piece := client.recv(65536):
        found += piece
    return found


def problem(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer with a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


def test_connection_close_is_answered_and_done(local: Running) -> None:
    answer = request(local, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 200") and b"\r\nconnection: close" in head


def test_an_answer_tells_nothing_of_the_server_and_keeps_browsers_careful(local: Running) -> None:
    headers = local.client().get("/health/live").headers
    assert "server" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "headers",
    [b"X-Long: " + b"a" * 40_000 + b"\r\n", b"X-Long: " + b"a" * 1_000_000 + b"\r\n", b"X-Many: a\r\n" * 200],
    ids=["long", "giant", "many"],
)
def test_giant_headers_are_refused(local: Running, headers: bytes) -> None:
    sent = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + headers + b"Connection: close\r\n\r\n"
    assert problem(request(local, sent)) == (431, "E905")


def test_what_is_no_http_is_refused_in_json(local: Running) -> None:
    assert problem(request(local, b"\x16\x03\x01 hello\r\n\r\n")) == (400, "E902")


def test_a_large_body_is_refused_before_it_is_read(local: Running) -> None:
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99000000\r\n\r\n"
    assert problem(request(local, head)) == (413, "E907")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_large_a_body_sees_why_not(private: Running, chunked: bool) -> None:
    body = b" " * (3 << 20)
    client = private.client("ann", "admin")
    answer = client.post("/api/v1/admin/tokens", content=iter([body]) if chunked else body)
    assert (answer.status_code, answer.json()["code"]) == (413, "E907")


def test_a_request_that_never_gets_to_the_end_of_its_headers_is_cut(local: Running) -> None:
    with connected(local) as client:
        began = time.monotonic()
        client.sendall(b"GET /health/live HTTP/1.1\r\n")
        while time.monotonic() - began < PATIENT:  # a byte now and then does not help
            try:
                client.sendall(b"X")
                client.settimeout(0.05)
                answer = client.recv(65536) + everything(client)
                break
            except TimeoutError:
                continue
    assert problem(answer) == (408, "E908")


def test_a_connection_that_says_nothing_is_cut(local: Running) -> None:
    assert request(local, b"") == b""


def test_a_connection_that_says_nothing_after_a_request_is_cut(local: Running) -> None:
    answer = request(local, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come_is_cut(local: Running) -> None:
    head = b"POST /api/v1/admin/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    assert problem(request(local, head)) == (408, "E908")


def test_a_body_that_drips_is_cut(local: Running) -> None:
    head = b"POST /api/v1/admin/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with connected(local) as client:
        client.sendall(head)
        client.settimeout(0.1)
        deadline = time.monotonic() + PATIENT
        answer = b""
        while not answer and time.monotonic() < deadline:
            client.sendall(b" ")
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
        answer += everything(client)
    assert problem(answer) == (408, "E908")


def test_a_client_that_does_not_take_its_answer_is_cut(local: Running) -> None:
    client = local.client()
    job = add_job(client, add_set(local, "local"))
    local.store.write(f"results/{job}/large.bin", bytes(30_000_000))
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        parts = urlsplit(local.url)
        slow.connect((parts.hostname, parts.port))
        slow.sendall(f"GET /api/v1/jobs/{job}/files/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: slow.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the connection is cut")


def test_a_crowd_is_asked_to_come_again(local: Running) -> None:
    head = b"POST /api/v1/admin/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    crowd = [connected(local) for _ in range(QUICK.requests)]
    for client in crowd:
        client.sendall(head)

    def crowded() -> bool:
        answer = local.client().get("/api/v1/about")
        return (answer.status_code, answer.headers.get("Retry-After")) == (503, "5")

    wait_until(crowded, "the service is full")
    assert local.client().get("/health/live").status_code == 200
    for client in crowd:
        client.close()
    wait_until(lambda: local.client().get("/api/v1/about").status_code == 200, "there is room again")


def test_connections_beyond_the_limit_are_refused(local: Running) -> None:
    crowd = [connected(local) for _ in range(QUICK.connections)]
    assert problem(request(local, b"")) == (503, "E906")
    for client in crowd:
        client.close()
    wait_until(lambda: local.client().get("/health/live").status_code == 200, "there is room again")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]"])
def test_without_login_other_names_lead_nowhere(local: Running, host: str) -> None:
    answer = local.client().get("/api/v1/about", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "E910")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_without_login_this_machine_may_ask(local: Running, host: str) -> None:
    assert local.client().get("/api/v1/about", headers={"Host": host}).status_code == 200


def test_without_login_a_proxy_of_this_machine_lets_nobody_in(local: Running) -> None:
    answer = local.client().get("/api/v1/about", headers={"X-Forwarded-For": "203.0.113.7"})
    assert (answer.status_code, answer.json()["code"]) == (403, "E910")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_pages_of_other_sites_may_not_ask(local: Running, private: Running, origin: str) -> None:
    for running in (local, private):
        answer = running.client().post("/api/v1/admin/tokens", json={"user": "eve"}, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "E910")


def test_our_own_page_may_ask(local: Running, private: Running) -> None:
    assert local.client().get("/api/v1/about", headers={"Origin": local.url}).status_code == 200
    with_token = private.client("ann").get("/api/v1/about", headers={"Origin": "https://lab.example"})
    assert with_token.status_code == 200
