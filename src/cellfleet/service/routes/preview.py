"""A region of an image, segmented at once."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request

from cellfleet.service import previews
from cellfleet.service.context import Asking, Shared
from cellfleet.service.turns import Turns
from cellfleet.spec.http import Preview, PreviewRequest

router = APIRouter(tags=["looking"])

AT_ONCE: Final = 2
_WAITING, _WAIT_SECONDS = 8, 20.0


def turns() -> Turns:
    """Return what bounds how many previews are made at a time, for one application."""
    return Turns(AT_ONCE, waiting=_WAITING, wait_seconds=_WAIT_SECONDS)


@router.post("/api/v1/preview")
def preview_region(request: Request, service: Shared, user: Asking, wanted: PreviewRequest) -> Preview:
    """Segment a region of one image at once, to see whether channels, scale and model fit."""
    with request.app.state.previews.take("previews"):
        return previews.preview(service, user, wanted)
