"""Uploads straight to the bucket, where the store is one on S3."""

from __future__ import annotations

from fastapi import APIRouter

from cellfleet.service import direct_uploads, sets, uploads
from cellfleet.service.access import User
from cellfleet.service.context import Changing, Shared
from cellfleet.service.state import Service
from cellfleet.service.uploads import Upload
from cellfleet.spec.http import DirectUpload, NewDirectUpload, PartAddresses, PartNumbers, SentParts, SetFile

router = APIRouter(prefix="/api/v1/sets/{set_id}/direct", tags=["uploads"])


@router.post("", status_code=201)
def begin_direct_upload(service: Shared, user: Changing, set_id: str, new: NewDirectUpload) -> DirectUpload:
    """Announce a file that you will send to the bucket yourself, in parts."""
    found = sets.find_set(service, user, set_id, change=True)
    return direct_uploads.begin(service, user, found, new)


@router.post("/{upload_id}/addresses")
def address_parts(service: Shared, user: Changing, set_id: str, upload_id: str, wanted: PartNumbers) -> PartAddresses:
    """Tell where to PUT parts, for an hour."""
    upload = _upload(service, user, set_id, upload_id)
    return PartAddresses(urls=direct_uploads.addresses(service, upload, wanted.numbers))


@router.post("/{upload_id}/complete")
def complete_direct_upload(service: Shared, user: Changing, set_id: str, upload_id: str, sent: SentParts) -> SetFile:
    """Make a file of the set of the parts that have arrived."""
    upload = _upload(service, user, set_id, upload_id)
    return direct_uploads.complete(service, upload, {part.number: part.etag for part in sent.parts})


@router.delete("/{upload_id}", status_code=204)
def end_direct_upload(service: Shared, user: Changing, set_id: str, upload_id: str) -> None:
    """Give an upload up. What is a file of its set already stays there."""
    uploads.give_up(service, _upload(service, user, set_id, upload_id))


def _upload(service: Service, user: User, set_id: str, upload_id: str) -> Upload:
    upload = uploads.find_upload(service, user, upload_id, direct=True)
    if upload.set != set_id:
        raise uploads.no_such_upload(upload_id)
    return upload
