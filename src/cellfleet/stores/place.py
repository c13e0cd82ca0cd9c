"""Where results go: one interface for a local folder and a bucket.

Whoever writes results asks a `Place` for a local path to write to, and finds the finished file under its name, or
nothing. This module knows no format, run or record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cellfleet.stores.bucket import BucketPlace
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.part import Part
from cellfleet.stores.url import is_url, local_path

__all__ = ["BucketPlace", "FolderPlace", "Part", "Place", "open_place"]


class Place(Protocol):
    """A folder or a part of a bucket. Names are relative, with ``/``; every method may be called from any thread.

    A name stands for a file (an object), or for a tree: a folder that is written as a whole, such as an OME-Zarr.
    Every method raises `OutputError` (E301–E308, E32x) when the place cannot be reached or does not obey.
    """

    @property
    def url(self) -> str:
        """The place as the user named it, for messages."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether there is a whole file or tree of this name."""
        ...

    def size(self, name: str) -> int | None:
        """Return the size of a file, bytes; None if there is none."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        ...

    def read_range(self, name: str, start: int, stop: int, *, version: str = "") -> Part | None:
        """Return the bytes `start` … `stop` − 1 of a file, fewer where it ends before; None if there is none.

        An empty range asks for size and version alone. A link that leads out of the place is no file of it.

        Raises:
            OutputError: E325, the file is not of this `version` any more.
        """
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of all files in the folder `prefix` ("": everywhere) and below, in no order."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: whole, or not at all. One of that name is replaced."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file unless there is one; of several processes that try, exactly one is told True."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a tree with all that is in it; it is fine if there is none."""
        ...

    def replacing(self, name: str, *, needed_bytes: int | None = None) -> AbstractContextManager[Path]:
        """Yield a temporary local path; when the block ends well, what was written there becomes the file `name`."""
        ...

    def replacing_tree(self, name: str) -> AbstractContextManager[Path]:
        """Yield a new, empty local folder; when the block ends well, it becomes the tree `name`."""
        ...

    def sweep(self) -> int:
        """Remove what dead processes left half-written; return how many files and folders."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from writing here while the block runs, where the place can do so."""
        ...


def open_place(where: str | Path) -> Place:
    """Return the place that a path or address names. Nothing is made or asked yet.

    Raises:
        InputError: E150, when the address cannot be a place of results.
    """
    if isinstance(where, Path) or not is_url(where):
        return FolderPlace(Path(where))
    folder = local_path(where)
    return BucketPlace(where) if folder is None else FolderPlace(folder)
