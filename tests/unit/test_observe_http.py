"""The middleware: every request is counted and logged once, by its route; nothing of its address or body is kept."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cellfleet.observe import metrics
from cellfleet.observe.http import Message, Observed, Receive, Scope, Send
from cellfleet.observe.logs import setup_logging

Headers = list[tuple[bytes, bytes]]


def routed(path: str | None = "/api/v1/jobs/{job}", user: str | None = None) -> Callable[[Scope], None]:
    """Return what a router would leave in the scope."""

    def route(scope: Scope) -> None:
        if path is not None:
            scope["route"] = SimpleNamespace(path=path)
        if user is not None:
            scope["state"]["user"] = user

    return route


def application(
    route: Callable[[Scope], None], status: int = 200, kind: bytes = b"text/plain", error: Exception | None = None
) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        route(scope)
        while (await receive()).get("more_body"):
            pass
        logging.getLogger("cellfleet.test").info("inside")
        if error is not None:
            raise error
        if status:
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
            await send({"type": "http.response.body", "body": b"678"})

    return app


def ask(app: Any, *, method: str = "GET", headers: Headers | None = None, on_send: Any = None) -> list[Message]:
    """Send one request with a body of 7 bytes in two pieces; return the messages of the answer."""
    body = iter([{"body": b"abc", "more_body": True}, {"body": b"defg", "more_body": False}])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", **next(body)}

    async def send(message: Message) -> None:
        sent.append(message)
        if on_send is not None:
            on_send()

    scope: MutableMapping[str, Any] = {
        "type": "http",
        "method": method,
        "path": "/api/v1/jobs/secret-job",
        "query_string": b"token=hunter2",
        "headers": headers or [],
        "state": {},
    }
    asyncio.run(Observed(app)(scope, receive, send))
    return sent


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    setup_logging("json", "info", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def count(name: str, **labels: str) -> float:
    families = text_string_to_metric_families(metrics.page()[0].decode())
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def test_a_request_is_counted_by_its_route(logged: io.StringIO) -> None:
    route = "/counted/{job}"
    ask(application(routed(route), 201))
    assert count("cellfleet_http_requests_total", route=route, method="GET", status="201") == 1
    assert count("cellfleet_http_request_seconds_count", route=route, method="GET") == 1
    assert count("cellfleet_http_received_bytes_total", route=route) == 7
    assert count("cellfleet_http_sent_bytes_total", route=route) == 8


def test_a_request_is_one_line_without_its_address(logged: io.StringIO) -> None:
    ask(application(routed(user="ada")), headers=[(b"authorization", b"Bearer hunter2")])
    inside, line = [json.loads(text) for text in logged.getvalue().splitlines()]
    assert line.pop("ms") >= 0 and line.pop("time") and line["request"] == inside["request"]
    del line["request"]
    assert line == {
        "level": "info",
        "logger": "cellfleet.access",
        "message": "GET /api/v1/jobs/{job} 200",
        "method": "GET",
        "route": "/api/v1/jobs/{job}",
        "status": 200,
        "user": "ada",
    }
    assert "hunter2" not in logged.getvalue() and "secret-job" not in logged.getvalue()


@pytest.mark.parametrize(
    ("given", "kept"), [(b"abc-1.2_3", True), (b"", False), (b"a b", False), (b"x" * 65, False), (b"a\n", False)]
)
def test_every_answer_carries_the_id_of_its_request(logged: io.StringIO, given: bytes, kept: bool) -> None:
    (start, *_) = ask(application(routed()), headers=[(b"x-request-id", given)])
    told = dict(start["headers"])[b"x-request-id"]
    assert (told == given) == kept and told
    assert all(json.loads(line)["request"] == told.decode() for line in logged.getvalue().splitlines())


def test_what_has_no_route_and_no_known_method_shares_one_name(logged: io.StringIO) -> None:
    before = count("cellfleet_http_requests_total", route="other", method="other", status="404")
    ask(application(routed(None), 404), method="BREW")
    assert count("cellfleet_http_requests_total", route="other", method="other", status="404") == before + 1


def test_a_client_that_goes_away_and_a_bug_are_told_apart(logged: io.StringIO) -> None:
    ask(application(routed("/gone"), 0))
    with pytest.raises(ZeroDivisionError):
        ask(application(routed("/bug"), error=ZeroDivisionError()))
    assert count("cellfleet_http_requests_total", route="/gone", status="499") == 1
    assert count("cellfleet_http_requests_total", route="/bug", status="500") == 1


def test_watchers_are_counted_while_they_watch(logged: io.StringIO) -> None:
    seen: list[float] = []
    before = count("cellfleet_event_watchers")
    app = application(routed("/events"), kind=b"text/event-stream; charset=utf-8")
    ask(app, on_send=lambda: seen.append(count("cellfleet_event_watchers") - before))
    assert seen == [1, 1, 1]
    assert count("cellfleet_event_watchers") == before


def test_other_connections_pass_through(logged: io.StringIO) -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    asyncio.run(Observed(app)({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"] and logged.getvalue() == ""
