"""A look at an input before a job is made of it."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request

from cellfleet.service import looking
from cellfleet.service.context import Asking, Shared
from cellfleet.service.turns import Turns
from cellfleet.spec.http import Inspected, InspectRequest

router = APIRouter(tags=["looking"])

AT_ONCE: Final = 2
_WAITING, _WAIT_SECONDS = 8, 20.0


def turns() -> Turns:
    """Return what bounds how many look at a time, for one application."""
    return Turns(AT_ONCE, waiting=_WAITING, wait_seconds=_WAIT_SECONDS)


@router.post("/api/v1/inspect")
def inspect_input(request: Request, service: Shared, user: Asking, wanted: InspectRequest) -> Inspected:
    """Tell which images are in an input, and of one its axes, channels, pixel size and a small picture."""
    with request.app.state.looks.take("looks at images"):
        return looking.inspect(service, user, wanted)
