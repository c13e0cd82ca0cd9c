"""A data set, wherever it is, → a folder of this machine. Knows not what is in the files."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from cellfleet.errors import TrainingError
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import open_place
from cellfleet.stores.remote import open_remote
from cellfleet.stores.url import child, is_url, local_path

_ZIP = ".zip"
_PIECE_BYTES = 1 << 20
_PARTS = frozenset({"images", "train"})
"""Folders by which the root of a data set is known."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What reading a zip raises: damaged, of a compression that is not known, encrypted."""


class _File(NamedTuple):
    name: str
    size: int
    open: Callable[[], IO[bytes]]


def fetch_dataset(where: str, folder: Path) -> Path:
    """Return the root of a data set as a folder of this machine.

    Args:
        where: Path or address of a folder or a zip. A local folder is used as it is.
        folder: Empty; others are copied into it.

    Raises:
        TrainingError: E637, there is not enough room for it; E638, it is a damaged zip, or has files with odd names.
        InputError, OutputError: It cannot be read.
    """
    path = local_path(where) if is_url(where) else Path(where)
    if where.lower().endswith(_ZIP):
        _unpack(where, path, folder)
    elif path is not None:
        folder = path
    else:
        place = open_place(where)
        files = list(list_in_order(place, ""))
        _copy((_File(name, size, partial(open_remote, child(place.url, name))) for name, size in files), folder)
    return _root(folder)


def _unpack(where: str, path: Path | None, folder: Path) -> None:
    try:
        with open_remote(where) if path is None else path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            _copy((_File(info.filename, info.file_size, partial(archive.open, info)) for info in members), folder)
    except FileNotFoundError as error:
        action = "Upload it again"
        raise TrainingError("E638", "there is no such file", where=where, action=action) from error
    except _DAMAGE as error:
        what = f"this zip cannot be unpacked ({error})"
        raise TrainingError("E638", what, where=where, action="Make it anew, without a password") from error


def _copy(files: Iterable[_File], folder: Path) -> None:
    wanted = [file for file in files if not _is_hidden(file.name)]
    size, free = sum(file.size for file in wanted), shutil.disk_usage(folder).free
    if size > free:
        what = f"the data set has {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free where it is to be read from"
        action = "Free some space, or have CELLFLEET_CACHE name a folder on a larger disk"
        raise TrainingError("E637", what, where=str(folder), action=action)
    for file in wanted:
        target = folder / _checked(file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open() as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _PIECE_BYTES)


def _is_hidden(name: str) -> bool:
    """Say whether this is what systems add by themselves: hidden files, and the Mac's folder of them."""
    return any((part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX" for part in name.split("/"))


def _checked(name: str) -> PurePosixPath:
    """Return the name of a file, relative; one that leads out of the folder is refused."""
    if not {"", ".", ".."}.isdisjoint(name.split("/")) or "\\" in name or ":" in name:
        action = "Give files plain names"
        raise TrainingError("E638", "a file of the data set has an odd name", where=ascii(name), action=action)
    return PurePosixPath(name)


def _root(folder: Path) -> Path:
    """Return the folder in which ``images/`` or ``train/`` are, where single folders lie around it."""
    while folder.is_dir():
        folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        if len(folders) != 1 or _PARTS & {path.name for path in folders}:
            break
        folder = folders[0]
    return folder
