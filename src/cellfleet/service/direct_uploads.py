"""Uploads straight to the bucket: the client sends parts to signed addresses, and no pixel passes the service.

An upload is announced and counted like any other (`uploads.py`). Its parts are invisible until `complete` makes them
the file; that is read back once where a SHA-256 was announced. Only S3 has this. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final

from cellfleet.errors import OutputError, ServiceError
from cellfleet.service import incoming, uploads
from cellfleet.service.access import User
from cellfleet.service.state import Service
from cellfleet.service.uploads import Upload
from cellfleet.spec.http import DirectUpload, NewDirectUpload, SetFile, UploadSet
from cellfleet.stores import multipart
from cellfleet.stores.place import BucketPlace, Place
from cellfleet.stores.url import child

PART_BYTES: Final = 16 << 20
_MOST_PARTS: Final = 9_000
"""S3 takes 10 000; files that need more get larger parts."""
_MIB: Final = 1 << 20


def offered(store: Place) -> bool:
    """Say whether this store takes files from clients."""
    return isinstance(store, BucketPlace) and multipart.can_sign(store.url)


def server(store: Place) -> str | None:
    """Return scheme and host of the server that takes files from clients; None: they go through the service."""
    if not offered(store):
        return None
    try:
        return multipart.server_of_parts(child(store.url, "any"))
    except OutputError:  # no credentials, so no address for anybody
        return None


def begin(service: Service, user: User, found: UploadSet, new: NewDirectUpload) -> DirectUpload:
    """Announce a file.

    Raises:
        ServiceError: E931, the store takes no files from clients; others as `uploads.announce`.
    """
    if not offered(service.store):
        what = "the store of this service takes no files from clients"
        action = "Send the file through the service: /api/v1/uploads"
        raise ServiceError("E931", what, status=409, where=new.path, action=action)

    def start(upload: Upload) -> str:
        return multipart.begin(_target(service, upload))

    upload = uploads.announce(service, user, found, new, begin=start)
    part = _part_bytes(upload.length)
    return DirectUpload(id=upload.id, part_bytes=part, parts=_parts(upload))


def addresses(service: Service, upload: Upload, numbers: tuple[int, ...]) -> dict[int, str]:
    """Return where to put parts. Raises `ServiceError` E927 of an upload that has ended, E932."""
    if uploads.is_done(service.store, upload):
        raise uploads.no_such_upload(upload.id)
    if max(numbers) > _parts(upload):
        raise _not_all(upload, f"it has {_parts(upload)} parts")
    assert upload.direct, "whoever asks has looked"
    target = _target(service, upload)
    return {number: multipart.address_of_part(target, upload.direct, number) for number in numbers}


def complete(service: Service, upload: Upload, etags: Mapping[int, str]) -> SetFile:
    """Make a file of the parts. May be repeated, by several at once too.

    Raises:
        ServiceError: E932, parts are missing, or of another size or content than is said; E928, E922, E921 as
            `uploads.finish`.
    """
    file = SetFile(path=upload.path, size=upload.length)
    if uploads.is_done(service.store, upload):
        return file
    assert upload.direct, "whoever asks has looked"
    with uploads.giving_up_the_hopeless(service, upload):
        uploads.check_free(service.store, upload)
        there = multipart.arrived(_target(service, upload), upload.direct)
        if there is not None:
            _check_parts(upload, there, etags)
            if service.store.size(upload.target) is not None:
                return _sent_twice(service, upload)
            multipart.complete(_target(service, upload), upload.direct, etags)
        _check_content(service, upload)
    uploads.mark_done(service.store, upload)
    return file


def _sent_twice(service: Service, upload: Upload) -> SetFile:
    """Take a file for the one that is there, if that is certain."""
    if upload.sha256 is None or _sha256(service.store, upload.target) != upload.sha256:
        raise uploads.taken(upload)
    uploads.give_up(service, upload)
    return SetFile(path=upload.path, size=upload.length)


def _check_parts(upload: Upload, there: Mapping[int, multipart.ArrivedPart], etags: Mapping[int, str]) -> None:
    expected = range(1, _parts(upload) + 1)
    if sorted(there) != list(expected) or sorted(etags) != list(expected):
        missing = [number for number in expected if number not in there or number not in etags]
        raise _not_all(upload, f"part {missing[0]} is missing" if missing else "there are parts too many")
    for number in expected:
        size = min(_part_bytes(upload.length), upload.length - (number - 1) * _part_bytes(upload.length))
        if there[number].size != size:
            raise _not_all(upload, f"part {number} has {there[number].size} bytes, not {size}")
        if there[number].etag.strip('"') != etags[number].strip('"'):
            raise _not_all(upload, f"part {number} has been replaced since")


def _check_content(service: Service, upload: Upload) -> None:
    """Compare the object that stands now with what was announced; remove it if it is something else."""
    if service.store.size(upload.target) != upload.length:
        raise uploads.no_such_upload(upload.id)
    if upload.sha256 is not None and _sha256(service.store, upload.target) != upload.sha256:
        service.store.remove(upload.target)
        raise uploads.damaged(upload)


def _sha256(store: Place, name: str) -> str:
    digest = hashlib.sha256()
    for data in incoming.read_file(store, name):
        digest.update(data)
    return digest.hexdigest()


def _part_bytes(length: int) -> int:
    return max(PART_BYTES, math.ceil(length / _MOST_PARTS / _MIB) * _MIB)


def _parts(upload: Upload) -> int:
    return max(1, math.ceil(upload.length / _part_bytes(upload.length)))


def _target(service: Service, upload: Upload) -> str:
    return child(service.store.url, upload.target)


def _not_all(upload: Upload, what: str) -> ServiceError:
    action = "Send this part again, and say the ETag that the bucket answers"
    return ServiceError("E932", f"the upload cannot be completed: {what}", status=400, where=upload.path, action=action)
