"""Telling what a newer cellfleet wrote from what is damaged, while an upgrade is under way: docs/decisions/0026.

An *order* says what is to be done: it is understood whole, or not carried out. A *report* says what was done: what is
not known in it is passed by. Knows no queue and no store.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cellfleet.errors import JobError

_M = TypeVar("_M", bound=BaseModel)

NEWER = "E821"
_UNKNOWN = frozenset({"extra_forbidden", "literal_error", "union_tag_invalid"})
"""What pydantic calls a field, a word or a `format_version`, and a kind that it has never heard of."""


def read_order(model: type[_M], content: str | bytes, where: str) -> _M:
    """Read what is to be done.

    Raises:
        JobError: E821, a newer cellfleet wrote it.
        ValidationError: It is damaged.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        if any(found["type"] not in _UNKNOWN for found in error.errors()):
            raise
        raise JobError(
            NEWER, "a newer cellfleet asks for what this one does not know", where=where, action="Upgrade this one"
        ) from error
