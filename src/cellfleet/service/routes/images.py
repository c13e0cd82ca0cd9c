"""The images of a job: what became of each, while the job runs and afterwards."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from cellfleet.errors import ServiceError
from cellfleet.service.access import User
from cellfleet.service.context import Asking, Shared
from cellfleet.service.files import answer_file
from cellfleet.service.results import results_to_see, spec_to_see
from cellfleet.service.routes.jobs import Limit
from cellfleet.service.state import Service
from cellfleet.spec.http import JobImage, JobImages
from cellfleet.spec.job import JobId

router = APIRouter(prefix="/api/v1/jobs/{job}/images", tags=["results"])

Number = Annotated[int, Field(ge=0, le=1 << 53, description="Of an image, from 0 in the order of the job.")]
_LOOKED_AT: Final = 2000
"""Images that one request looks at, also where few of them have the status that is asked for."""


@router.get("")
def list_images(
    job: JobId,
    service: Shared,
    user: Asking,
    status: Literal["waiting", "done", "failed"] | None = None,
    after: Number | None = None,
    limit: Limit = 100,
) -> JobImages:
    """List images in the order of the job. A page may hold fewer than `limit` and still not be the last."""
    spec_to_see(service, user, job)
    start = 0 if after is None else after + 1
    images = service.desk.images(job, start=start)
    found: list[JobImage] = []
    last = after
    for image in islice(images, _LOOKED_AT):
        if len(found) == limit:
            return JobImages(images=tuple(found), after=last)
        last = image.number
        if status is None or image.status == status:
            found.append(image)
    return JobImages(images=tuple(found), after=last if next(images, None) else None)


@router.get("/{number}")
def get_image(job: JobId, number: Number, service: Shared, user: Asking) -> JobImage:
    """Show what became of one image."""
    return _image(service, user, job, number)


@router.get("/{number}/thumbnail", response_class=Response)
def get_thumbnail(job: JobId, number: Number, request: Request, service: Shared, user: Asking) -> Response:
    """Send the picture of one image with the outlines of its objects."""
    record = _image(service, user, job, number).record
    if record is None or not record.thumbnail:
        action = "Ask again when the image is done"
        raise ServiceError(
            "E943", "this image has no picture, or none yet", status=404, where=str(number), action=action
        )
    return answer_file(request, results_to_see(service, user, job), record.thumbnail)


def _image(service: Service, user: User, job: str, number: int) -> JobImage:
    spec_to_see(service, user, job)
    found = next(service.desk.images(job, start=number), None)
    if found is None:
        action = "They are counted from 0; GET …/images lists those that are known so far"
        raise ServiceError("E942", "the job has no image of this number", status=404, where=str(number), action=action)
    return found
