"""One file on its way out: its bytes by pieces, its hash, and whether it changed meanwhile. Knows no protocol."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator

from cellfleet.client.connection import StoppedError
from cellfleet.client.parcel import LocalFile, unreadable
from cellfleet.errors import ServiceError

_READ = 1 << 20


class Counter:
    """Bytes sent by all threads together."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock, self.value = threading.Lock(), 0

    def add(self, count: int) -> None:
        """Add some; negative where they have to be sent again."""
        with self._lock:
            self.value += count


class Outgoing:
    """A local file that is being sent."""

    def __init__(self, file: LocalFile, counter: Counter, stopped: Callable[[], bool]) -> None:
        """Take the file; nothing is read yet.

        Args:
            file: Which.
            counter: Told how many bytes have gone.
            stopped: Says whether to end reading, with `StoppedError`.
        """
        self.file, self._counter, self._stopped = file, counter, stopped
        self._counted = 0

    def sha256(self) -> str:
        """Return the hash of the whole file, hex."""
        digest = hashlib.sha256()
        for piece in self._read(0, self.file.size):
            digest.update(piece)
        return digest.hexdigest()

    def content(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield some bytes of the file, and count them."""
        for piece in self._read(offset, size):
            yield piece
            self.count(len(piece))

    def count(self, size: int) -> None:
        """Count bytes as sent."""
        self._counted += size
        self._counter.add(size)

    def stands_at(self, offset: int) -> None:
        """Count as sent what the server has of the file: its first bytes."""
        self.count(offset - self._counted)

    def require_unchanged(self) -> None:
        """Raise `ServiceError` E968 if the file is not the one that was to be sent."""
        try:
            status = os.stat(self.file.local)
        except OSError as error:
            raise unreadable(self.file.local, error) from error
        if (status.st_size, status.st_mtime_ns) != (self.file.size, self.file.mtime_ns):
            raise self.changed()

    def changed(self) -> ServiceError:
        """Return the error that says so."""
        return ServiceError(
            "E968",
            "has changed while it was sent",
            status=409,
            where=self.file.local,
            action="Wait until nothing writes to it, then run again",
        )

    def _read(self, offset: int, size: int) -> Iterator[bytes]:
        try:
            with open(self.file.local, "rb") as file:
                file.seek(offset)
                while size:
                    if self._stopped():
                        raise StoppedError
                    piece = file.read(min(size, _READ))
                    if not piece:
                        raise self.changed()
                    size -= len(piece)
                    yield piece
        except OSError as error:
            raise unreadable(self.file.local, error) from error
