"""The bytes of uploads under way: added to piece by piece, and made a file of a set in one step when all are there.

    incoming/<upload>/upload.json   what was announced (`uploads.py`)
    incoming/<upload>/data          in a folder: the bytes that have arrived
    incoming/<upload>/<offset>      in a bucket: a piece of them, an object that is made once and never changed

How many bytes have arrived is never written down: it is read off what is there, so it is right after any crash. Two
that send at once cannot mix their bytes: a folder's file has a lock, and of two pieces with one offset a bucket takes
one. Knows no HTTP, user or quota.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from cellfleet.errors import OutputError, ServiceError
from cellfleet.stores import atomic
from cellfleet.stores.bucket import PART_BYTES
from cellfleet.stores.client import connect, explained
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.lock import try_lock
from cellfleet.stores.place import Place
from cellfleet.stores.url import child, split_url

PIECE_BYTES = 8 << 20
"""Of objects in a bucket: what stands in memory for each upload there."""
_READ_BYTES = 1 << 20
_PARTS_AT_ONCE = 4
_MOST_PARTS = 9_000
"""S3 takes 10 000 parts; larger files get larger ones."""


class DamagedError(Exception):
    """The bytes that arrived are not those that were announced."""


class Receiver(Protocol):
    """The right to add to one upload. Every method may raise `OutputError`, a full disk's E301 among others."""

    @property
    def offset(self) -> int:
        """How many bytes are here, and stay here whatever ends."""
        ...

    def add(self, data: bytes) -> None:
        """Take the next bytes. Raises `ServiceError` E925 when somebody else has sent these already."""
        ...

    def keep(self) -> None:
        """Return when all that was taken is durable."""
        ...

    def read(self) -> Iterator[bytes]:
        """Yield all that is here."""
        ...

    def publish(self, name: str, length: int, sha256: str | None) -> None:
        """Make it the file `name` of the store, which nobody has yet.

        Raises:
            DamagedError: It has another SHA-256.
            FileExistsError: There is a file of this name after all.
        """
        ...


class Incoming(Protocol):
    """Where the bytes of uploads are kept."""

    def offset(self, upload: str) -> int:
        """Return how many bytes of an upload are here, durably."""
        ...

    def receiving(self, upload: str) -> contextlib.AbstractContextManager[Receiver]:
        """Yield the right to add to an upload. Raises `ServiceError` E925 while somebody else has it."""
        ...


def incoming_of(store: Place) -> Incoming:
    """Return what keeps uploads in this kind of store."""
    return FolderIncoming(store) if isinstance(store, FolderPlace) else BucketIncoming(store)


def folder_of_upload(upload: str) -> str:
    """Return where in the store all that belongs to an upload under way is."""
    return f"incoming/{upload}"


def busy(upload: str) -> ServiceError:
    """Return the error that says that two send the same."""
    what = "this upload is being sent by another connection"
    action = "End that one; or wait a minute, ask for the offset, and go on from there"
    return ServiceError("E925", what, status=423, where=upload, action=action)


class FolderIncoming:
    """In a folder: appended to a file, which becomes the file of the set."""

    def __init__(self, store: FolderPlace) -> None:
        """Take the store."""
        self._store = store

    def offset(self, upload: str) -> int:
        """Return the size of the file, after it has been flushed: an offset that is told holds."""
        try:
            with open(self._path(upload), "r+b") as file:
                os.fsync(file.fileno())
                return os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def receiving(self, upload: str) -> Iterator[Receiver]:
        """Open the file, under a lock that ends with its holder, however that ends."""
        path = self._path(upload)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "ab+", buffering=0)  # noqa: SIM115 (its errors are told apart from those of the block)
        with file:
            if not try_lock(file):
                raise busy(upload)
            yield _FolderReceiver(self._store, path, file)

    def _path(self, upload: str) -> Path:
        return self._store.local(f"{folder_of_upload(upload)}/data")


class _FolderReceiver:
    def __init__(self, store: FolderPlace, path: Path, file: BinaryIO) -> None:
        self._store, self._path, self._file = store, path, file
        self.offset = os.fstat(file.fileno()).st_size

    def add(self, data: bytes) -> None:
        view = memoryview(data)
        with _writing(self._path):
            while view:
                count = self._file.write(view)
                self.offset += count
                view = view[count:]

    def keep(self) -> None:
        with _writing(self._path):
            os.fsync(self._file.fileno())

    def read(self) -> Iterator[bytes]:
        self._file.seek(0)
        while data := self._file.read(_READ_BYTES):
            yield data

    def publish(self, name: str, length: int, sha256: str | None) -> None:
        for _ in _checked(self.read(), length, sha256):
            pass
        self.keep()
        target = self._store.local(name)
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and target.samefile(self._path):
                return  # done before, by a process that ended just then
            atomic.link_new(self._path, target)


class BucketIncoming:
    """In a bucket: objects that are put together as one stream."""

    def __init__(self, store: Place) -> None:
        """Take the store."""
        self._store = store

    def offset(self, upload: str) -> int:
        """Return where the pieces that follow each other without a gap end."""
        return _end(_pieces(self._store, upload))

    @contextlib.contextmanager
    def receiving(self, upload: str) -> Iterator[Receiver]:
        """Yield at once: of two that send the same bytes, the second is refused at its first piece."""
        yield _BucketReceiver(self._store, upload)


class _BucketReceiver:
    def __init__(self, store: Place, upload: str) -> None:
        self._store, self._upload = store, upload
        self._pieces = _pieces(store, upload)
        self._buffer = bytearray()
        self.offset = _end(self._pieces)

    def add(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PIECE_BYTES:
            self._put(bytes(self._buffer[:PIECE_BYTES]))
            del self._buffer[:PIECE_BYTES]

    def keep(self) -> None:
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def read(self) -> Iterator[bytes]:
        for start, size in self._pieces:
            content = self._store.read(_piece(self._upload, start))
            if content is None or len(content) != size:
                raise busy(self._upload)
            yield content

    def publish(self, name: str, length: int, sha256: str | None) -> None:
        self.keep()
        if self._store.size(name) is not None:
            raise FileExistsError(name)
        from obstore import open_writer  # noqa: PLC0415 (only for buckets)

        url = child(self._store.url, name)
        address = split_url(url)
        part = max(PART_BYTES, length // _MOST_PARTS + 1)
        writer = open_writer(connect(address), address.key, buffer_size=part, max_concurrency=_PARTS_AT_ONCE)
        for data in _checked(self.read(), length, sha256):
            with _uploading(url):
                writer.write(data)
        # Without this, as after an error above, no object appears.
        with _uploading(url):
            writer.close()

    def _put(self, piece: bytes) -> None:
        if not self._store.create(_piece(self._upload, self.offset), piece):
            raise busy(self._upload)
        self._pieces.append((self.offset, len(piece)))
        self.offset += len(piece)


def same_content(receiver: Receiver, store: Place, name: str) -> bool:
    """Say whether what has arrived equals a file that is there."""
    return _sha256(receiver.read()) == _sha256(read_file(store, name))


def read_file(store: Place, name: str) -> Iterator[bytes]:
    """Yield the content of a file of the store."""
    start = 0
    while part := store.read_range(name, start, start + PIECE_BYTES):
        yield part.content
        start += len(part.content)
        if start >= part.size:
            return


def _pieces(store: Place, upload: str) -> list[tuple[int, int]]:
    """Return start and size of the pieces that follow each other from 0 on."""
    pieces: list[tuple[int, int]] = []
    for file in list_in_order(store, folder_of_upload(upload)):
        if file.name.isdigit() and int(file.name) == _end(pieces):
            pieces.append((int(file.name), file.size))
    return pieces


def _end(pieces: list[tuple[int, int]]) -> int:
    return sum(pieces[-1]) if pieces else 0


def _piece(upload: str, start: int) -> str:
    # So many digits that names sort as numbers.
    return f"{folder_of_upload(upload)}/{start:016}"


def _checked(content: Iterator[bytes], length: int, sha256: str | None) -> Iterator[bytes]:
    """Pass on what is to become a file. Raises `DamagedError` before its end if it is not what was announced."""
    digest, count = hashlib.sha256(), 0
    for data in content:
        if sha256:
            digest.update(data)
        count += len(data)
        if count == length and sha256 and digest.hexdigest() != sha256:
            raise DamagedError
        yield data
    assert count == length, "whoever publishes has seen that all is here"


def _sha256(content: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for data in content:
        digest.update(data)
    return digest.hexdigest()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        told = atomic.output_error(error, path)
        raise OutputError(told.code, told.what, where=told.where, action="Free some space there") from error


@contextlib.contextmanager
def _uploading(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # obstore's writers have no errors of their own
        raise explained(error, url, writing=True) from error
