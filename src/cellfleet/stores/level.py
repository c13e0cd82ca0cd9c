"""What stands in a folder or part of a bucket, for people who look for a place: one level by name, or all below it.

A folder that counts as one file (a Zarr store) is not entered. Names that are no Unicode are passed over.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cellfleet.errors import InputError
from cellfleet.stores.client import asking, connect
from cellfleet.stores.remote import list_files
from cellfleet.stores.url import is_url, local_path, split_url, without_secrets

_PAGE: Final = 1000
_LAST: Final = "\U0010ffff"
"""No name of a file comes after it."""


class Entry(NamedTuple):
    """A file or folder of a level."""

    name: str
    """A folder's ends in ``/``."""
    size: int | None
    """Of a file, bytes."""


def list_level(where: str, *, after: str = "", most: int) -> list[Entry]:
    """Return the files and folders of a place, by the UTF-8 bytes of their names; hidden ones are left out.

    Args:
        where: A path, or an address of a bucket.
        after: Only what comes behind this name of an entry.
        most: How many at most. A bucket may be asked once for each folder among them, a local folder is read through.

    Raises:
        InputError: E102, no such folder; E985, it cannot be read; E150–E154, E157, E159 of an address.
    """
    path = local_folder(where)
    if path is not None:
        return heapq.nsmallest(most, (entry for entry in _scanned(path) if entry.name > after))
    return _in_bucket(where, after, most)


def list_below(where: str, *, closed: Callable[[str], bool]) -> Iterator[str]:
    """Yield the names of all files below a place, hidden ones too; a closed folder is one file.

    Links to folders are followed, save in a circle; local folders below that cannot be read are passed over.

    Raises:
        InputError: As `list_level`.
    """
    path = local_folder(where)
    if path is not None:
        yield from _walked(path, "", closed, frozenset())
        return
    above = f"{where.rstrip('/')}/"
    yield from (file.url.removeprefix(above).rstrip("/") for file in list_files(where, closed=closed))


def local_folder(where: str) -> Path | None:
    """Return the path that is meant; None: it is an address on a server."""
    return local_path(where) if is_url(where) else Path(where)


def _scanned(folder: Path, *, hidden: bool = False) -> Iterator[Entry]:
    try:
        scan = os.scandir(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    with scan:
        for entry in scan:
            if _is_text(entry.name) and (hidden or not entry.name.startswith(".")):
                yield _entry(entry)


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        return Entry(f"{entry.name}/", None) if entry.is_dir() else Entry(entry.name, entry.stat().st_size)
    except OSError:  # a link that leads nowhere
        return Entry(entry.name, None)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _walked(folder: Path, prefix: str, closed: Callable[[str], bool], above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    for name, _ in _scanned(folder, hidden=True):
        inner = name.rstrip("/")
        if inner == name or closed(inner):
            yield prefix + inner
            continue
        try:
            yield from _walked(folder / inner, prefix + name, closed, above | {real})
        except InputError:
            continue


def _in_bucket(where: str, after: str, most: int) -> list[Entry]:
    address = split_url(where)
    if address.kind == "http":
        action = "Give the files themselves or an OME-Zarr, or use a bucket address"
        raise InputError("E154", "a web server lists no folders", where=without_secrets(where), action=action)
    above = f"{address.key}/" if address.key else ""
    found: dict[str, Entry] = {}
    begun = None
    with asking(where):
        # A server that does not list by name leads no further at some time.
        while len(found) < most and after != begun:
            # Behind all that is in the folder that was met last: it may hold millions.
            offset = above + after + _LAST if after.endswith("/") else above + after
            begun = after
            for page in connect(address).list(address.key or None, offset=offset or None, chunk_size=_PAGE):
                for meta in page:
                    first, slash, _ = meta["path"].removeprefix(above).partition("/")
                    after = first + slash
                    if not first.startswith(".") and len(found) < most:
                        found.setdefault(after, Entry(after, None if slash else meta["size"]))
                if after.endswith("/") or len(found) >= most:
                    break
            else:
                break
    return list(found.values())


def _unreadable(folder: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError("E102", "there is no such file or folder", where=str(folder), action="Check the path")
    what = f"this folder cannot be read ({error.strerror or error})"
    return InputError("E985", what, where=str(folder), action="Check that the service may read it, or give another")
