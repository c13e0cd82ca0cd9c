"""A package that somebody brings: a folder or a zip, read in place and by names that we choose. Extracts nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass

from cellfleet.errors import InputError
from cellfleet.images.archive import list_members, member_checksum, member_content
from cellfleet.models.package import RDF, broken
from cellfleet.stores.place import open_place
from cellfleet.stores.url import is_url

_MOST_FILES = 10_000


@dataclass(frozen=True)
class Source:
    """The files beside an ``rdf.yaml``."""

    where: str
    """For messages."""
    _inside: str
    """What comes before the names of its files: empty, or a folder with ``/``."""
    _size: Callable[[str], int | None]
    _read: Callable[[str, int], bytes]

    def read(self, name: str, most: int) -> bytes | None:
        """Return the content of a file; None if there is none. Raises `ModelError` E402 for more than `most` bytes."""
        size = self._size(self._inside + name)
        if size is None:
            return None
        content = self._read(self._inside + name, most) if size <= most else b""
        # What an archive says of sizes is not believed.
        if size > most or len(content) > most:
            raise broken(self.where, f"{name} has more than {most >> 20} MiB")
        return content


def open_source(package: str) -> Source:
    """Return the package at a path or address: of a folder, or of a zip; ``rdf.yaml`` at the top or one folder below.

    Raises:
        ModelError: E402, there is not exactly one.
        InputError, OutputError: It cannot be read.
    """
    return _zip(package) if package.lower().endswith(".zip") else _folder(package)


def _folder(package: str) -> Source:
    place = open_place(package)
    names = list(itertools.islice(place.names(), _MOST_FILES))
    return Source(package, _inside(names, package), place.size, lambda name, most: place.read(name) or b"")


def _zip(package: str) -> Source:
    if not is_url(package) and not os.path.exists(package):
        raise InputError("E104", "there is no such file", where=package, action="Check the path")
    names = list_members(package)

    def size(name: str) -> int | None:
        return member_checksum(package, name)[0] if name in names else None

    def read(name: str, most: int) -> bytes:
        member = member_content(package, name, f"{package}/{name}")
        with member.open() as file:
            return file.read(most + 1)

    return Source(package, _inside(names, package), size, read)


def _inside(names: list[str], where: str) -> str:
    folders = [name.removesuffix(RDF) for name in names if name.rpartition("/")[2] == RDF and name.count("/") < 2]
    if "" in folders:
        return ""
    if len(folders) != 1:
        raise broken(where, f"it has {len(folders) or 'no'} {RDF} at the top or one folder below")
    return folders[0]
