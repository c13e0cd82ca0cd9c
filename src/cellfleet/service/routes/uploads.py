"""Resumable uploads: the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload).

Core with the extensions creation, creation-with-upload, checksum, expiration and termination. Bodies are read as they
come and written in threads. What an upload is stands in `cellfleet.service.uploads`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.service import body, sets, tus, uploads
from cellfleet.service.access import User
from cellfleet.service.context import Changing, Shared
from cellfleet.service.errors import answer, status_of
from cellfleet.service.state import Service
from cellfleet.service.uploads import Upload
from cellfleet.spec.http import NewDirectUpload

_CONTENT_TYPE = "application/offset+octet-stream"


class _TusRoute(APIRoute):
    """Answers every request, refused ones too, with the version of the protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                if request.method != "OPTIONS":
                    tus.check_version(request.headers)
                response = await handle(request)
            except CellfleetError as error:
                if status_of(error) >= 500:
                    raise  # told and logged where all are
                response = answer(error, headers={"Tus-Version": tus.VERSION})
            response.headers["Tus-Resumable"] = tus.VERSION
            return response

        return answered


router = APIRouter(tags=["uploads"], route_class=_TusRoute)


@router.options("/api/v1/uploads", status_code=204)
def tus_options(service: Shared) -> Response:
    """Tell what of the tus protocol is spoken here."""
    return Response(status_code=204, headers={**tus.HEADERS, "Tus-Max-Size": str(service.settings.largest_upload)})


@router.post("/api/v1/uploads", status_code=201)
async def tus_create(request: Request, service: Shared, user: Changing) -> Response:
    """Announce a file (Upload-Length; Upload-Metadata: set, path, sha256); its first bytes may come along."""
    length = tus.number_of(request.headers, "upload-length")
    metadata = tus.metadata_of(request.headers.get("upload-metadata", ""))

    def announce() -> Upload:
        found = sets.find_set(service, user, metadata.set, change=True)
        file = NewDirectUpload(path=sets.check_path(metadata.path), size=length, sha256=metadata.sha256)
        return uploads.announce(service, user, found, file)

    upload = await run_in_threadpool(announce)
    offset = await _receive(request, service, upload, 0) if _has_body(request) or not length else 0
    place = f"{service.settings.public_url or ''}{request.url.path.rstrip('/')}/{upload.id}"
    return Response(status_code=201, headers={"Location": place, "Upload-Offset": str(offset), **_expires(upload)})


@router.head("/api/v1/uploads/{upload_id}")
def tus_offset(service: Shared, user: Changing, upload_id: str) -> Response:
    """Tell how many bytes of an upload have arrived."""
    upload = uploads.find_upload(service, user, upload_id)
    offset = uploads.offset(service.store, upload)
    if offset == upload.length and not uploads.is_done(service.store, upload):
        # All is here, but a process ended before it was done.
        with uploads.receiving(service.store, upload) as receiver:
            uploads.finish(service, upload, receiver)
    metadata = tus.Metadata(upload.set, upload.path, upload.sha256)
    headers = {"Upload-Offset": str(offset), "Upload-Length": str(upload.length), "Cache-Control": "no-store"}
    return Response(headers={**headers, "Upload-Metadata": str(metadata), **_expires(upload)})


@router.patch("/api/v1/uploads/{upload_id}", status_code=204)
async def tus_append(request: Request, service: Shared, user: Changing, upload_id: str) -> Response:
    """Add bytes to an upload, from Upload-Offset on. The last one is answered when the file is whole and checked."""
    return await _append(request, service, user, upload_id)


@router.delete("/api/v1/uploads/{upload_id}", status_code=204)
def tus_end(service: Shared, user: Changing, upload_id: str) -> Response:
    """Give an upload up. What is a file of its set already stays there."""
    return _end(service, user, upload_id)


@router.post("/api/v1/uploads/{upload_id}", status_code=204)
async def tus_override(request: Request, service: Shared, user: Changing, upload_id: str) -> Response:
    """Do what the header X-HTTP-Method-Override says (PATCH, DELETE): some networks let nothing else pass."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await _append(request, service, user, upload_id)
    if method == "DELETE":
        return await run_in_threadpool(_end, service, user, upload_id)
    what = "an upload takes PATCH, HEAD and DELETE; POST only with X-HTTP-Method-Override"
    raise ServiceError("E923", what, status=400, where=upload_id)


async def _append(request: Request, service: Service, user: User, upload_id: str) -> Response:
    if request.headers.get("content-type") != _CONTENT_TYPE:
        raise ServiceError("E923", f"the Content-Type must be {_CONTENT_TYPE}", status=415)
    start = tus.number_of(request.headers, "upload-offset")
    upload = await run_in_threadpool(uploads.find_upload, service, user, upload_id)
    offset = await _receive(request, service, upload, start)
    return Response(status_code=204, headers={"Upload-Offset": str(offset), **_expires(upload)})


def _end(service: Service, user: User, upload_id: str) -> Response:
    upload = uploads.find_upload(service, user, upload_id)
    with uploads.receiving(service.store, upload):
        uploads.give_up(service, upload)
    return Response(status_code=204)


async def _receive(request: Request, service: Service, upload: Upload, start: int) -> int:
    """Take the body of a request as the next bytes of an upload; return the offset behind them.

    Goes on to the end where the answer takes too long to be waited for: to check a large file is such a case.
    """
    return await asyncio.shield(asyncio.create_task(_received(request, service, upload, start)))


async def _received(request: Request, service: Service, upload: Upload, start: int) -> int:
    checksum = tus.checksum_of(request.headers)
    async with contextmanager_in_threadpool(uploads.receiving(service.store, upload)) as receiver:
        done = await run_in_threadpool(uploads.is_done, service.store, upload)
        offset = upload.length if done else receiver.offset
        _check_start(request, upload, start, offset)
        content = body.pieces(request, upload.length - offset)
        try:
            async for data in body.verified(content, checksum) if checksum else content:
                await run_in_threadpool(receiver.add, data)
        except ClientDisconnect:
            pass  # nobody reads the answer; what has come may be the whole file all the same
        finally:
            await run_in_threadpool(receiver.keep)
        await run_in_threadpool(uploads.finish, service, upload, receiver)
        return upload.length if done else receiver.offset


def _check_start(request: Request, upload: Upload, start: int, offset: int) -> None:
    """Refuse bytes that do not follow those that are here, or are more than are missing."""
    if start != offset:
        what = f"{offset} bytes of this upload are here; the request would go on at {start}"
        raise ServiceError("E925", what, status=409, where=upload.id, action="Ask for the offset with HEAD")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > upload.length - offset:
        raise body.too_long(upload.length - offset)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-type") == _CONTENT_TYPE


def _expires(upload: Upload) -> dict[str, str]:
    time = datetime.fromtimestamp(upload.expires_ms / 1000, UTC)
    return {"Upload-Expires": format_datetime(time, usegmt=True)}
