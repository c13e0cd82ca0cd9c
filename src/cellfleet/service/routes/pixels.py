"""The pixels of a job's images, as a multiscale OME-Zarr for viewers; see `cellfleet.service.pyramid`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cellfleet.errors import ServiceError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.read import open_image
from cellfleet.service.context import Asking, Shared
from cellfleet.service.pyramid import Pyramid, array_metadata, group_metadata
from cellfleet.service.routes.images import Number, get_image
from cellfleet.service.state import Service
from cellfleet.spec.http import JobImage
from cellfleet.spec.job import JobId
from cellfleet.spec.record import ImageRecord

router = APIRouter(prefix="/api/v1/jobs/{job}/images/{number}/pixels", tags=["results"])

_FOR_A_WHILE = {"Cache-Control": "private, max-age=3600"}


@router.get("/zarr.json")
def get_pixels(job: JobId, number: Number, request: Request, service: Shared, user: Asking) -> dict[str, Any]:
    """Describe the image as an OME-Zarr 0.5 with the contrast that the model saw."""
    image = get_image(job, number, service, user)
    pyramid = _pyramid(request, service, job, image)
    return group_metadata(pyramid, _windows(image.record, pyramid.image.channels))


@router.get("/{level}/zarr.json")
def get_level(job: JobId, number: Number, level: int, request: Request, service: Shared, user: Asking) -> Any:
    """Describe one level of the image."""
    pyramid = _pyramid(request, service, job, get_image(job, number, service, user))
    if not 0 <= level < pyramid.levels:
        raise _missing(f"level {level}")
    return JSONResponse(array_metadata(pyramid, level), headers=_FOR_A_WHILE)


@router.get("/{level}/c/{t}/{c}/{z}/{y}/{x}", response_class=Response)
def get_chunk(  # noqa: PLR0913, PLR0917 (the address of a chunk has these parts)
    job: JobId,
    number: Number,
    level: int,
    t: int,
    c: int,
    z: int,
    y: int,
    x: int,
    request: Request,
    service: Shared,
    user: Asking,
) -> Response:
    """Send 512 × 512 pixels of one channel of one plane, uncompressed."""
    pyramid = _pyramid(request, service, job, get_image(job, number, service, user))
    try:
        chunk = pyramid.chunk(level, t, c, z, y, x)
    except IndexError as error:
        raise _missing(f"{level}/c/{t}/{c}/{z}/{y}/{x}") from error
    return Response(chunk.tobytes(), media_type="application/octet-stream", headers=_FOR_A_WHILE)


def _pyramid(request: Request, service: Service, job: str, image: JobImage) -> Pyramid:
    axes = service.desk.spec(job).segment.axes

    def opened(pieces: ChunkCache) -> Image:
        return open_image(service.desk.source(job, image.number), axes=axes, cache=pieces)

    return request.app.state.pyramids.get((job, image.number), opened)  # type: ignore[no-any-return]


def _windows(record: ImageRecord | None, channels: int) -> list[tuple[float, float] | None]:
    """Return the contrast of each channel that the model saw; a workflow's was that of another image."""
    windows: list[tuple[float, float] | None] = [None] * channels
    if record is not None and record.predicted is None:
        for numbers, window in zip(record.channels_used.values(), record.contrast, strict=False):
            if len(numbers) == 1 and 0 < numbers[0] <= channels:
                windows[numbers[0] - 1] = window
    return windows


def _missing(what: str) -> ServiceError:
    action = "zarr.json says what there is"
    return ServiceError("E947", "the image has no such level or chunk", status=404, where=what, action=action)
