"""What the files of microscope makers (ND2, CZI, LIF) have in common: libraries that may be missing, local files only,
several images told by number, file handles that are opened late and closed with the image.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from cellfleet.errors import InputError
from cellfleet.stores.remote import is_url


def missing_library(kind: str, name: str) -> InputError:
    """Return the error for a format whose library is not installed."""
    return InputError(
        "E140",
        f"{kind} files need a library that is not installed",
        where=name,
        action="Install it with: pip install 'cellfleet[readers]'",
    )


def check_local(path: str, kind: str, name: str) -> None:
    """Refuse an address.

    Raises:
        InputError: E143.
    """
    if is_url(path):
        raise InputError(
            "E143",
            f"{kind} files are read from a local folder only",
            where=name,
            action="Copy it to this computer, or convert it to OME-Zarr or OME-TIFF",
        )


def numbers(count: int) -> list[str]:
    """Return what tells the images of a file: their numbers from 0, nothing where there is only one."""
    return [str(number) for number in range(count)] if count > 1 else [""] * count


def no_such_image(kind: str, inside: str, name: str) -> InputError:
    """Return the error for a file that has changed since its images were listed, or has none."""
    what = f"image number {inside}" if inside else "an image"
    return InputError("E144", f"this {kind} file has not {what}", where=name, action="Give another file or number")


class Closable(Protocol):
    """An open file of any library."""

    def close(self) -> object:
        """Give the file back."""


File = TypeVar("File", bound=Closable)


class OpenLater(Generic[File]):
    """A file that is opened when it is first used, used by one thread at a time, and closed with its owner."""

    def __init__(self, make: Callable[[], File]) -> None:
        """Take the function that opens it."""
        self._make = make
        self._lock = threading.Lock()
        self._file: File | None = None

    @contextmanager
    def opened(self) -> Iterator[File]:
        """Lend the open file; nothing of it may be kept that needs it open."""
        with self._lock:
            if self._file is None:
                self._file = self._make()
                weakref.finalize(self, self._file.close)
            yield self._file
