"""What OpenAPI says of the kiosk's routes beyond their signatures: bodies are read leniently. Knows no route."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cellfleet.service.kiosk_form import JobForm, PredictForm


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": dict(properties)}


def _body(schema: Mapping[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _answer(description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _object(properties)}}}


_KEY: Final = {"type": "string", "description": "Name of a job, as `predict` gave it."}
_FIELD: Final = {"type": "string", "description": "Name of a field."}
_WORD: Final = {"anyOf": [{"type": "string", "maxLength": 1000}, {"type": "number"}, {"type": "null"}]}
_NUMBER: Final = {"type": "integer"}
_FORM: Final = {field.alias or name: _WORD for name, field in PredictForm.model_fields.items()}
_MORE: Final = {field.alias or name: _WORD for name, field in JobForm.model_fields.items()}

BODIES: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "/api/upload": _body(_object({"file": {"type": "string", "format": "binary"}}, "file"), "multipart/form-data"),
        "/api/predict": _body(_object({**_FORM, "jobForm": _object(_MORE)}, "jobType", "imageName")),
        "/api/redis": _body(_object({"hash": _KEY, "key": {"anyOf": [_FIELD, {"type": "array", "items": _FIELD}]}})),
        "/api/status": _body(_object({"hash": _KEY})),
        "/api/redis/expire": _body(_object({"hash": _KEY, "expireIn": {"type": "number", "description": "Seconds."}})),
    }
)
"""Path → what is said of its request."""
ANSWERS: Final[Mapping[str, dict[int | str, dict[str, Any]]]] = MappingProxyType(
    {
        "/api/predict": {200: _answer("The name of the job.", {"hash": _KEY})},
        "/api/redis/expire": {
            200: _answer("It will be removed.", {"value": _NUMBER}),
            404: _answer("There is no such job.", {"value": _NUMBER}),
        },
    }
)
"""Path → what is said of answers that its signature does not tell of."""
