"""Results for people without a token: a zip route, and addresses that are signed and expire.

Whoever has a link has what it shows until it expires, also when its maker's token is revoked; removing the job ends it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from cellfleet.errors import ServiceError
from cellfleet.service.context import Asking, Changing, Shared, job_to_see
from cellfleet.service.files import SAFETY, Pieces, answer_file, disposition
from cellfleet.service.results import spec_to_see
from cellfleet.service.routes.files import FILE
from cellfleet.service.routes.images import Number
from cellfleet.service.sets import now_ms
from cellfleet.service.sizes import sizes_of
from cellfleet.service.state import Service
from cellfleet.service.zip import MOST_FILES, Choice, members_of, zip_pieces
from cellfleet.spec.choices import Format
from cellfleet.spec.downloads import LONGEST_NAMED, Link, NewLink, Sizes
from cellfleet.spec.http import Job
from cellfleet.spec.job import JobId

router = APIRouter(tags=["results"])

Named = Annotated[
    str, Query(max_length=LONGEST_NAMED, description="Only images with this in their name; without it all.")
]
_ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The zip.", "content": {"application/zip": {}}}}


class _Shown(BaseModel):
    """What a link shows; signed, so nobody can change it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: str
    """``zip`` or ``files``. Other things that are signed have no such field."""
    job: JobId
    formats: tuple[Format, ...] = ()
    named: str = ""


@router.get("/api/v1/jobs/{job}/sizes")
def get_sizes(job: JobId, service: Shared, user: Asking, named: Named = "") -> Sizes:
    """Say what the results weigh, by format; estimated from some images where there are many."""
    return sizes_of(service.desk, job_to_see(service, user, job), named)


@router.head("/api/v1/jobs/{job}/zip", response_class=Response, include_in_schema=False)
@router.get("/api/v1/jobs/{job}/zip", response_class=Response, responses=_ZIP)
def get_zip(
    job: JobId,
    request: Request,
    service: Shared,
    user: Asking,
    formats: Annotated[tuple[Format, ...], Query(alias="format", description="Only these; without it all.")] = (),
    images: Annotated[tuple[Number, ...], Query(alias="image", max_length=1000, description="Only these.")] = (),
    named: Named = "",
) -> Response:
    """Send the results as a zip; while the job runs, those of the images that are done."""
    return _zip(request, service, job_to_see(service, user, job), Choice(formats, images, named))


@router.post("/api/v1/jobs/{job}/links", status_code=201)
def create_link(job: JobId, body: NewLink, request: Request, service: Shared, user: Changing) -> Link:
    """Make an address that shows the results without a token until it expires."""
    spec = spec_to_see(service, user, job)
    _check_formats(body.formats, spec.formats)
    if body.what == "files" and (body.formats or body.named):
        what = "a link to files shows those of all formats and images"
        action = "Leave `formats` and `named` out, or ask for a link to a zip"
        raise ServiceError("E945", what, status=422, action=action)
    return signed_link(service, public_base(request, service), body, job, _file_name(spec.name, job))


def signed_link(service: Service, base: str, new: NewLink, job: JobId, name: str) -> Link:
    """Return an address below `base` that shows results of a job; a zip is called `name`."""
    expires_ms = now_ms() + 1000 * new.seconds
    shown = _Shown(link=new.what, job=job, formats=new.formats, named=new.named)
    token = service.access.sign(shown.model_dump(mode="json"), expires_ms)
    tail = "files/" if new.what == "files" else f"{quote(name)}.zip"
    return Link(url=f"{base}/links/{token}/{tail}", expires_ms=expires_ms)


def public_base(request: Request, service: Service) -> str:
    """Return the address that clients reach the service at, without a slash at its end."""
    return (service.settings.public_url or str(request.base_url)).rstrip("/")


@router.head("/links/{token}/files/{path:path}", response_class=Response, include_in_schema=False)
@router.get("/links/{token}/files/{path:path}", response_class=Response, responses=FILE)
def get_linked_file(token: str, path: str, request: Request, service: Shared) -> Response:
    """Send a file of the results that a link of the kind `files` shows."""
    return answer_file(request, service.desk.results(_shown(service, token, "files").job), path)


@router.head("/links/{token}/{name}.zip", response_class=Response, include_in_schema=False)
@router.get("/links/{token}/{name}.zip", response_class=Response, responses=_ZIP)
def get_linked_zip(token: str, name: str, request: Request, service: Shared) -> Response:
    """Send the zip that a link shows. Its name is only for people."""
    shown = _shown(service, token, "zip")
    return _zip(request, service, service.desk.job(shown.job), Choice(shown.formats, named=shown.named))


def _zip(request: Request, service: Service, job: Job, choice: Choice) -> Response:
    _check_formats(choice.formats, job.formats)
    named = sum(1 for _ in service.desk.names(job.id, named=choice.named)) if choice.named else 0
    wanted = len(choice.images) or named or job.progress.images_done
    if wanted * len(choice.formats or job.formats) > MOST_FILES:
        action = "Choose formats or images, or fetch single files; `cellfleet jobs fetch` does"
        raise ServiceError("E944", f"a zip holds at most {MOST_FILES} files", status=422, where=job.id, action=action)
    name = disposition(f"{_file_name(job.name, job.id)}.zip")
    headers = {**SAFETY, "Content-Type": "application/zip", "Content-Disposition": name}
    if request.method == "HEAD":
        return Response(headers=headers)
    place = service.desk.results(job.id)
    return Pieces(zip_pieces(place, members_of(service.desk, job, place, choice)), headers=headers)


def _shown(service: Service, token: str, what: str) -> _Shown:
    """Return what a link shows. Raises `ServiceError` E946 unless we made it, for this, and it has not expired."""
    try:
        shown = _Shown.model_validate(service.access.verify(token) or {})
    except ValidationError:
        shown = None
    if shown is None or shown.link != what:
        action = "Ask whoever gave it to you for a new one"
        raise ServiceError("E946", "this link has expired, or is not complete", status=404, action=action)
    return shown


def _check_formats(wanted: Sequence[Format], there: Sequence[Format]) -> None:
    missing = [form for form in wanted if form not in there]
    if missing:
        what = f"the job has no results in the format {missing[0]}"
        action = f"It has {', '.join(there)}; `cellfleet export` makes others of results that were fetched"
        raise ServiceError("E945", what, status=422, where=missing[0], action=action)


def _file_name(name: str, job: str) -> str:
    """Return a name for the zip that every file system takes."""
    plain = re.sub(r"[^\w .,()+-]+", "_", name).strip(" ._")[:80]
    return plain or job
