"""How fast the workers are, as they measured it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from cellfleet.planning.speeds import merge
from cellfleet.run.speed_log import read_speeds
from cellfleet.service.context import Asking, Shared
from cellfleet.spec.plan import Speeds

router = APIRouter(tags=["plans"])


@router.get("/api/v1/speeds")
def list_speeds(
    service: Shared,
    user: Asking,
    model: Annotated[str, Query(max_length=130, description="Only of this one: name or name:version.")] = "",
) -> Speeds:
    """List what models took on the machines of the workers so far: sums, one entry per model and kind of machine."""
    pinned = service.models.resolve(model) if model else None
    return Speeds(speeds=tuple(merge(read_speeds(service.store, pinned.sha256 if pinned else ""))))
