"""Uploads under way, whatever protocol brings them: announced, added to, made a file of their set, given up.

    incoming/<upload>/upload.json   an `Upload`
    incoming/<upload>/done          the file is in its set: bytes that a client sends again change nothing

The declared size counts against the owner's quota from the beginning, and goes on counting as the file's. Knows no
HTTP; how the bytes are kept stands in `incoming.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from cellfleet.errors import ServiceError
from cellfleet.service import incoming, sets
from cellfleet.service.access import User
from cellfleet.service.incoming import Receiver, folder_of_upload, incoming_of
from cellfleet.service.state import Service
from cellfleet.spec.http import Quota, UploadSet
from cellfleet.spec.job import JobId
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import Place

DAYS_TO_FINISH: Final = 7
_DAY_MS: Final = 86_400_000
_HOPELESS = frozenset({"E921", "E922"})
"""Errors that another attempt would meet again."""


class Upload(BaseModel):
    """What was announced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    id: JobId
    set: JobId
    owner: str
    """Of the set: whose quota it counts against."""
    path: str
    length: NonNegativeInt
    """Bytes."""
    sha256: str | None
    """Of the whole file, in hexadecimal digits; None: it is not checked."""
    created_ms: NonNegativeInt
    told: str = ""
    """The metadata, as the client wrote them."""
    direct: str | None = None
    """Id of the multipart upload, where the bytes go straight to a bucket (`direct_uploads.py`)."""

    @property
    def expires_ms(self) -> int:
        """When it is given up unless it is whole."""
        return self.created_ms + DAYS_TO_FINISH * _DAY_MS

    @property
    def target(self) -> str:
        """Where in the store the file will be."""
        return f"{sets.folder_of(self.set)}/{self.path}"


def announce(
    service: Service, user: User, found: UploadSet, path: str, length: int, sha256: str | None, *, told: str = ""
) -> Upload:
    """Take note of an upload to a set, and reserve its bytes.

    Raises:
        ServiceError: E920, E922, the path is not possible or not free; E926, it is larger than is allowed.
    """
    sets.check_path(path)
    upload = Upload(
        id=sets.new_id(),
        set=found.id,
        owner=found.owner,
        path=path,
        length=length,
        sha256=sha256,
        created_ms=sets.now_ms(),
        told=told,
    )
    _check_free(service.store, upload)
    _reserve(service, user, upload)
    write(service.store, upload)
    return upload


def write(store: Place, upload: Upload) -> None:
    """Remember an upload."""
    store.write(_head(upload.id), upload.model_dump_json().encode())


def find_upload(service: Service, user: User, identity: str) -> Upload:
    """Return an upload that the user may add to. Raises `ServiceError` E903, E927."""
    found = _read(service.store, identity)
    if found is None or not user.may_see(found.owner):
        action = "It may have expired or been given up: begin a new one"
        raise ServiceError("E927", "there is no such upload", status=404, where=identity, action=action)
    user.check_may_change(found.owner)
    return found


def is_done(store: Place, upload: Upload) -> bool:
    """Say whether the file is in its set."""
    return store.exists(_done(upload.id))


def offset(store: Place, upload: Upload) -> int:
    """Return how many bytes have arrived, durably."""
    return upload.length if is_done(store, upload) else incoming_of(store).offset(upload.id)


@contextmanager
def receiving(store: Place, upload: Upload) -> Iterator[Receiver]:
    """Yield the right to add to an upload. Raises `ServiceError` E925, E927."""
    with incoming_of(store).receiving(upload.id) as receiver:
        # Somebody may have ended it before we had the lock; then what the lock has made is nobody's.
        if not store.exists(_head(upload.id)):
            store.remove(folder_of_upload(upload.id))
            raise ServiceError("E927", "this upload has just been ended", status=404, where=upload.id)
        yield receiver


def finish(service: Service, upload: Upload, receiver: Receiver) -> None:
    """Make what has arrived a file of its set, if all is here. May be repeated after a crash.

    Raises:
        ServiceError: E928, it is not what was announced; E922, the path is not free any more; E921, the set is gone.
            The upload is gone then, too.
    """
    if receiver.offset < upload.length or is_done(service.store, upload):
        return
    try:
        _check_set(service.store, upload)
        _check_free(service.store, upload)
        receiver.publish(upload.target, upload.length, upload.sha256)
    except FileExistsError:
        if not incoming.same_content(receiver, service.store, upload.target):
            give_up(service, upload)
            raise sets.taken(upload.path, "there is another file of this path in this set") from None
        # Another upload brought it, and counts for it.
        service.ledger.give_back(upload.owner, upload.length)
    except incoming.DamagedError as error:
        give_up(service, upload)
        action = "Send it again"
        what = "what has arrived has another SHA-256 than was announced"
        raise ServiceError("E928", what, status=460, where=upload.path, action=action) from error
    except ServiceError as error:
        if error.code in _HOPELESS:
            give_up(service, upload)
        raise
    service.store.write(_done(upload.id), b"")
    _remove_bytes(service.store, upload)


def give_up(service: Service, upload: Upload) -> None:
    """Forget an upload; what it has not brought to its set does not count any more."""
    done = is_done(service.store, upload)
    service.store.remove(_head(upload.id))
    service.store.remove(folder_of_upload(upload.id))
    if not done:
        service.ledger.give_back(upload.owner, upload.length)


def expire_uploads(service: Service, now_ms: int) -> int:
    """Give up the uploads whose time is over, and remove what is left of others; return how many.

    Args:
        service: Whose.
        now_ms: Milliseconds since 1970.
    """
    ended = 0
    for identity in _identities(service.store):
        if sets.made_ms(identity) + DAYS_TO_FINISH * _DAY_MS <= now_ms:
            upload = _read(service.store, identity)
            if upload is not None:
                give_up(service, upload)
            else:
                service.store.remove(folder_of_upload(identity))
            ended += 1
    return ended


def used_bytes(store: Place) -> Mapping[str, int]:
    """Add up what counts against quotas, by owner: for a ledger that was lost."""
    used = Counter[str]()
    for name in store.names("sets"):
        found = sets.read_set(store, PurePosixPath(name).stem)
        if found is not None:
            used[found.owner] += sum(file.size for file in list_in_order(store, sets.folder_of(found.id)))
    for identity in _identities(store):
        upload = _read(store, identity)
        if upload is not None and not is_done(store, upload):
            used[upload.owner] += upload.length
    return used


def _identities(store: Place) -> set[str]:
    """Return the ids of all uploads of which there is anything."""
    return {PurePosixPath(name).parts[1] for name in store.names("incoming")}


def _check_set(store: Place, upload: Upload) -> None:
    if sets.read_set(store, upload.set) is None:
        raise ServiceError("E921", "the set of this upload has been deleted", status=404, where=upload.set)


def _check_free(store: Place, upload: Upload) -> None:
    """Refuse a path that another file has, as far as can be told without its content."""
    sets.check_free(store, sets.folder_of(upload.set), upload.path)
    there = store.size(upload.target)
    if there is not None and there != upload.length:
        raise sets.taken(upload.path, "there is another file of this path in this set")


def _reserve(service: Service, user: User, upload: Upload) -> None:
    largest = service.settings.largest_upload
    if upload.length > largest:
        raise _too_large(upload, f"has {upload.length} bytes; this service takes files of up to {largest}")
    quota = _quota(service, user, upload.owner)
    if not service.ledger.reserve(upload.owner, upload.length, most=quota.bytes):
        used = service.ledger.used(upload.owner)
        raise _too_large(upload, f"has {upload.length} bytes; {used} of the {quota.bytes} that are yours are used")


def _quota(service: Service, user: User, owner: str) -> Quota:
    return user.quota if user.name == owner else service.access.quota(owner)


def _too_large(upload: Upload, what: str) -> ServiceError:
    action = "Delete sets that you do not need any more, or ask an administrator for more room"
    return ServiceError("E926", what, status=413, where=upload.path, action=action)


def _remove_bytes(store: Place, upload: Upload) -> None:
    for file in list_in_order(store, folder_of_upload(upload.id)):
        if file.name not in {"upload.json", "done"}:
            store.remove(f"{folder_of_upload(upload.id)}/{file.name}")


def _read(store: Place, identity: str) -> Upload | None:
    if not sets.is_id(identity):
        return None
    content = store.read(_head(identity))
    return None if content is None else Upload.model_validate_json(content)


def _head(identity: str) -> str:
    return f"{folder_of_upload(identity)}/upload.json"


def _done(identity: str) -> str:
    return f"{folder_of_upload(identity)}/done"
