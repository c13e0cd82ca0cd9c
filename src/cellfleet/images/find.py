"""Find the images that the user means: files, folders, patterns, archives, addresses; each once, each with a name.

How they are searched is in `search.py`. Reads no pixels.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cellfleet.errors import InputError
from cellfleet.images import formats
from cellfleet.images.archive import list_members
from cellfleet.images.names import printable
from cellfleet.images.search import (
    MAGIC,
    Found,
    Root,
    is_result_folder,
    search_address,
    search_file,
    search_folder,
    search_pattern,
)
from cellfleet.images.source import Source
from cellfleet.stores.url import is_url, local_path

__all__ = ["Source", "find_images", "name_images"]


def find_images(inputs: Sequence[str | Path]) -> list[Source]:
    """List the images of files, folders, patterns, archives and addresses, in the order of `inputs`.

    Within a folder, pattern or archive they are sorted by name. A file counts once, however often it is met. Where two
    inputs have an image of the same relative name, the names of both get their folder's name in front. What may not
    be read is listed all the same, so that it fails by name when it is opened instead of missing silently.

    Raises:
        InputError: E101 (nothing found), E102 (no such path), E103 (not a format that is read), E15x (an address
            cannot be listed).
    """
    given = [_as_given(text) for text in inputs]
    sources = name_images(_each_once([_search(text) for text in given]))
    if not sources:
        raise _nothing_found(given)
    return sources


def _as_given(text: str | Path) -> str:
    """Return the text of an input; `Path` takes one of the slashes of an address."""
    given = str(text)
    if isinstance(text, Path) and not os.path.lexists(text):
        given = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])", r"\1://", given)
    path = local_path(given) if is_url(given) else None
    return given if path is None else str(path)


def _search(given: str) -> Root:
    if is_url(given):
        return search_address(given)
    if os.path.isdir(given) and not formats.is_zarr(given.rstrip("/" + os.sep)):
        return search_folder(given)
    if MAGIC.search(given) and not os.path.lexists(given):
        return _fitting(given)
    _check_file(Path(given))
    return search_file(given.rstrip("/" + os.sep))


def _fitting(given: str) -> Root:
    root = search_pattern(given)
    if not root.found:
        raise InputError(
            "E102",
            "no image fits this pattern",
            where=printable(given),
            action="Check the folder and the ending; ** stands for any number of folders",
        )
    return root


def _each_once(roots: Sequence[Root]) -> list[Root]:
    met: set[tuple[str, str]] = set()
    real: dict[str, str] = {}
    kept = []
    for root in roots:
        new = []
        for image in root.found:
            place = (_real(image.path, real), image.inside)
            if place not in met:
                met.add(place)
                new.append(image)
        kept.append(Root(root.folder, tuple(new)))
    return kept


def _real(path: str, known: dict[str, str]) -> str:
    """Return the path with links in its folder resolved, not its own; `known` holds the folders met before."""
    if is_url(path):
        return path
    folder, name = os.path.split(path)
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    return os.path.join(known[folder], name)


def name_images(roots: Sequence[Root]) -> list[Source]:
    """Give every image a unique name, with as much of its root's path as that takes."""
    depths = dict.fromkeys((root.folder for root in roots), 0)
    while True:
        named = [
            (image, printable("/".join((*_last(root.folder, depths[root.folder]), image.name))), root.folder)
            for root in roots
            for image in root.found
        ]
        counts = Counter(name for _, name, _ in named)
        folders = {folder for _, name, folder in named if counts[name] > 1}
        longer = [folder for folder in folders if depths[folder] < len(folder) - 1]
        if not longer or len(folders) < 2:
            return _distinct([(image, name) for image, name, _ in named])
        for folder in longer:
            depths[folder] += 1


def _last(folder: tuple[str, ...], count: int) -> tuple[str, ...]:
    return folder[len(folder) - count :]


def _distinct(named: Sequence[tuple[Found, str]]) -> list[Source]:
    """Tell apart names that only `printable` made equal, or an archive with odd names."""
    taken = {name for _, name in named}
    seen: Counter[str] = Counter()
    distinct = []
    for image, name in named:
        unique = name
        seen[name] += 1
        if seen[name] > 1:
            stem, dot, suffix = name.rpartition(".")
            while unique in taken:
                unique = f"{stem}~{seen[name]}{dot}{suffix}"
                seen[name] += unique in taken
            taken.add(unique)
        distinct.append(Source(image.path, unique, image.inside))
    return distinct


def _check_file(given: Path) -> None:
    """Refuse a path that is not there or has a suffix that is not read."""
    where = printable(str(given))
    if not os.path.lexists(given):
        raise _missing(given, where)
    if formats.is_image(given.name) or formats.is_archive(given.name):
        return
    suffix = given.suffix.lower()
    raise InputError(
        "E103",
        f"files ending in {suffix!r} are not read" if suffix else "its name has no ending that tells an image",
        where=where,
        action=f"Give files ending in {_listed(formats.IMAGE_SUFFIXES)}; if it is one of these, rename it",
    )


def _missing(given: Path, where: str) -> InputError:
    parent, wrong = given.parent, given.name
    while not parent.is_dir() and parent != parent.parent:
        parent, wrong = parent.parent, parent.name
    try:
        close = difflib.get_close_matches(wrong, os.listdir(parent), n=1)
    except OSError:
        close = []
    meant = f" (did you mean {printable(str(parent / close[0]))}?)" if close else ""
    return InputError("E102", f"there is no such file or folder{meant}", where=where, action="Check the path")


def _nothing_found(inputs: Sequence[str]) -> InputError:
    if not inputs:
        return InputError("E101", "No input was given", action="Give image files or folders")
    for given in inputs:
        if os.path.isdir(given) and is_result_folder(os.listdir(given)):
            return InputError(
                "E101",
                "this folder holds results of cellfleet, which are not segmented again",
                where=printable(given),
                action="Give the folder of the images",
            )
    shown = ", ".join(printable(given).rstrip("/") + "/" * (not formats.is_archive(given)) for given in inputs)
    looked_for = ", ".join(suffix.lstrip(".") for suffix in formats.IMAGE_SUFFIXES)
    there = "" if any(map(is_url, inputs)) else f"; {_census(inputs)}"
    return InputError(
        "E101",
        f"No images in {shown} (looked for {looked_for}{there})",
        action="Give another folder, or the files themselves",
    )


def _census(inputs: Sequence[str]) -> str:
    """Say what is in the folders and archives instead."""
    names = [name for given in inputs for _, _, files in os.walk(given) for name in files]
    names += [
        name for given in inputs if formats.is_archive(given) for name in map(os.path.basename, list_members(given))
    ]
    endings = Counter(Path(name).suffix.lower() for name in names if not name.startswith("."))
    if not endings:
        return "there are no files"
    parts = [
        f"{count} file{'s' * (count > 1)} {'end' + 's' * (count == 1)} in {printable(ending)}"
        if ending
        else f"{count} file{'s' * (count > 1)} without an ending"
        for ending, count in sorted(endings.items(), key=lambda item: (-item[1], item[0]))[:3]
    ]
    return ", ".join(parts)


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
