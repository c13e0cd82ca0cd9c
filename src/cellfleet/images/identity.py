"""Has an input changed since it was segmented? By size and time of change, and by content where these differ.

Large files are known by samples, OME-Zarr folders by their listing, members of archives by the checksum that stands in
the archive, files behind addresses by what their server says. Knows no image formats.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cellfleet.errors import InputError
from cellfleet.images import formats
from cellfleet.images.archive import member_checksum
from cellfleet.images.border import reading
from cellfleet.images.content import check_file
from cellfleet.images.names import printable
from cellfleet.images.source import Source
from cellfleet.spec.record import InputFile
from cellfleet.stores.remote import RemoteFile, list_files, stat_remote
from cellfleet.stores.url import is_url, split_url, without_secrets

LARGEST_HASHED_WHOLE = 256 << 20
SAMPLES, SAMPLE_BYTES = 66, 1 << 20
"""Of larger files: the first and the last MiB, and 64 in even steps between them."""
METADATA_NAMES = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata", "METADATA.ome.xml"})
"""Files of a Zarr store whose content counts, not only their size and time."""


@dataclass(frozen=True)
class _State:
    """What can be said of an input; the digest is computed when it is asked for."""

    size: int
    mtime_ns: int
    """0 where the time of change says nothing."""
    hashed: Literal["content", "sample", "listing"]
    digest: Callable[[], str]


def input_path(source: Source) -> str:
    """Return where the input is, absolute, as text that JSON can hold and that holds no secrets."""
    path = without_secrets(source.path) if is_url(source.path) else os.path.abspath(source.path)
    return printable(f"{path}/{source.inside}" if source.inside else path)


def identify(source: Source) -> InputFile:
    """Return the identity of the input's bytes.

    Raises:
        InputError: E104, it cannot be read; E106 from archives, E15x from addresses.
    """
    with reading(source.path, source.name):
        state = _state(source)
        digest = state.digest()
    return InputFile(
        path=input_path(source),
        size_bytes=state.size,
        mtime_ns=state.mtime_ns,
        sha256=digest,
        hashed=state.hashed,
    )


def unchanged(source: Source, known: InputFile) -> bool:
    """Say whether the input still has the bytes that `known` describes.

    Equal size and time of change are believed; after a copy or a touch the content decides. Raises as `identify`.
    """
    with reading(source.path, source.name):
        state = _state(source)
        if state.size != known.size_bytes:
            return False
        return 0 < state.mtime_ns == known.mtime_ns or state.digest() == known.sha256


def _state(source: Source) -> _State:
    name = os.path.basename(without_secrets(source.path).rstrip("/"))
    if formats.is_archive(name):
        return _member(source)
    if is_url(source.path):
        return _remote_folder(source.path) if _is_zarr_folder(name) else _remote_file(source.path)
    if os.path.isdir(source.path) and formats.is_zarr(name):
        return _folder(source.path)
    check_file(source.path, source.name)
    status = os.stat(source.path)
    if status.st_size > LARGEST_HASHED_WHOLE:
        return _State(
            status.st_size, status.st_mtime_ns, "sample", lambda: _sha256_of_samples(source.path, status.st_size)
        )
    return _State(status.st_size, status.st_mtime_ns, "content", lambda: _sha256(source.path))


def _is_zarr_folder(name: str) -> bool:
    return name.lower().endswith(".zarr")


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_samples(path: str, size: int) -> str:
    digest = hashlib.sha256(f"{size}\n".encode())
    with open(path, "rb") as file:
        for i in range(SAMPLES):
            file.seek(i * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _member(source: Source) -> _State:
    if not source.inside:  # an archive that could not be listed
        check_file(source.path, source.name)
    size, checksum = member_checksum(source.path, source.inside)
    return _listing(size, f"{size} {checksum:08x}\n")


def _folder(path: str) -> _State:
    """Walk a Zarr folder in order of the names; the pixels are not read."""
    digest, total = hashlib.sha256(), 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            place = os.path.join(folder, name)
            status = os.stat(place)
            total += status.st_size
            shown = os.path.relpath(place, path).replace(os.sep, "/")
            digest.update(f"{shown} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
            if name in METADATA_NAMES:
                digest.update(bytes.fromhex(_sha256(place)))
    return _State(total, 0, "listing", digest.hexdigest)


def _remote_file(url: str) -> _State:
    file = stat_remote(url)
    return _listing(file.size, f"{file.size} {file.etag}\n")


def _remote_folder(url: str) -> _State:
    """List a Zarr folder in a bucket; a web server lists nothing, so there the metadata of the group must do."""
    files = _metadata_files(url) if split_url(url).kind == "http" else sorted(list_files(url))
    text = "".join(f"{file.url.removeprefix(url)} {file.size} {file.etag}\n" for file in files)
    return _listing(sum(file.size for file in files), text)


def _metadata_files(url: str) -> list[RemoteFile]:
    found = []
    for name in sorted(METADATA_NAMES):
        try:
            found.append(stat_remote(f"{url.rstrip('/')}/{name}"))
        except InputError:  # stores of version 2 and 3 have different ones
            continue
    return found


def _listing(size: int, text: str) -> _State:
    return _State(size, 0, "listing", lambda: hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
