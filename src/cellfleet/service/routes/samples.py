"""Sample images: which there are, and a set with one of them, to try a model without data of one's own."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fastapi import APIRouter

from cellfleet.errors import ServiceError
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.samples import SAMPLES, read_sample
from cellfleet.service import sets, uploads
from cellfleet.service.access import User
from cellfleet.service.context import Asking, Changing, Shared
from cellfleet.service.state import Service
from cellfleet.service.thumbnail import data_address, thumbnail
from cellfleet.spec.http import NewDirectUpload, UploadSet
from cellfleet.spec.samples import Sample, SampleList

router = APIRouter(prefix="/api/v1/samples", tags=["sets"])


@router.get("")
def list_samples(user: Asking) -> SampleList:
    """List the sample images, by name, each with a small picture."""
    return SampleList(samples=_samples())


@router.post("/{name}", status_code=201)
def use_sample(service: Shared, user: Changing, name: str) -> UploadSet:
    """Make a set with one sample image in it, as if you had uploaded it."""
    if name not in SAMPLES:
        action = "GET /api/v1/samples lists all"
        raise ServiceError("E936", "there is no such sample", status=404, where=name[:200], action=action)
    made = sets.new_set(service, user, name)
    _add(service, user, made, name)
    return made


def _add(service: Service, user: User, made: UploadSet, name: str) -> None:
    content = read_sample(name)
    upload = uploads.announce(service, user, made, NewDirectUpload(path=name, size=len(content)))
    with uploads.receiving(service.store, upload) as receiver:
        receiver.add(content)
        receiver.keep()
        uploads.finish(service, upload, receiver)


@cache
def _samples() -> tuple[Sample, ...]:
    return tuple(
        Sample(name=name, what=what, size=len(read_sample(name)), thumbnail=_picture(name))
        for name, what in SAMPLES.items()
    )


def _picture(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(read_sample(name))
        picture, _ = thumbnail(open_image(Source(str(path), name)))
    return data_address(picture, "jpeg")
