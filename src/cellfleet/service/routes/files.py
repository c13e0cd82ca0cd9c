"""Result files of a job, whole or by range: for browsers, and for viewers that read an OME-Zarr chunk by chunk."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from cellfleet.errors import ServiceError
from cellfleet.service.context import Asking, Shared
from cellfleet.service.files import answer_file
from cellfleet.service.results import results_to_see
from cellfleet.spec.job import JobId

router = APIRouter(prefix="/api/v1/jobs/{job}", tags=["results"])

FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file.", "content": {"*/*": {}}},
    204: {"description": "There is no such file, and the request said that this is no error."},
    206: {"description": "The range of the file that was asked for.", "content": {"*/*": {}}},
    304: {"description": "The client has it already."},
}
"""What a route that sends a file may answer."""

Missing = Annotated[
    Literal["204"] | None,
    Query(
        description="What to answer instead of 404: a zarr lacks the chunks that are background, and that is no error."
    ),
]


@router.head("/files/{path:path}", response_class=Response, include_in_schema=False)
@router.get("/files/{path:path}", response_class=Response, responses=FILE)
def get_file(
    job: JobId, path: str, request: Request, service: Shared, user: Asking, missing: Missing = None
) -> Response:
    """Send a file of the results, by its path in the results folder. Knows Range, If-None-Match and If-Range."""
    try:
        return answer_file(request, results_to_see(service, user, job), path)
    except ServiceError as error:
        if missing is None or error.status != HTTPStatus.NOT_FOUND:
            raise
        return Response(status_code=HTTPStatus.NO_CONTENT)
