"""Has an input changed since it was segmented? By size and time of change, and by content where these differ."""

from __future__ import annotations

import errno
import hashlib
import stat
from pathlib import Path

from cellfleet.spec.record import InputFile


def fingerprint(path: Path, shown: str) -> InputFile:
    """Return the identity of the file's bytes; `shown` is its path as text that JSON can hold.

    Raises:
        OSError: The file cannot be read, or is none: opening a pipe would wait without end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return InputFile(path=shown, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=_sha256(path))


def unchanged(path: Path, known: InputFile) -> bool:
    """Say whether the file still has the bytes that `known` describes.

    Equal size and time of change are believed; after a copy or a touch the content decides. Raises OSError.
    """
    status = path.stat()
    if status.st_size != known.size_bytes:
        return False
    return status.st_mtime_ns == known.mtime_ns or _sha256(path) == known.sha256


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
