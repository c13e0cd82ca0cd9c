"""The page of metrics and the log of requests, of a real service."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ledgers import a_job, redis_of, submitted
from tests.services import Running, running_service, wait_until

from cellfleet.jobs.ledger import Ledger
from cellfleet.observe.logs import setup_logging

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    with running_service(tmp_path, login=True) as running:
        yield running


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    setup_logging("json", "info", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def page(service: Running) -> dict[str, float]:
    answer = service.client("prometheus", "viewer").get("/metrics")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_page_tells_what_waits_in_the_ledger(service: Running) -> None:
    ledger = service.service.ledger
    submitted(ledger, a_job("a", priority="batch"), 5)
    assert ledger.claim("worker") is not None
    found = page(service)
    assert found["cellfleet_ledger_up"] == 1
    assert found["cellfleet_tasks_queued priority=batch"] == 4
    assert found["cellfleet_tasks_leased priority=batch"] == 1
    assert found["cellfleet_tasks_queued priority=interactive"] == 0
    assert found["cellfleet_tasks_dead"] == 0


def test_a_ledger_that_hangs_does_not_take_the_page_with_it(service: Running) -> None:
    other = Ledger(service.service.ledger.url)
    process = int(redis_of(other).info("server")["process_id"])
    other.close()
    os.kill(process, signal.SIGSTOP)
    try:
        found = page(service)
        assert found["cellfleet_ledger_up"] == 0 and "cellfleet_tasks_dead" not in found
        assert "cellfleet_event_watchers" in found
    finally:
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: page(service)["cellfleet_ledger_up"] == 1, "the ledger is back")


def test_requests_are_counted_by_template_and_errors_by_code(service: Running) -> None:
    client = service.client("ada")
    before = page(service)
    for _ in range(3):
        assert client.get("/api/v1/jobs/no-such-job?token=hunter2").status_code == 404
    found = page(service)
    for name in (
        "cellfleet_http_requests_total method=GET route=/api/v1/jobs/{job} status=404",
        "cellfleet_http_errors_total code=E810",
    ):
        assert found[name] - before.get(name, 0) == 3
    assert not any("no-such-job" in name for name in found)


def test_the_page_is_private_where_tokens_are_needed(service: Running) -> None:
    assert service.client().get("/metrics").status_code == 401


def test_every_request_is_a_line_that_says_who_asked(service: Running, logged: io.StringIO) -> None:
    answer = service.client("ada").get("/api/v1/jobs/no-such-job?token=hunter2")
    number = answer.headers["X-Request-Id"]

    def mine() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in logged.getvalue().splitlines()]
        return [line for line in lines if line["logger"] == "cellfleet.access" and line["request"] == number]

    wait_until(mine, "the line is written")
    (line,) = mine()
    assert (line["route"], line["status"], line["user"]) == ("/api/v1/jobs/{job}", 404, "ada")
    assert "hunter2" not in logged.getvalue() and "cf_" not in logged.getvalue()
