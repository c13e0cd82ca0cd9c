"""Sets: folders of uploads that belong together, each of one owner.

    sets/<set>.json         an `UploadSet`; written first and removed last
    uploads/<set>/<path>    a whole file

Knows no HTTP and not how files arrive (`uploads.py`, `direct_uploads.py`).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from cellfleet.errors import ServiceError
from cellfleet.service.access import User
from cellfleet.service.state import Service
from cellfleet.spec.http import SetFile, SetFiles, UploadSet
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import Place

LONGEST_PATH, LONGEST_NAME = 1000, 255
"""Characters of a path; bytes of each of its parts, which is what file systems take."""
_TIME_DIGITS = 11
_ID = re.compile("[0-9a-z][0-9a-z-]{0,62}")
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")
_RESERVED = ".cellfleet"
"""What begins so is cellfleet's own: records of results, files that are being written."""


def new_id() -> str:
    """Return an id that nobody can guess; later ones sort behind earlier ones."""
    return f"{now_ms():0{_TIME_DIGITS}x}{secrets.token_hex(8)}"


def made_ms(identity: str) -> int:
    """Return when an id was made, milliseconds since 1970."""
    return int(identity[:_TIME_DIGITS], 16)


def is_id(text: str) -> bool:
    """Say whether this may be an id: what a client says becomes a part of a name in the store."""
    return _ID.fullmatch(text) is not None


def now_ms() -> int:
    """Return the time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_set(service: Service, user: User, name: str) -> UploadSet:
    """Make a set that belongs to `user`."""
    made = UploadSet(id=new_id(), name=name, owner=user.name, created_ms=now_ms())
    service.store.write(_head(made.id), made.model_dump_json().encode())
    return made


def find_set(service: Service, user: User, identity: str, *, change: bool = False) -> UploadSet:
    """Return a set that the user may see, or change.

    Raises:
        ServiceError: E921, there is none, or it is somebody else's; E903, the user may only look.
    """
    found = read_set(service.store, identity)
    if found is None or not user.may_see(found.owner):
        action = "Make one with POST /api/v1/sets, or look at GET /api/v1/sets"
        raise ServiceError("E921", "there is no such set", status=404, where=identity, action=action)
    if change:
        user.check_may_change(found.owner)
    return found


def read_set(store: Place, identity: str) -> UploadSet | None:
    """Return a set, whoever it belongs to; None if there is none."""
    if not is_id(identity):
        return None
    content = store.read(_head(identity))
    return None if content is None else UploadSet.model_validate_json(content)


def set_ids(store: Place) -> Iterator[str]:
    """Yield the ids of all sets, in no order."""
    names = (PurePosixPath(name) for name in store.names("sets"))
    yield from (name.stem for name in names if name.suffix == ".json" and is_id(name.stem))


def list_sets(service: Service, user: User, *, after: str | None = None) -> Iterator[UploadSet]:
    """Yield the user's own sets, newest first, those after the set `after`."""
    for identity in sorted(set_ids(service.store), reverse=True):
        if after is None or identity < after:
            found = read_set(service.store, identity)
            if found is not None and found.owner == user.name:
                yield found


def files_of(service: Service, identity: str, *, after: str | None, limit: int) -> SetFiles:
    """Return a page of the files of a set. Raises `ServiceError` E920 if `after` can be none of them."""
    if after:
        check_path(after)
    listed = list_in_order(service.store, folder_of(identity), after=after or "")
    found = [SetFile(path=file.name, size=file.size) for file in islice(listed, limit + 1)]
    page = tuple(found[:limit])
    return SetFiles(files=page, after=page[-1].path if len(found) > limit else None)


def remove_set(service: Service, found: UploadSet) -> None:
    """Remove a set with all its files; the owner may upload as many bytes again. May be repeated after a failure."""
    freed = sum(file.size for file in list_in_order(service.store, folder_of(found.id)))
    service.store.remove(folder_of(found.id))
    service.ledger.give_back(found.owner, freed)
    service.store.remove(_head(found.id))


def folder_of(identity: str) -> str:
    """Return where the files of a set are in the store."""
    return f"uploads/{identity}"


def check_path(path: str) -> str:
    """Return `path` if a file of a set may have it.

    Raises:
        ServiceError: E920.
    """
    reason = _unfit(path)
    if reason:
        action = "Give a relative path with / between its parts, such as plate 1/A01.tif"
        raise ServiceError(
            "E920", f"a file cannot have this path: {reason}", status=400, where=_shown(path), action=action
        )
    return path


def check_free(store: Place, folder: str, path: str) -> None:
    """Refuse a path where a folder of that name stands, or a file stands where a folder is needed.

    Raises:
        ServiceError: E922.
    """
    for above in list(PurePosixPath(path).parents)[:-1]:
        if store.size(f"{folder}/{above}") is not None:
            raise taken(path, f"{above} is a file in this set, not a folder")
    if any(True for _ in list_in_order(store, f"{folder}/{path}")):
        raise taken(path, "there is a folder of this name in this set")


def taken(path: str, why: str) -> ServiceError:
    """Return the error that says that a file cannot be added."""
    return ServiceError("E922", why, status=409, where=path, action="Give it another path, or use a new set")


def _unfit(path: str) -> str:
    """Return why a file cannot have this path; "" if it can."""
    if not 0 < len(path) <= LONGEST_PATH:
        return f"it has {len(path)} characters; 1 to {LONGEST_PATH} are allowed"
    if _FORBIDDEN.search(path):
        return "it has a backslash, a control character, or half of a character"
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "it is absolute, or a part of it is empty, . or .."
    if max(len(part.encode()) for part in parts) > LONGEST_NAME:
        return f"a part of it has more than {LONGEST_NAME} bytes"
    if any(part.lower().startswith(_RESERVED) for part in parts):
        return f"names that begin with {_RESERVED} are reserved"
    return ""


def _shown(path: str) -> str:
    return ascii(path[:LONGEST_PATH])[1:-1] if not path.isprintable() else path[:LONGEST_PATH]


def _head(identity: str) -> str:
    return f"sets/{identity}.json"
