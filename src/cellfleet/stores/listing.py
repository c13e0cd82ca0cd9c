"""The files of a place in the order of their names, with their sizes, from any name on: for pages of a listing.

The order is that of the names' UTF-8 bytes, as buckets have it. Knows no page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cellfleet.errors import OutputError
from cellfleet.stores import atomic
from cellfleet.stores.client import asking, connect
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.place import Place
from cellfleet.stores.url import child, split_url

_PAGE = 1000


class Listed(NamedTuple):
    """A file of a place."""

    name: str
    """Relative to the folder that was listed."""
    size: int
    """Bytes."""


def list_in_order(place: Place, folder: str, *, after: str = "") -> Iterator[Listed]:
    """Yield the files in a folder and below, by name; of a folder that is not there, none.

    Args:
        place: Where.
        folder: Which part of it.
        after: Only names behind this one, which need not be there; what lies before it is not looked at.

    Raises:
        OutputError: E32x, the place cannot be read.
    """
    if isinstance(place, FolderPlace):
        yield from _walked(place.local(folder), "", after.encode())
        return
    address = split_url(child(place.url, folder))
    offset = f"{address.key}/{after}" if after else None
    with asking(child(place.url, folder), writing=True):
        for page in connect(address).list(address.key, offset=offset, chunk_size=_PAGE):
            yield from (Listed(meta["path"].removeprefix(f"{address.key}/"), meta["size"]) for meta in page)


def _walked(folder: Path, prefix: str, after: bytes) -> Iterator[Listed]:
    for name, entry in _entries(folder):
        path = prefix + name
        if name.endswith("/"):
            # Everything below begins with this text: a folder whose last name can only come before is passed over.
            if path.encode() > after or after.startswith(path.encode()):
                yield from _walked(Path(entry.path), path, after)
        elif path.encode() > after:
            yield Listed(path, entry.stat().st_size)


def _entries(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """Return what is in a folder, folders with ``/``: so sorted, they stand where their files stand among all."""
    try:
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not atomic.is_temporary(entry.name)]
            named = [(entry.name + "/" * entry.is_dir(), entry) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        what = f"what stands there cannot be read ({error.strerror or error})"
        raise OutputError("E320", what, where=str(folder), action="Check that the service may read it") from error
    return sorted(named, key=lambda item: os.fsencode(item[0]))
