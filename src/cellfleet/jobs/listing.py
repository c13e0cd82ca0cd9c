"""The images of a job, in order, with the names of their results: any number of them in bounded memory.

They are sorted on the disk. Names and stems are those that `cellfleet segment` gives to the same images.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellfleet.errors import CellfleetError
from cellfleet.images import formats
from cellfleet.images.archive import member_checksum
from cellfleet.images.find import find_images
from cellfleet.images.names import printable
from cellfleet.images.search import Found, walk_address, walk_folder
from cellfleet.images.source import Source
from cellfleet.run.names import folded, without_suffix
from cellfleet.stores.remote import stat_remote
from cellfleet.stores.url import is_url

_CACHE_KIB = 32 << 10
_BATCH = 1000


@dataclass(frozen=True)
class Listed:
    """One image of a job."""

    source: Source
    stem: str
    """Of its result files."""
    size: int | None
    """Of the file, or of the member of an archive, bytes; None where that says nothing (Zarr folders)."""


def list_images(inputs: Sequence[str]) -> Iterator[Listed]:
    """Yield the images of files, folders, patterns, archives and addresses, sorted by name without extension.

    One folder or bucket may hold millions of images; of several inputs all images are held in memory, because their
    names depend on each other.

    Raises:
        InputError: E101–E103, E15x: as `find_images`.
    """
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder, _Spool(Path(folder) / "images") as spool:
        spool.add(_found(inputs))
        if not len(spool):
            find_images(inputs)  # says that nothing is there, and what is there instead
        yield from spool.in_order()


def _found(inputs: Sequence[str]) -> Iterator[Found]:
    if len(inputs) == 1 and _is_folder(inputs[0]):
        walk = walk_address if is_url(inputs[0]) else walk_folder
        yield from walk(inputs[0])
        return
    for source in find_images(inputs):
        yield Found(source.path, source.name, source.inside)


def _is_folder(given: str) -> bool:
    name = given.rstrip("/")
    if is_url(given):
        return not (formats.is_archive(name) or formats.is_image(name))
    return os.path.isdir(given) and not formats.is_zarr(name)


class _Spool:
    """A table on the disk, thrown away at the end."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.create_function("folded", 1, folded, deterministic=True)
        self._base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -{_CACHE_KIB}; {_TABLE}")

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    def __len__(self) -> int:
        (count,) = self._base.execute("SELECT count(*) FROM image").fetchone()
        return int(count)

    def add(self, images: Iterator[Found]) -> None:
        """Add images; of names that only `printable` made equal, the later ones get a number."""
        self._base.execute("BEGIN")
        for image in images:
            name, number = printable(image.name), 1
            while not self._added(_numbered(name, number), image):
                number += 1
        self._base.execute("COMMIT")

    def _added(self, name: str, image: Found) -> bool:
        row = (os.fsencode(image.path), name, image.inside.encode("utf-8", "surrogateescape"), image.size)
        with contextlib.suppress(sqlite3.IntegrityError):
            self._base.execute("INSERT INTO image (path, name, inside, size) VALUES (?, ?, ?, ?)", row)
            return True
        return False

    def in_order(self) -> Iterator[Listed]:
        """Yield the images with their stems: see `cellfleet.run.names.output_stems`, whose rules these are."""
        self._base.create_function("short", 1, without_suffix, deterministic=True)
        self._base.executescript(_STEMS)
        rows = self._base.execute("SELECT path, name, inside, size, stem, twin FROM image ORDER BY folded(stem), name")
        while page := rows.fetchmany(_BATCH):
            for path, name, inside, size, stem, twin in page:
                source = Source(os.fsdecode(path), name, inside.decode("utf-8", "surrogateescape"))
                yield Listed(source, stem if twin == 1 else f"{stem}~{twin}", _size(source, size))


_TABLE = """
CREATE TABLE image (path BLOB, name TEXT UNIQUE, inside BLOB, size INTEGER, stem TEXT, twin INTEGER DEFAULT 1);
"""
_STEMS = """
UPDATE image SET stem = short(name);
CREATE INDEX by_stem ON image (folded(stem));
CREATE TABLE shared AS SELECT folded(stem) AS key FROM image GROUP BY key HAVING count(*) > 1;
UPDATE image SET stem = name WHERE folded(stem) IN (SELECT key FROM shared);
DELETE FROM shared;
INSERT INTO shared SELECT folded(stem) AS key FROM image GROUP BY key HAVING count(*) > 1;
UPDATE image SET stem = name WHERE folded(stem) IN (SELECT key FROM shared);
DELETE FROM shared;
INSERT INTO shared SELECT folded(stem) AS key FROM image GROUP BY key HAVING count(*) > 1;
UPDATE image SET twin = place FROM (
    SELECT name AS same, row_number() OVER (PARTITION BY folded(stem) ORDER BY name) AS place FROM image
    WHERE folded(stem) IN (SELECT key FROM shared)
) WHERE name = same;
"""
"""Without extension; else, where two would share that, with it; else numbered. Twice, because a name with its extension
can meet another without."""


def _numbered(name: str, number: int) -> str:
    if number == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}~{number}{dot}{suffix}"


def _size(source: Source, listed: int | None) -> int | None:
    """Return how large the file or member is; None where nobody knows: it fails by name when it is opened."""
    if formats.holds_several(source.path):
        return None
    try:
        if source.inside:
            return member_checksum(source.path, source.inside)[0]
        if listed is not None:
            return listed
        return stat_remote(source.path).size if is_url(source.path) else os.stat(source.path).st_size
    except (OSError, CellfleetError):
        return None
