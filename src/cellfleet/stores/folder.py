"""A folder on this machine, or on a drive that it mounts, as the place of results. Knows no bucket."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellfleet.errors import OutputError
from cellfleet.stores import atomic
from cellfleet.stores.lock import locked
from cellfleet.stores.part import Part, replaced


@dataclass(frozen=True)
class FolderPlace:
    """Results in a local folder; see `Place` for what each method promises."""

    path: Path

    @property
    def url(self) -> str:
        """The folder's path, as the user gave it."""
        return str(self.path)

    def local(self, name: str) -> Path:
        """Return where `name` stands on this machine."""
        parts = PurePosixPath(name).parts
        assert ".." not in parts and not name.startswith("/"), f"unsafe name {name!r}"
        return self.path.joinpath(*parts)

    def exists(self, name: str) -> bool:
        """Say whether there is a file or folder of this name."""
        return _status(self.local(name)) is not None

    def size(self, name: str) -> int | None:
        """Return the size of a file, bytes; None if there is none."""
        status = _status(self.local(name))
        return status.st_size if status and stat.S_ISREG(status.st_mode) else None

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        path = self.local(name)
        if self.size(name) is None:
            return None
        with _reading(path):
            return path.read_bytes()

    def read_range(self, name: str, start: int, stop: int, *, version: str = "") -> Part | None:
        """Return a part of a file with its size and version; None if there is none."""
        path = self.local(name)
        with _reading(path), contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(path, "rb", buffering=0, opener=_open_at_once))
                real = path.resolve()
                status, stands = os.fstat(file.fileno()), real.stat()
            except OSError as error:
                if error.errno in _NO_FILE:
                    return None
                raise
            if not real.is_relative_to(self.path.resolve()) or not stat.S_ISREG(status.st_mode):
                return None
            found = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
            # Looked at after it was opened: so a link that somebody changes meanwhile leads nowhere else.
            if not os.path.samestat(status, stands) or version not in {"", found}:
                raise replaced(str(path))
            file.seek(min(start, status.st_size))
            content = file.read(max(0, min(stop, status.st_size) - start))
            return Part(content, status.st_size, found)

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the files in the folder `prefix` and below, without temporary ones."""
        for top, folders, files in os.walk(self.local(prefix)):
            folders[:] = [name for name in folders if not atomic.is_temporary(name)]
            above = Path(top).relative_to(self.path)
            yield from ((above / name).as_posix() for name in files if not atomic.is_temporary(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole."""
        atomic.write_bytes(self.local(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file as a whole unless there is one; of several that try, one is told True."""
        return atomic.create_bytes(self.local(name), content)

    def remove(self, name: str) -> None:
        """Remove a file or folder; it is fine if there is none."""
        atomic.remove(self.local(name))

    def replacing(self, name: str, *, needed_bytes: int | None = None) -> AbstractContextManager[Path]:
        """Yield a temporary path that becomes the file `name`."""
        return atomic.replacing(self.local(name), needed_bytes=needed_bytes)

    def replacing_tree(self, name: str) -> AbstractContextManager[Path]:
        """Yield a temporary folder that becomes the folder `name`."""
        return atomic.replacing_tree(self.local(name))

    def sweep(self) -> int:
        """Remove what dead processes left half-written; return how many files and folders."""
        return atomic.sweep(self.path)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from writing here while the block runs. Raises `UsageError` E030 if one does."""
        return locked(self.path)


_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
_NO_FILE = {*_NOTHING_THERE, errno.EISDIR, errno.ELOOP, errno.ENXIO}
"""Nothing, or a folder, a link to itself, or a socket."""


def _open_at_once(path: str, flags: int) -> int:
    """Open a file. Does not wait, if it is a pipe, for somebody to write to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _status(path: Path) -> os.stat_result | None:
    """Return what the system says of a file or folder; None where there is none, be its name too long for one."""
    with _reading(path):
        try:
            return path.stat()
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"what stands there cannot be read ({error.strerror or error})"
        action = "Check that you may read it, or choose another folder with -o"
        raise OutputError("E320", what, where=str(path), action=action) from error
