"""Sets of uploads: make, list, look into, delete."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from cellfleet.service import sets
from cellfleet.service.context import Asking, Changing, Shared
from cellfleet.spec.http import NewSet, SetFiles, UploadSet

router = APIRouter(tags=["sets"])

_SETS_PER_PAGE = 100


@router.post("/api/v1/sets", status_code=201)
def make_set(service: Shared, user: Changing, new: NewSet) -> UploadSet:
    """Make a set: a folder for uploads that belong together."""
    return sets.new_set(service, user, new.name)


@router.get("/api/v1/sets")
def list_sets(service: Shared, user: Asking, after: str | None = None) -> list[UploadSet]:
    """List your sets, newest first, 100 at a time: those that come after the set `after`."""
    return list(islice(sets.list_sets(service, user, after=after), _SETS_PER_PAGE))


@router.get("/api/v1/sets/{set_id}")
def get_set(service: Shared, user: Asking, set_id: str) -> UploadSet:
    """Show a set."""
    return sets.find_set(service, user, set_id)


@router.delete("/api/v1/sets/{set_id}", status_code=204)
def delete_set(service: Shared, user: Changing, set_id: str) -> None:
    """Delete a set with all its files. Jobs that still need them fail; results stay."""
    sets.remove_set(service, sets.find_set(service, user, set_id, change=True))


@router.get("/api/v1/sets/{set_id}/files")
def list_set_files(
    service: Shared,
    user: Asking,
    set_id: str,
    after: Annotated[str | None, Query(max_length=sets.LONGEST_PATH)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> SetFiles:
    """List the whole files of a set, by name: those that come after the path `after`."""
    return sets.files_of(service, sets.find_set(service, user, set_id).id, after=after, limit=limit)
