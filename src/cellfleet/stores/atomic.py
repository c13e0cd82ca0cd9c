"""Files and folders that are either whole or not there.

Everything that a run leaves in a folder goes through `replacing` or `replacing_tree`: written under a temporary name in
the same folder, flushed to the disk, then renamed. A process that dies in between leaves only a hidden file or folder
that `sweep` removes. This module also turns what the operating system says about a failed write into an `OutputError`
with a way out. It does not know what is written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cellfleet.errors import OutputError

_PREFIX = ".cellfleet-"
_SUFFIX = ".part"
_FOREIGN_AGE_SECONDS = 24 * 3600
"""Age at which a temporary file is stale although its process cannot be asked (another host, Windows)."""

METADATA_NAMES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})
"""Files that make a folder a Zarr: without them nobody takes it for one."""

_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def replacing(path: Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it takes the name `path`, else it is removed.

    Args:
        path: Final name. Parent folders are made; a file of that name is replaced in one step.
        needed_bytes: About how large the file becomes, for the message when the disk is full.

    Raises:
        OutputError: E301–E308, for every `OSError` of making the folder, writing (inside the ``with``) and renaming.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        # The folder is not flushed: after a power cut the newest names may be gone, but never point to half a file.
        os.replace(temporary, path)
    except OSError as error:
        raise output_error(error, path, needed_bytes=needed_bytes) from error
    finally:
        _discard(temporary)


@contextlib.contextmanager
def replacing_tree(path: Path) -> Iterator[Path]:
    """Yield a new, empty temporary folder beside `path`; on success it takes the name `path`, else it is removed.

    A folder of that name is moved away just before, since no system replaces a folder by another in one step: a crash
    between these two renames leaves no folder of that name, never half of one.

    Raises:
        OutputError: E301–E308, as `replacing`.
    """
    path = Path(path)
    temporary, old = _temporary(path), _temporary(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _flush(Path(folder, name))
        _swap(temporary, path, old)
    except OSError as error:
        raise output_error(error, path) from error
    finally:
        _discard(temporary)
    _discard(old)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file as a whole. Raises `OutputError` as `replacing` does."""
    with replacing(path, needed_bytes=len(content)) as temporary:
        temporary.write_bytes(content)


def create_bytes(path: Path, content: bytes) -> bool:
    """Write a small file as a whole unless the name is taken; return whether it was written.

    Of several processes that try at the same time, one is told True.

    Raises:
        OutputError: E301–E308, as `replacing`.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        _flush(temporary)
        _link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise output_error(error, path, needed_bytes=len(content)) from error
    finally:
        _discard(temporary)
    return True


def link_new(path: Path, name: Path) -> None:
    """Give a file another name, which nobody has; where the disk knows no links, instead of the one that it had.

    Raises:
        FileExistsError: The name is taken.
        OSError: It cannot be given.
    """
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name)) from error
        path.rename(name)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; it is fine if there is none.

    A folder gets a temporary name first, so that a crash does not leave half of it under its own.

    Raises:
        OutputError: E301–E308, as `replacing`.
    """
    path = Path(path)
    try:
        if path.is_dir() and not path.is_symlink():
            old = _temporary(path)
            os.replace(path, old)
            shutil.rmtree(old)
        else:
            path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise output_error(error, path) from error


def sweep(folder: Path) -> int:
    """Remove the temporary files and folders of dead processes in `folder` and below; return how many there were.

    One belongs to a dead process when that ran on this host and is gone, or when nothing was written to it for a day.
    What cannot be removed stays: it harms nobody.
    """
    return sum(_remove_stale(path) for path in _temporaries(Path(folder)))


@contextlib.contextmanager
def scratch(top: Path) -> Iterator[Path]:
    """Yield a new folder in `top` that nobody else may read, and that is gone afterwards. Raises `OSError`."""
    folder = Path(tempfile.mkdtemp(_SUFFIX, f"{_PREFIX}{_host()}-{os.getpid()}-", top))
    try:
        yield folder
    finally:
        _discard(folder)


def sweep_scratch(top: Path) -> int:
    """Remove what dead processes left of `scratch` in `top`; return how many folders there were."""
    return sum(_remove_stale(path) for path in top.glob(f"{_PREFIX}*{_SUFFIX}"))


def is_temporary(name: str) -> bool:
    """Say whether a file or folder of this name (last part of its path) is one that `sweep` would look at."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def output_error(error: OSError, path: Path, *, needed_bytes: int | None = None) -> OutputError:
    """Say what a failed write at `path` means for the user, and what to do about it."""
    if _is_full(error, path):
        return OutputError("E301", _full_text(path, needed_bytes), where=str(path), action=_FULL_ACTION)
    if error.errno in _IN_THE_WAY:
        what = f"cannot be written because {_existing(path)} is a file, not a folder"
        return OutputError("E307", what, where=str(path), action="Choose another folder with -o")
    code, what, action = _MEANINGS.get(
        error.errno or 0,
        ("E305", f"cannot be written ({error.strerror or error})", "Look at the disk or network drive, then run again"),
    )
    return OutputError(code, what, where=str(path), action=action)


_FULL_ACTION = "Free some space or choose another folder with -o; run the same command again to go on"
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST}
_DENIED = (
    "E302",
    "cannot be written: permission denied",
    "Choose another folder with -o, or close the program that has the file open",
)
_MEANINGS: dict[int, tuple[str, str, str]] = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: (
        "E303",
        "cannot be written: the disk is read-only",
        "Choose a folder on another disk with -o",
    ),
    errno.ENAMETOOLONG: (
        "E304",
        "cannot be written: the file name or path is too long",
        "Give the image a shorter name, or choose an output folder with a shorter path",
    ),
    errno.EISDIR: (
        "E306",
        "cannot be written because a folder has this name",
        "Rename that folder, or choose another folder with -o",
    ),
    errno.EFBIG: (
        "E308",
        "is larger than this disk or account allows for one file",
        "Choose a folder on another disk with -o (FAT32 ends at 4 GB), or raise the limit (ulimit -f)",
    ),
}


def _is_full(error: OSError, path: Path) -> bool:
    if error.errno is not None:
        return error.errno in _FULL
    # numpy's tofile reports a short write as an OSError without number.
    try:
        return shutil.disk_usage(_existing(path)).free < 1 << 20
    except OSError:
        return False


def _full_text(path: Path, needed_bytes: int | None) -> str:
    needed = f"; about {_size(needed_bytes)} are needed" if needed_bytes else ""
    try:
        free = f", {_size(shutil.disk_usage(_existing(path)).free)} are free"
    except OSError:
        free = ""
    return f"cannot be written: the disk is full or the quota is used up{needed}{free}"


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _temporary(path: Path) -> Path:
    # Without the final name, which may be as long as the file system allows; the rename notices one that is longer.
    return path.parent / f"{_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"


def _swap(new: Path, path: Path, old: Path) -> None:
    if not path.is_dir():
        os.replace(new, path)
        return
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise


def _temporaries(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        yield from (Path(top, name) for name in (*folders, *files) if is_temporary(name))
        # Nothing is written inside a Zarr that has its name already, and it may hold very many files.
        into = [] if METADATA_NAMES.intersection(files) else [name for name in folders if not is_temporary(name)]
        folders[:] = into


def _remove_stale(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if _is_stale(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            return True
    return False


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A disk without links (FAT, some network drives): still one winner, but a crash here leaves half a file.
        with open(path, "xb") as file:
            file.write(temporary.read_bytes())


def _flush(path: Path) -> None:
    # "r+": Windows flushes only handles that may write.
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _last_written(path: Path) -> float:
    return max(part.stat().st_mtime for part in (path, *path.rglob("*")))


def _is_stale(path: Path) -> bool:
    if time.time() - _last_written(path) > _FOREIGN_AGE_SECONDS:
        return True
    host, _, rest = path.name.removeprefix(_PREFIX).partition("-")
    pid = rest.partition("-")[0]
    # On Windows os.kill(pid, 0) would send Ctrl-C instead of asking.
    if sys.platform == "win32" or host != _host() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
