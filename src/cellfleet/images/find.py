"""Find the images that the user means: files as given, folders searched to the bottom, each image once.

Results of earlier runs and hidden files are passed over. Opens no image.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellfleet.errors import InputError
from cellfleet.images.names import printable
from cellfleet.images.source import Source

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg")
"""What is looked for in folders, in any case."""
LATER = {
    ".zip": "zip archive",
    ".zarr": "OME-Zarr image",
    ".czi": "Zeiss CZI file",
    ".nd2": "Nikon ND2 file",
    ".lif": "Leica LIF file",
    ".svs": "whole-slide image",
    ".ndpi": "whole-slide image",
    ".qptiff": "whole-slide image",
}
"""Formats that later versions read; refused here with a way out."""


@dataclass(frozen=True)
class _Root:
    """What one input brought: `folder` is what names are relative to."""

    folder: Path
    found: tuple[tuple[Path, str], ...]


def find_images(inputs: Sequence[Path]) -> list[Source]:
    """List the images of files and folders, in the order of `inputs`, within a folder sorted by name.

    A file counts once, however often it is met. Where two inputs have an image of the same relative name, the
    names of both get their folder's name in front. Folders that may not be read are listed as sources, so that
    they fail by name when they are opened instead of missing silently.

    Raises:
        InputError: E101 (nothing found), E102 (no such path), E103 (not a format that is read).
    """
    met: set[Path] = set()
    roots = [_search(Path(given), met) for given in inputs]
    sources = _named(roots)
    if not sources:
        raise _nothing_found([Path(given) for given in inputs])
    return sources


def _search(given: Path, met: set[Path]) -> _Root:
    if given.suffix.lower() == ".zarr" or not given.is_dir():
        _check_file(given)
        folder = Path(os.path.realpath(given.parent))
        place = folder / given.name
        found = () if place in met else ((given, given.name),)
        met.add(place)
        return _Root(folder, found)
    files = sorted(_walk(given, "", set()), key=lambda item: item[1])
    folder = Path(os.path.realpath(given))
    places = {path.parent: Path(os.path.realpath(path.parent)) for path, _ in files}
    new = []
    for path, name in files:
        place = places[path.parent] / path.name
        if place not in met:
            met.add(place)
            new.append((path, name))
    return _Root(folder, tuple(new))


def _walk(folder: Path, prefix: str, above: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield (path, relative name) of image files; links to folders are followed, save in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as scan:
            entries = {entry.name: entry for entry in scan}
    except OSError:
        yield folder, prefix.rstrip("/") or folder.resolve().name
        return
    if _is_result_folder(entries):
        return
    for name, entry in entries.items():
        if name.startswith("."):
            continue
        if _is_folder(entry):
            if not name.lower().endswith(".zarr"):
                yield from _walk(folder / name, f"{prefix}{name}/", above | {real})
        elif Path(name).suffix.lower() in SUFFIXES:
            yield folder / name, prefix + name


def _is_result_folder(names: Container[str]) -> bool:
    return "run.json" in names and ".cellfleet" in names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: fails by name when it is opened
        return False


def _named(roots: Sequence[_Root]) -> list[Source]:
    """Give every image a unique name, with as much of its root's path as that takes."""
    depths = dict.fromkeys((root.folder for root in roots), 0)
    while True:
        named = [
            (path, printable("/".join((*_last(root.folder, depths[root.folder]), name))), root.folder)
            for root in roots
            for path, name in root.found
        ]
        counts = Counter(name for _, name, _ in named)
        folders = {folder for _, name, folder in named if counts[name] > 1}
        longer = [folder for folder in folders if depths[folder] < len(folder.parts) - 1]
        if not longer or len(folders) < 2:
            return _distinct([Source(str(path), name) for path, name, _ in named])
        for folder in longer:
            depths[folder] += 1


def _last(folder: Path, count: int) -> tuple[str, ...]:
    return folder.parts[len(folder.parts) - count :]


def _distinct(sources: list[Source]) -> list[Source]:
    """Tell apart names that only `printable` made equal."""
    seen: Counter[str] = Counter()
    distinct = []
    for source in sources:
        seen[source.name] += 1
        stem, dot, suffix = source.name.rpartition(".")
        repeated = seen[source.name] > 1
        distinct.append(Source(source.path, f"{stem}~{seen[source.name]}{dot}{suffix}") if repeated else source)
    return distinct


def _check_file(given: Path) -> None:
    """Refuse a path that is not there or has a suffix that is not read."""
    where = printable(str(given))
    url = re.match(r"([a-z][a-z0-9+.-]+):[/\\]", str(given), re.IGNORECASE)
    if url and not given.exists():
        raise InputError(
            "E103",
            f"addresses ({url[1]}:) are not read in this version",
            where=where,
            action="Copy the images to a local folder and give that",
        )
    if not os.path.lexists(given):
        raise _missing(given, where)
    suffix = given.suffix.lower()
    if suffix in LATER:
        article = "an" if LATER[suffix].startswith("O") else "a"
        raise InputError(
            "E103",
            f"{article} {LATER[suffix]} is not read in this version",
            where=where,
            action="Unpack it and give the folder"
            if suffix == ".zip"
            else "Export it as OME-TIFF, for example with Fiji",
        )
    if suffix not in SUFFIXES:
        raise InputError(
            "E103",
            f"files ending in {suffix!r} are not read" if suffix else "its name has no ending that tells an image",
            where=where,
            action=f"Give files ending in {_listed(SUFFIXES)}; if it is one of these, rename it",
        )


def _missing(given: Path, where: str) -> InputError:
    if re.search(r"[*?\[]", given.name):
        return InputError(
            "E102",
            "no file fits this pattern",
            where=where,
            action="Patterns are the shell's business: write them without quotes, or give the folder",
        )
    parent, wrong = given.parent, given.name
    while not parent.is_dir() and parent != parent.parent:
        parent, wrong = parent.parent, parent.name
    try:
        close = difflib.get_close_matches(wrong, os.listdir(parent), n=1)
    except OSError:
        close = []
    meant = f" (did you mean {printable(str(parent / close[0]))}?)" if close else ""
    return InputError("E102", f"there is no such file or folder{meant}", where=where, action="Check the path")


def _nothing_found(inputs: Sequence[Path]) -> InputError:
    if not inputs:
        return InputError("E101", "No input was given", action="Give image files or folders")
    for given in inputs:
        if given.is_dir() and _is_result_folder(os.listdir(given)):
            return InputError(
                "E101",
                "this folder holds results of cellfleet, which are not segmented again",
                where=printable(str(given)),
                action="Give the folder of the images",
            )
    shown = ", ".join(f"{printable(str(given)).rstrip('/')}/" for given in inputs)
    looked_for = ", ".join(suffix.lstrip(".") for suffix in SUFFIXES)
    return InputError(
        "E101",
        f"No images in {shown} (looked for {looked_for}; {_census(inputs)})",
        action="Give another folder, or the files themselves",
    )


def _census(inputs: Sequence[Path]) -> str:
    """Say what is in the folders instead."""
    names = [name for given in inputs for _, _, files in os.walk(given) for name in files]
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
