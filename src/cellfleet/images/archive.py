"""Images inside zip archives, read where they are: nothing is ever extracted under a name that an archive gives.

Members that are stored without compression are read in place, others are unpacked into memory or, when large, into a
temporary file without a name. In a bucket, the bytes of a member that is not large are fetched with one request, and no
others. What a header says about sizes is not believed. Knows no image formats.
"""

from __future__ import annotations

import bisect
import functools
import io
import lzma
import os
import struct
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from cellfleet.errors import InputError
from cellfleet.images.border import decoding, unsupported_codec
from cellfleet.images.content import Content, FileContent, SharedContent, window
from cellfleet.images.stored import DEFLATE_RATIO, HARMLESS_BYTES
from cellfleet.stores.remote import RemoteFile, open_remote, read_part, stat_remote
from cellfleet.stores.url import is_url

MOST_IN_MEMORY = 256 << 20
"""Bytes of a member that are kept in memory; larger ones go to a temporary file."""
LARGEST_MEMBER = 16 << 30
"""Bytes that a compressed member may unpack to."""
OPEN_ARCHIVES = 4
"""Archives whose list of members is kept: a plate has thousands of members, each opened by itself."""
_PIECE = 1 << 20
_AT_ONCE = 16 << 20
"""Bytes of a member in a bucket that are fetched with one request; of larger ones, parts are as they are needed."""
_BELIEVED_SECONDS = 2
"""How long an archive in a bucket counts as unchanged: opening one member asks four times, a plate has thousands."""
_ENCRYPTED = 0x1
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, and the lengths of the name and the extra field that lie between this header and the data."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


def list_members(path: str) -> list[str]:
    """Return the names of the files in an archive, each once.

    Raises:
        InputError: E104, E106: it cannot be opened or is damaged; E15x from its address.
    """
    return [name for name in _archive(path, path).copies if not name.endswith("/")]


def count_members(path: str, inside: str) -> int:
    """Return how many members have this name; the last of them is the one that is read."""
    return _archive(path, inside).copies[inside]


def member_checksum(path: str, inside: str) -> tuple[int, int]:
    """Return size in bytes and CRC-32 of a member, as the archive has them. Raises InputError."""
    info = _member(path, inside, inside)
    return info.file_size, info.CRC


def member_content(path: str, inside: str, name: str) -> Content:
    """Return the bytes of a member; `name` is the image's, for messages.

    Raises:
        InputError: E104, E106, E131 (encrypted). Reading raises E106, E109 and E132 (it unpacks to too much).
    """
    info = _member(path, inside, name)
    if info.flag_bits & _ENCRYPTED:
        raise InputError(
            "E131",
            "is encrypted in its archive",
            where=name,
            action="Unpack the archive with its password and give the folder",
        )
    piece = _fetched(path, info, name)
    if info.compress_type != zipfile.ZIP_STORED:
        return SharedContent(path, lambda: _unpacked(path, info, name, piece))
    if piece is not None:
        return _StoredMember(piece, 0, info.file_size, name)
    archive = SharedContent(path, lambda: open_remote(path)) if is_url(path) else FileContent(path)
    return _StoredMember(archive, info.header_offset, info.file_size, name)


class _StoredMember:
    def __init__(self, archive: Content, begin: int, size: int, name: str) -> None:
        self.path = archive.path
        self._archive, self._begin, self._size, self._name = archive, begin, size, name

    def open(self) -> BinaryIO:
        file = self._archive.open()
        try:
            start = _start(file, self._begin, self._name)
        except BaseException:
            file.close()
            raise
        return window(file, start, self._size)


def _start(file: BinaryIO, header_offset: int, name: str) -> int:
    """Return where the data of the member begins whose header is at this place."""
    file.seek(header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise _damaged(name)
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _fetched(path: str, info: zipfile.ZipInfo, name: str) -> Content | None:
    """Return the bytes of a member in a bucket, from its header on, fetched when they are asked for; None: too many."""
    if not is_url(path) or path.partition(":")[0] in {"http", "https"}:  # a web server may serve no parts
        return None
    archive = _archive(path, name)
    end = archive.end(info)
    short = info.header_offset + _LOCAL_HEADER.size + info.compress_size > end  # members lie over each other
    if archive.remote is None or short or end - info.header_offset > _AT_ONCE:
        return None
    remote = archive.remote
    return SharedContent(path, lambda: io.BytesIO(read_part(remote, info.header_offset, end)))


@dataclass(frozen=True, eq=False)
class _Archive:
    file: zipfile.ZipFile
    copies: Counter[str]
    """Name → how many members have it."""
    begins: list[int]
    """Where members begin, and the directory behind them, in order."""
    remote: RemoteFile | None

    def end(self, info: zipfile.ZipInfo) -> int:
        """Return where the next member begins, or the directory."""
        after = bisect.bisect_right(self.begins, info.header_offset)
        return self.begins[after] if after < len(self.begins) else info.header_offset


def _archive(path: str, name: str) -> _Archive:
    remote = _described(path, int(time.monotonic() / _BELIEVED_SECONDS)) if is_url(path) else None
    if remote is not None:
        version = (remote.size, remote.etag)
    else:
        with decoding(path, name, "zip", part="header"):
            status = os.stat(path)
        version = (status.st_size, str(status.st_mtime_ns))
    with decoding(path, name, "zip", part="header"):
        return _opened(path, version, remote)


@functools.lru_cache(OPEN_ARCHIVES)
def _described(path: str, moment: int) -> RemoteFile:
    assert moment >= 0, "a part of the key, so that the server is asked again"
    return stat_remote(path)


@functools.lru_cache(OPEN_ARCHIVES)
def _opened(path: str, version: tuple[int, str], remote: RemoteFile | None) -> _Archive:
    assert version, "a part of the key, so that a changed archive is opened anew"
    file = zipfile.ZipFile(open_remote(path) if is_url(path) else path)
    begins = sorted({info.header_offset for info in file.infolist()} | {file.start_dir})
    return _Archive(file, Counter(file.namelist()), begins, remote)


def _member(path: str, inside: str, name: str) -> zipfile.ZipInfo:
    try:
        return _archive(path, name).file.getinfo(inside)
    except KeyError as error:
        raise InputError(
            "E104", "is not in the archive any more", where=name, action="Run the command again"
        ) from error


def _unpacked(path: str, info: zipfile.ZipInfo, name: str, piece: Content | None) -> BinaryIO:
    # No codec of images or archives that is in use packs more densely, save for what is small anyway.
    most = min(LARGEST_MEMBER, max(HARMLESS_BYTES, info.compress_size * DEFLATE_RATIO))
    file = tempfile.SpooledTemporaryFile(MOST_IN_MEMORY)  # noqa: SIM115 (it lives as long as the image)
    try:
        with _packed(path, info, name, piece) as packed:
            while data := packed.read(_PIECE):
                file.write(data)
                if file.tell() > most:
                    raise _bomb(name, info.compress_size)
    except BaseException as error:
        file.close()
        if isinstance(error, NotImplementedError):
            raise unsupported_codec(name, "by a compression method of its archive") from error
        if isinstance(error, _DAMAGE):
            raise _damaged(name) from error
        raise
    return cast("BinaryIO", file)


def _packed(path: str, info: zipfile.ZipInfo, name: str, piece: Content | None) -> IO[bytes]:
    """Open a compressed member: what is read is unpacked."""
    if piece is None:
        return _archive(path, name).file.open(info)
    file = piece.open()
    file.seek(_start(file, 0, name))
    return cast("IO[bytes]", zipfile.ZipExtFile(file, "r", info, close_fileobj=True))


def _bomb(name: str, stored: int) -> InputError:
    return InputError(
        "E132",
        f"unpacks to far more than any image of {stored} bytes holds, unpacking was stopped",
        where=name,
        action="If it is really an image, unpack the archive and give the folder",
    )


def _damaged(name: str) -> InputError:
    return InputError(
        "E106",
        "cannot be unpacked: its part of the archive is damaged",
        where=name,
        action="Copy or make the archive again",
    )
