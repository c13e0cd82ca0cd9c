"""Whatever is sent to the kiosk's routes, there is no server error, and answers are as `swagger.json` says."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from tests.services import running_service

pytestmark = pytest.mark.slow

TRIED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_document_of_the_routes_holds(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        schema = schemathesis.openapi.from_url(f"{running.url}/api/swagger.json")
        checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
        tried = []
        for operation in (result.ok() for result in schema.get_all_operations()):

            @given(case=operation.as_strategy())
            @TRIED
            def try_it(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=checks)

            try_it()
            tried.append(operation.path)
        assert {"/api/upload", "/api/predict", "/api/redis", "/api/redis/expire"} <= set(tried)
