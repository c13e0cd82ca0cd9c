"""Where images are: folders searched to the bottom, patterns, archives, addresses.

Only lists are read: of folders, of archives, and of files that may hold several images. Results of earlier runs and
hidden files are passed over. What cannot be listed is found all the same, as one image, so that it fails by name when
it is opened instead of missing silently.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cellfleet.errors import CellfleetError
from cellfleet.images import formats
from cellfleet.images.archive import list_members
from cellfleet.stores.remote import list_files
from cellfleet.stores.url import without_secrets

MAGIC = re.compile(r"[*?\[]")
"""What makes a path a pattern."""
_MARKS = ("run.json", ".cellfleet")
"""What a folder of results holds."""


class Found(NamedTuple):
    """One image, before it has its name in the run."""

    path: str
    name: str
    """Relative to the folder of its root, with ``/``."""
    inside: str = ""
    size: int | None = None
    """Of the file, bytes, where the listing tells."""


@dataclass(frozen=True)
class Root:
    """What one input brought."""

    folder: tuple[str, ...]
    """Parts of the path of what the names are relative to; they go before names that would be equal otherwise."""
    found: tuple[Found, ...]


def search_folder(given: str) -> Root:
    """Find the images of a folder, sorted by name."""
    found = sorted(walk_folder(given), key=lambda item: item.name)
    return Root(_parts(given), tuple(found))


def walk_folder(given: str) -> Iterator[Found]:
    """Yield the images of a folder in any order, holding none of them."""
    return _walk(given, "", set())


def search_file(given: str) -> Root:
    """Take a file or Zarr folder as given; it may hold several images."""
    folder, name = os.path.split(given)
    if formats.is_archive(given):
        return Root(_parts(given[: -len(formats.ARCHIVE_SUFFIX)]), tuple(_members(given, name)))
    return Root(_parts(folder), tuple(_images_of(given, name)))


def search_pattern(given: str) -> Root:
    """Find what fits a pattern: files, the images of folders, and of archives.

    Names are relative to the part of the pattern before the first wildcard: ``plate/*/a.tif`` gives ``1/a.tif``.
    """
    start = str(Path(*itertools.takewhile(lambda part: not MAGIC.search(part), Path(given).parts)))
    known: dict[str, bool] = {}
    found: list[Found] = []
    for path in sorted(glob.iglob(given, recursive=True)):
        folder, name = os.path.dirname(path), os.path.relpath(path, start).replace(os.sep, "/")
        if _in_results(folder, start, known) or any(map(formats.is_zarr, name.split("/")[:-1])):
            continue
        if os.path.isdir(path) and not formats.is_zarr(path):
            found += _walk(path.rstrip(os.sep) or path, "" if name == "." else f"{name}/", set())
        elif formats.is_archive(path):
            found += _members(path, f"{name[: -len(formats.ARCHIVE_SUFFIX)]}/")
        elif formats.is_image(path):
            found += _images_of(path, name)
    return Root(_parts(start), tuple(dict.fromkeys(found)))


def search_address(given: str) -> Root:
    """Take a file's address as given; list any other address as a folder.

    Raises:
        InputError: E15x: the server cannot be asked or lists no folders.
    """
    shown = without_secrets(given).rstrip("/")
    parts = ("", *shown.partition("://")[2].split("/"))
    name = parts[-1]
    if formats.is_archive(name):
        return Root((*parts[:-1], name[: -len(formats.ARCHIVE_SUFFIX)]), tuple(_members(given, name)))
    if formats.is_image(name):
        return Root(parts[:-1], tuple(_images_of(given, name)))
    return Root(parts, tuple(sorted(walk_address(given), key=lambda image: image.name)))


def walk_address(given: str) -> Iterator[Found]:
    """Yield the images below an address in any order, holding none of them: it is listed twice. Raises InputError."""
    above = f"{without_secrets(given).rstrip('/')}/"
    listed = (file.url.removeprefix(above) for file in list_files(given, closed=formats.is_zarr))
    results = _result_folders(listed)
    for file in list_files(given, closed=formats.is_zarr):
        name = file.url.removeprefix(above)
        if formats.is_image(name.rstrip("/")) and not _is_hidden(name) and not _is_below(name, results):
            for image in _images_of(file.url.rstrip("/"), name.rstrip("/")):
                yield image._replace(size=file.size)


def images_among(names: Sequence[str]) -> list[str]:
    """Return those of all names below a folder that are images, and neither hidden nor results of a run."""
    results = _result_folders(names)
    return [name for name in names if formats.is_image(name) and not _is_hidden(name) and not _is_below(name, results)]


def is_result_folder(names: Collection[str]) -> bool:
    """Tell from the names in a folder whether it holds results of cellfleet."""
    return all(name in names for name in _MARKS)


def _parts(path: str) -> tuple[str, ...]:
    return Path(os.path.realpath(path or ".")).parts


def _walk(folder: str, prefix: str, above: set[str]) -> Iterator[Found]:
    """Yield the images below a folder; links to folders are followed, save in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    if all(os.path.lexists(os.path.join(folder, name)) for name in _MARKS):
        return
    try:
        scan = os.scandir(folder)
    except OSError:
        yield Found(folder, prefix.rstrip("/") or os.path.basename(real))
        return
    with scan:
        for entry in scan:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry) and not formats.is_zarr(entry.name):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {real})
            elif formats.is_image(entry.name):
                yield from _images_of(entry.path, prefix + entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: fails by name when it is opened
        return False


def _images_of(path: str, name: str) -> list[Found]:
    if not formats.holds_several(name):
        return [Found(path, name)]
    inside = formats.list_inside(path, name)
    if len(inside) == 1:
        return [Found(path, name, inside[0])]
    return [Found(path, f"{name}/{image}", image) for image in inside]


def _members(path: str, name: str) -> list[Found]:
    """Return the images of an archive; `name` goes before theirs if it ends in ``/``.

    An archive that cannot be listed is one image called `name`.
    """
    try:
        members = list_members(path)
    except CellfleetError:
        return [Found(path, name.rstrip("/"))]
    prefix = name if name.endswith("/") else ""
    results = _result_folders(members)
    visible = [name for name in members if not _is_hidden(name) and not _is_below(name, results)]
    found = dict.fromkeys(
        _image_of_member(name)
        for name in visible
        if formats.is_image(name) or formats.is_archive(name) or any(map(formats.is_zarr, name.split("/")[:-1]))
    )
    ordered = sorted(found, key=lambda member: member.replace("\\", "/"))
    return [Found(path, prefix + _safe(member), member) for member in ordered]


def _image_of_member(member: str) -> str:
    """Return the member itself, or for a file of a Zarr store the store."""
    parts = member.split("/")
    ends = (i + 1 for i, part in enumerate(parts) if formats.is_zarr(part))
    return "/".join(parts[: next(ends, len(parts))])


def _safe(member: str) -> str:
    """Return a member's name as a relative path: names in archives may be absolute or lead upwards."""
    parts = [part for part in re.split(r"[/\\]", member) if part not in ("", ".", "..")]
    return "/".join(parts) or "unnamed"


def _result_folders(names: Iterable[str]) -> set[str]:
    """Return the folders (ending in ``/``, or empty) of a list of files that hold results of cellfleet."""
    records, marks = set(), set()
    for name in names:
        folder, _, file = name.rpartition("/")
        if file == "run.json":
            records.add(f"{folder}/" if folder else "")
        before, mark, _ = f"/{name}".partition("/.cellfleet/")
        if mark:
            marks.add(f"{before[1:]}/" if before[1:] else "")
    return records & marks


def _is_below(name: str, folders: Collection[str]) -> bool:
    if not folders:
        return False
    parts = name.split("/")
    return any("".join(f"{part}/" for part in parts[:i]) in folders for i in range(len(parts)))


def _in_results(folder: str, start: str, known: dict[str, bool]) -> bool:
    """Tell whether a folder between `start` and here holds results; `known` remembers the answers."""
    if folder not in known:
        try:
            here = is_result_folder(os.listdir(folder or "."))
        except OSError:
            here = False
        parent = os.path.dirname(folder)
        deeper = len(folder) > len(start) and parent != folder
        known[folder] = here or (deeper and _in_results(parent, start, known))
    return known[folder]


def _is_hidden(name: str) -> bool:
    """Tell whether a file or a folder above it is hidden; ``__MACOSX`` is what macOS adds to archives."""
    parts = re.split(r"[/\\]", name)
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)
