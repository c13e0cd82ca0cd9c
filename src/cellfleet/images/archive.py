"""Images inside zip archives, read where they are: nothing is ever extracted under a name that an archive gives.

Members that are stored without compression are read in place, others are unpacked into memory or, when large, into a
temporary file without a name. What a header says about sizes is not believed. Knows no image formats.
"""

from __future__ import annotations

import functools
import lzma
import os
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO, cast

from cellfleet.errors import InputError
from cellfleet.images.border import decoding, unsupported_codec
from cellfleet.images.content import Content, FileContent, SharedContent, window
from cellfleet.images.stored import DEFLATE_RATIO, HARMLESS_BYTES
from cellfleet.stores.remote import open_remote, stat_remote
from cellfleet.stores.url import is_url

MOST_IN_MEMORY = 256 << 20
"""Bytes of a member that are kept in memory; larger ones go to a temporary file."""
LARGEST_MEMBER = 16 << 30
"""Bytes that a compressed member may unpack to."""
OPEN_ARCHIVES = 4
"""Archives whose list of members is kept: a plate has thousands of members, each opened by itself."""
_PIECE = 1 << 20
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
    archive = SharedContent(path, lambda: open_remote(path)) if is_url(path) else FileContent(path)
    if info.compress_type == zipfile.ZIP_STORED:
        return _StoredMember(archive, info, name)
    return SharedContent(path, lambda: _unpacked(path, inside, name))


class _StoredMember:
    def __init__(self, archive: Content, info: zipfile.ZipInfo, name: str) -> None:
        self.path = archive.path
        self._archive = archive
        self._info = info
        self._name = name

    def open(self) -> BinaryIO:
        file = self._archive.open()
        file.seek(self._info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            file.close()
            raise _damaged(self._name)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = self._info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        return window(file, start, self._info.file_size)


@dataclass(frozen=True, eq=False)
class _Archive:
    file: zipfile.ZipFile
    copies: Counter[str]
    """Name → how many members have it."""


def _archive(path: str, name: str) -> _Archive:
    if is_url(path):
        remote = stat_remote(path)
        version: tuple[int, str] = (remote.size, remote.etag)
    else:
        with decoding(path, name, "zip", part="header"):
            status = os.stat(path)
        version = (status.st_size, str(status.st_mtime_ns))
    with decoding(path, name, "zip", part="header"):
        return _opened(path, version)


@functools.lru_cache(OPEN_ARCHIVES)
def _opened(path: str, version: tuple[int, str]) -> _Archive:
    assert version, "a part of the key, so that a changed archive is opened anew"
    file = zipfile.ZipFile(open_remote(path) if is_url(path) else path)
    return _Archive(file, Counter(file.namelist()))


def _member(path: str, inside: str, name: str) -> zipfile.ZipInfo:
    try:
        return _archive(path, name).file.getinfo(inside)
    except KeyError as error:
        raise InputError(
            "E104", "is not in the archive any more", where=name, action="Run the command again"
        ) from error


def _unpacked(path: str, inside: str, name: str) -> BinaryIO:
    info = _member(path, inside, name)
    # No codec of images or archives that is in use packs more densely, save for what is small anyway.
    most = min(LARGEST_MEMBER, max(HARMLESS_BYTES, info.compress_size * DEFLATE_RATIO))
    file = tempfile.SpooledTemporaryFile(MOST_IN_MEMORY)  # noqa: SIM115 (it lives as long as the image)
    try:
        with _archive(path, name).file.open(info) as packed:
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
