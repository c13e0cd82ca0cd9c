"""Uploads under way, whatever protocol brings them: announced, added to, made a file of their set, given up.

    incoming/<upload>/upload.json   an `Upload`
    incoming/<upload>/done          the file is in its set: bytes that a client sends again change nothing

The declared size counts against the owner's quota from the beginning, and goes on counting as the file's. Knows no
HTTP; how the bytes are kept stands in `incoming.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from cellfleet.errors import ServiceError
from cellfleet.observe import metrics
from cellfleet.service import incoming, sets
from cellfleet.service.access import User
from cellfleet.service.incoming import Receiver, folder_of_upload, incoming_of
from cellfleet.service.state import Service
from cellfleet.spec.access import Quota
from cellfleet.spec.http import NewDirectUpload, UploadSet
from cellfleet.spec.job import JobId
from cellfleet.stores import multipart
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import BucketPlace, Place
from cellfleet.stores.url import child

DAYS_TO_FINISH: Final = 7
_DAY_MS: Final = 86_400_000
_HOPELESS = frozenset({"E921", "E922", "E928"})
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
    service: Service,
    user: User,
    found: UploadSet,
    file: NewDirectUpload,
    *,
    begin: Callable[[Upload], str] | None = None,
) -> Upload:
    """Take note of an upload, and reserve its bytes.

    Args:
        service: Whose.
        user: Who asks.
        found: The set.
        file: What will come.
        begin: Returns the id of a new multipart upload, where the bytes do not come through the service.

    Raises:
        ServiceError: E920, E922, the path is not possible or not free; E926, it is larger than is allowed.
    """
    upload = Upload(
        id=sets.new_id(),
        set=found.id,
        owner=found.owner,
        path=sets.check_path(file.path),
        length=file.size,
        sha256=file.sha256,
        created_ms=sets.now_ms(),
    )
    check_free(service.store, upload)
    _reserve(service, user, upload)
    try:
        if begin:
            upload = upload.model_copy(update={"direct": begin(upload)})
        service.store.write(_head(upload.id), upload.model_dump_json().encode())
    except BaseException:
        service.ledger.give_back(upload.owner, upload.length)
        raise
    return upload


def find_upload(service: Service, user: User, identity: str, *, direct: bool = False) -> Upload:
    """Return an upload, of this kind, that the user may add to. Raises `ServiceError` E903, E927."""
    found = _read(service.store, identity)
    if found is None or not user.may_see(found.owner) or (found.direct is not None) != direct:
        raise no_such_upload(identity)
    user.check_may_change(found.owner)
    return found


def no_such_upload(identity: str) -> ServiceError:
    """Return the error that says so."""
    action = "It may have expired or been given up: begin a new one"
    return ServiceError("E927", "there is no such upload", status=404, where=identity, action=action)


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
            raise no_such_upload(upload.id)
        yield receiver


def finish(service: Service, upload: Upload, receiver: Receiver) -> None:
    """Make what has arrived a file of its set, if all is here. May be repeated after a crash.

    Raises:
        ServiceError: E928, it is not what was announced; E922, the path is not free any more; E921, the set is gone.
            The upload is gone then, too.
    """
    if receiver.offset < upload.length or is_done(service.store, upload):
        return
    with giving_up_the_hopeless(service, upload):
        check_free(service.store, upload)
        try:
            receiver.publish(upload.target, upload.length, upload.sha256)
        except FileExistsError:
            if not incoming.same_content(receiver, service.store, upload.target):
                raise taken(upload) from None
            # Another upload brought it, and counts for it.
            service.ledger.give_back(upload.owner, upload.length)
        except incoming.DamagedError as error:
            raise damaged(upload) from error
    mark_done(service.store, upload)


def mark_done(store: Place, upload: Upload) -> None:
    """Remember that the file is in its set; what else is kept of the upload goes."""
    store.write(_done(upload.id), b"")
    metrics.upload_ended("direct" if upload.direct else "service", upload.length)
    for file in list_in_order(store, folder_of_upload(upload.id)):
        if file.name not in {"upload.json", "done"}:
            store.remove(f"{folder_of_upload(upload.id)}/{file.name}")


@contextmanager
def giving_up_the_hopeless(service: Service, upload: Upload) -> Iterator[None]:
    """Give an upload up when the block raises what another attempt would meet again."""
    try:
        yield
    except ServiceError as error:
        if error.code in _HOPELESS:
            give_up(service, upload)
        raise


def give_up(service: Service, upload: Upload) -> None:
    """Forget an upload; what it has not brought to its set does not count any more."""
    counts = is_done(service.store, upload) or _became_file(service.store, upload)
    service.store.remove(_head(upload.id))
    service.store.remove(folder_of_upload(upload.id))
    if not counts:
        service.ledger.give_back(upload.owner, upload.length)


def check_free(store: Place, upload: Upload) -> None:
    """Refuse a path that another file has, as far as can be told without its content.

    Raises:
        ServiceError: E921, the set is gone; E922.
    """
    if sets.read_set(store, upload.set) is None:
        raise ServiceError("E921", "the set of this upload has been deleted", status=404, where=upload.set)
    sets.check_free(store, sets.folder_of(upload.set), upload.path)
    there = store.size(upload.target)
    if there is not None and there != upload.length:
        raise taken(upload)


def taken(upload: Upload) -> ServiceError:
    """Return the error that says that a set has another file of this path."""
    return sets.taken(upload.path, "there is another file of this path in this set")


def damaged(upload: Upload) -> ServiceError:
    """Return the error that says that a file is not the one that was announced."""
    what = "what has arrived has another SHA-256 than was announced"
    return ServiceError("E928", what, status=460, where=upload.path, action="Send it again")


def expire_uploads(service: Service, now_ms: int) -> int:
    """Give up the uploads whose time is over, and remove what is left of others; return how many.

    Args:
        service: Whose.
        now_ms: Milliseconds since 1970.
    """
    ended, oldest_ms = 0, now_ms - DAYS_TO_FINISH * _DAY_MS
    if isinstance(service.store, BucketPlace) and multipart.can_sign(service.store.url):
        multipart.abort_older(service.store.url, oldest_ms)
    for identity in _identities(service.store):
        if sets.made_ms(identity) <= oldest_ms:
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


def _became_file(store: Place, upload: Upload) -> bool:
    """Throw away the parts that a client sent to the bucket, if any; or say that they were made the file already."""
    if upload.direct is None:
        return False
    target = child(store.url, upload.target)
    if multipart.arrived(target, upload.direct) is None:
        return store.size(upload.target) == upload.length
    multipart.abort(target, upload.direct)
    return False


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


def _read(store: Place, identity: str) -> Upload | None:
    if not sets.is_id(identity):
        return None
    content = store.read(_head(identity))
    return None if content is None else Upload.model_validate_json(content)


def _head(identity: str) -> str:
    return f"{folder_of_upload(identity)}/upload.json"


def _done(identity: str) -> str:
    return f"{folder_of_upload(identity)}/done"
