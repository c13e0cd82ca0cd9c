"""Places that the service can reach itself, to look through before a job is made of one."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request

from cellfleet.service import places
from cellfleet.service.context import Asking, Shared
from cellfleet.service.turns import Turns
from cellfleet.spec.http import Place, PlaceCount, PlaceRequest, PlaceToCount

router = APIRouter(prefix="/api/v1/places", tags=["looking"])

_AT_ONCE: Final = 4
_WAITING, _WAIT_SECONDS = 8, 20.0


def turns() -> Turns:
    """Return what bounds how many look through places at a time, for one application."""
    return Turns(_AT_ONCE, waiting=_WAITING, wait_seconds=_WAIT_SECONDS)


@router.post("")
def list_place(request: Request, service: Shared, user: Asking, wanted: PlaceRequest) -> Place:
    """List the folders, images and archives in a place; of no place, where looking may begin."""
    with request.app.state.places.take("lists"):
        return places.list_place(service.settings, wanted)


@router.post("/count")
def count_place(request: Request, service: Shared, user: Asking, wanted: PlaceToCount) -> PlaceCount:
    """Count the images in a place and all below it, and estimate their pixels."""
    with request.app.state.places.take("counts"):
        return places.count_place(service.settings, wanted.place)
