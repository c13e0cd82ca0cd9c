"""The OpenAPI document holds: whatever is sent, no server error, and answers are as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.services import Running, running_service
from tests.worked import add_job, add_set, broken_image, small_image, work_off

pytestmark = pytest.mark.slow

CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
TRIED = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Known:
    """A service, and ids of things in it."""

    running: Running
    token: str
    ids: dict[str, object]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        client = running.client("ann")
        made = add_set(running, "ann", {"a.tif": small_image(), "b.tif": broken_image()})
        job = add_job(client, made)
        work_off(running)
        ids = {"job": job, "set_id": made, "number": 0, "path": "run.json", "name": "nuclei"}
        yield Known(running, running.token("root", "admin"), ids)


def faults(known: Known, *, there: bool) -> list[str]:
    """Send requests to every operation; return what is wrong with answers.

    Args:
        known: The service.
        there: Ask only for what is there; remove nothing, and wait for nothing.
    """
    schema = schemathesis.openapi.from_url(f"{known.running.url}/api/v1/openapi.json")
    found = []
    for operation in (result.ok() for result in schema.get_all_operations()):
        named = known.ids.keys() & {parameter.name for parameter in operation.path_parameters}
        if there and (not named or operation.method == "delete" or operation.path.endswith("/events")):
            continue
        try:
            _try(operation, known, sorted(named) if there else [])
        except BaseExceptionGroup as fault:
            found.append(f"{operation.label}: {fault}")
    return found


def _try(operation: schemathesis.schemas.APIOperation, known: Known, named: list[str]) -> None:
    @given(case=operation.as_strategy())
    @TRIED
    def tried(case: schemathesis.Case) -> None:
        case.path_parameters.update({name: known.ids[name] for name in named})
        case.call_and_validate(checks=CHECKED, headers={"Authorization": f"Bearer {known.token}"})

    tried()


def test_no_request_meets_a_server_error_or_an_answer_that_is_not_described(known: Known) -> None:
    assert faults(known, there=False) == []


def test_no_request_for_what_is_there_does(known: Known) -> None:
    assert faults(known, there=True) == []
