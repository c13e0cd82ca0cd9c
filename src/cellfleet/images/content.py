"""The bytes of a source, wherever they lie: on disk, behind an address, in an archive. Knows no image formats."""

from __future__ import annotations

import io
import os
import stat
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from cellfleet.errors import InputError
from cellfleet.images.border import unopened

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Content(Protocol):
    """The bytes of one file."""

    path: str
    """Where they are, to say why they cannot be had."""

    def open(self) -> BinaryIO:
        """Open for reading. Every caller has a place of its own in the file, so threads do not disturb each other.

        Raises:
            OSError: As `open` does.
            InputError: From archives and addresses.
        """


class FileContent:
    """A file on disk. It is opened anew each time, so that idle images cost no file handles."""

    def __init__(self, path: str) -> None:
        """Take the path; opens nothing."""
        self.path = path

    def open(self) -> BinaryIO:
        """Open the file."""
        return Path(self.path).open("rb")


class SharedContent:
    """A file that is dear to open (an address, an unpacked member of an archive): opened once, read under a lock."""

    def __init__(self, path: str, make: Callable[[], BinaryIO]) -> None:
        """Take the function that opens it; it is called at the first `open`."""
        self.path = path
        self._make = make
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._size = 0

    def open(self) -> BinaryIO:
        """Return a view of the one file."""
        with self._lock:
            if self._file is None:
                self._file = self._make()
                weakref.finalize(self, self._file.close)
                self._size = self._file.seek(0, io.SEEK_END)
        return window(self._file, 0, self._size, lock=self._lock)


def check_file(path: str | Path, name: str) -> None:
    """Refuse a path that is no file: a pipe would be waited for without end.

    Raises:
        InputError: E104, it cannot be opened.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()  # a folder that may not be searched fails for that reason
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(status.st_mode, name)
    except OSError as error:
        raise unopened(path, name, error) from error


def _not_a_file(mode: int, name: str) -> InputError:
    what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
    return InputError("E104", f"cannot be opened: it is {what}", where=name, action="Give an image file")


def window(file: BinaryIO, start: int, size: int, *, lock: threading.Lock | None = None) -> BinaryIO:
    """Return a part of `file` as a file; without a lock `file` belongs to it and is closed with it."""
    return cast("BinaryIO", _Window(file, start, size, lock))


class _Window(io.RawIOBase):
    def __init__(self, file: BinaryIO, start: int, size: int, lock: threading.Lock | None) -> None:
        self._file, self._start, self._size = file, start, size
        self._owned = lock is None
        self._lock = lock or threading.Lock()
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative place {base + offset}")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._place))
        with self._lock:
            self._file.seek(self._start + self._place)
            data = self._file.read(wanted)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()
