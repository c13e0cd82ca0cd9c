"""The names that clients of the DeepCell Kiosk have for jobs: ``<queue>:<image>:<job>``. Knows no job.

A job that cannot be done as asked is not made, but their client tells its user why only of jobs that failed. So a
refusal gets a name of the same form that carries the reason: nothing has to be kept for it.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_JOB_ID: Final = "[0-9a-z][0-9a-z-]{0,62}"
_REFUSED: Final = "refused."
"""No id of a job has a full stop."""
_LONGEST: Final = 16_384
_LONGEST_REASON: Final = 1000


class Refusal(BaseModel):
    """Why there is no job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(max_length=_LONGEST_REASON)
    at_ms: int = Field(ge=0, lt=1 << 47)
    """Milliseconds since 1970; dates end in the year 9999."""


def job_key(job_type: str, image: str, job: str) -> str:
    """Return the name of a job."""
    queue = f"{job_type}-zip" if image.lower().endswith(".zip") else job_type
    return f"{queue}:{image}:{job}"


def refusal_key(job_type: str, image: str, reason: str) -> str:
    """Return a name for a job that is not made."""
    refusal = Refusal(reason=reason[:_LONGEST_REASON], at_ms=time.time_ns() // 1_000_000)
    return job_key(job_type, image, _REFUSED + base64.urlsafe_b64encode(refusal.model_dump_json().encode()).decode())


def named_by(key: str) -> str | Refusal | None:
    """Return the id of the job that `key` is the name of, or why there is none; None for what is no name of a job."""
    named = key[:_LONGEST].rpartition(":")[2]
    if re.fullmatch(_JOB_ID, named):
        return named
    if not named.startswith(_REFUSED):
        return None
    try:
        content = base64.urlsafe_b64decode(named.removeprefix(_REFUSED))
        return Refusal.model_validate_json(content)
    except ValueError:
        return None
