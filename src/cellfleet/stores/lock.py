"""One process per output folder. The operating system drops the lock when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cellfleet.errors import UsageError
from cellfleet.stores.atomic import output_error

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold ``OUT/.cellfleet/lock`` while the block runs.

    The file stays (removing it would race with the next holder) and tells who holds or held it.

    Raises:
        UsageError: E030, when another process holds it.
        OutputError: When the folder cannot be made or written.
    """
    path = out / ".cellfleet" / "lock"
    with _opened(path) as file:
        if not try_lock(file):
            raise UsageError(
                "E030",
                f"another cellfleet{_holder(path)} is writing there",
                where=str(out),
                action="Wait until it ends, or choose another folder with -o",
            )
        _sign(file)
        yield


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a+b")
    except OSError as error:
        raise output_error(error, path.parent.parent) from error


def try_lock(file: BinaryIO) -> bool:
    """Take the lock of an open file, which ends when that is closed; say whether nobody else has it."""
    try:
        if sys.platform == "win32":
            # Byte 0 is never written: Windows forbids others to read what is locked.
            file.seek(1 << 30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network drives have no locks at all: better to run there than never.
        return error.errno not in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
    return True


def _sign(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()


def _holder(path: Path) -> str:
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return ""
    return f" (process {text})" if text else ""
