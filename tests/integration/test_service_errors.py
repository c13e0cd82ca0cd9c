"""Every failure is an answer in JSON that says what happened and what to do; bugs stay with the operator."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator

import pytest
from tests.services import Running, running_service

from cellfleet import errors
from cellfleet.service.errors import status_of
from cellfleet.service.limits import Limits
from cellfleet.spec.http import Problem


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "E900"),
        ("GET", "/api/v1/nothing", 404, "E900"),
        ("GET", "/docs", 404, "E900"),
        ("PUT", "/api/v1/about", 405, "E901"),
        ("GET", "/api/v1/jobs?limit=many", 422, "E902"),
    ],
)
def test_a_failure_is_a_problem(local: Running, method: str, path: str, status: int, code: str) -> None:
    answer = local.client().request(method, path)
    assert answer.status_code == status
    problem = Problem.model_validate(answer.json())
    assert problem.code == code
    assert problem.message.endswith(f"[{code}]") and problem.what in problem.message


def test_the_answer_names_the_methods_that_an_address_knows(local: Running) -> None:
    assert local.client().put("/api/v1/about").headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"days": 0}', ["user: Field required", "days: Input should be greater than 0"]),
        (b'{"user": "ann", "colour": "red"}', ["colour: Extra inputs are not permitted"]),
        (b"{", ["JSON decode error"]),
        (b'{"user": "\\ud800"}', ["user"]),
        (b"[" * 100_000, []),
        (b"\xff\xfe", []),
        (b"", ["Field required"]),
    ],
)
def test_a_request_that_does_not_fit_is_told_where(local: Running, content: bytes, named: list[str]) -> None:
    headers = {"Content-Type": "application/json"}
    answer = local.client().post("/api/v1/admin/tokens", content=content, headers=headers)
    assert answer.status_code in {400, 422}
    problem = answer.json()
    assert problem["code"] == "E902"
    assert all(text in problem["what"] for text in named), problem["what"]


def test_a_bug_is_logged_under_a_number_and_tells_clients_nothing_else(
    local: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr(local.service.access, "tokens", broken)
    with caplog.at_level(logging.ERROR):
        answer = local.client().get("/api/v1/admin/tokens")
    assert (answer.status_code, answer.json()["code"]) == (500, "E599")
    assert "secret" not in answer.text and "Traceback" not in answer.text
    number = re.search("[0-9a-f]{12}", answer.json()["action"])
    assert number is not None
    [record] = [record for record in caplog.records if number[0] in record.getMessage()]
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


def test_where_things_are_on_the_server_stays_there(local: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwritable(name: str) -> None:
        raise errors.OutputError("E302", "cannot be written", where="/srv/private/path")

    monkeypatch.setattr(local.service.access, "revoke", unwritable)
    answer = local.client().delete("/api/v1/admin/tokens/0123456789abcdef")
    assert (answer.status_code, answer.json()["code"]) == (503, "E302")
    assert "/srv" not in answer.text and answer.headers["Retry-After"] == "5"


def test_what_takes_too_long_is_answered(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(tmp_path, limits=Limits(answer_seconds=0.3)) as running:
        go_on = threading.Event()
        monkeypatch.setattr(running.service.access, "tokens", lambda: go_on.wait(30) and [])
        answer = running.client().get("/api/v1/admin/tokens")
        go_on.set()
        assert (answer.status_code, answer.json()["code"]) == (503, "E906")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError("E001", "x"), 400),
        (errors.InputError("E101", "x"), 422),
        (errors.ImageError("E201", "x"), 422),
        (errors.ModelError("E401", "x"), 422),
        (errors.JobError("E810", "x"), 404),
        (errors.JobError("E811", "x"), 409),
        (errors.JobError("E812", "x"), 409),
        (errors.JobError("E816", "x"), 429),
        (errors.LedgerError("E801", "x"), 503),
        (errors.OutputError("E301", "x"), 507),
        (errors.OutputError("E302", "x"), 503),
        (errors.TrainingError("E601", "x"), 422),
        (errors.TrainingError("E630", "x"), 404),
        (errors.ServiceError("E999", "x", status=418), 418),
    ],
)
def test_every_error_has_its_status(error: errors.CellfleetError, status: int) -> None:
    assert status_of(error) == status


def test_the_document_names_operations_once_and_describes_their_errors(local: Running) -> None:
    document = local.client().get("/api/v1/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) > 40
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)
    assert all("4XX" in operation["responses"] for operation in operations)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
