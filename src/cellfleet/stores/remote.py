"""Reading by address: ``s3:// gs:// az:// https:// http:// file://``. Knows no image format.

Files in buckets and on web servers are read by parts, as they are needed. Plain ``http`` is read like ``https``: what
it lacks in secrecy is the user's choice. Only addresses that a user gave come here, never one found inside a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from cellfleet.errors import InputError
from cellfleet.stores.client import asking, connect
from cellfleet.stores.range_file import BLOCK_BYTES, RangeFile
from cellfleet.stores.traffic import TRAFFIC
from cellfleet.stores.url import is_url, local_path, split_url, without_secrets

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ObjectStore
    from zarr.abc.store import Store

__all__ = ["RemoteFile", "is_url", "list_files", "open_remote", "read_part", "read_remote", "stat_remote", "zarr_store"]

LARGEST_WHOLE = 256 << 20
"""Largest file, bytes, that is taken as a whole from a web server that serves no parts."""
_PAGE = 1000


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file as its server describes it."""

    url: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does: ETag, else the time of the last change, else empty."""


def stat_remote(url: str) -> RemoteFile:
    """Ask for size and version of a file.

    Raises:
        InputError: E150–E153, E159.
    """
    path = local_path(url)
    if path is not None:
        return _local_file(path, url)
    meta = _stat(url)
    return RemoteFile(url, meta["size"], _version(meta))


def read_remote(url: str, *, limit: int = LARGEST_WHOLE) -> bytes:
    """Return the whole content of a file of at most `limit` bytes.

    Raises:
        InputError: E150–E153, E156 when it is larger, E159.
    """
    path = local_path(url)
    if path is not None:
        _refuse_larger(_local_file(path, url).size, limit, url)
        return path.read_bytes()
    store, key = _target(url)
    with asking(url):
        answer = store.get(key)
        _refuse_larger(answer.meta["size"], limit, url)
        return TRAFFIC.received(bytes(answer.bytes()))


def read_part(file: RemoteFile, first: int, end: int) -> bytes:
    """Return the bytes `first` … `end` − 1 of a file, in one request. Of a web server that serves parts.

    Raises:
        InputError: E150–E153, E158 when it has changed since it was described, E159.
    """
    path = local_path(file.url)
    if path is not None:
        with open(path, "rb") as local:
            local.seek(first)
            return local.read(end - first)
    store, key = _target(file.url)
    with asking(file.url):
        answer = store.get(key, options={"range": (first, end), **_unchanged(file.etag)})
        return TRAFFIC.received(bytes(answer.bytes()))


def open_remote(url: str) -> BinaryIO:
    """Open a file for reading at any place; only what is read is fetched, with some read-ahead.

    Returns:
        A file object whose `name` is the address without secrets. Reading from it raises `InputError`: E151–E153, E158
        when the file has changed since it was opened, E159.

    Raises:
        InputError: E150–E153, E155 when the server sends no parts and the file is large, E159.
    """
    path = local_path(url)
    if path is not None:
        _local_file(path, url)
        return open(path, "rb")
    store, key = _target(url)
    answer = _first_part(store, key, url)
    if answer is None:
        return cast(BinaryIO, _whole_file(store, key, url))
    with asking(url, reads=0):  # the request was counted
        start = TRAFFIC.received(bytes(answer.bytes()))
    unchanged = _unchanged(answer.meta["e_tag"] or "")

    def fetch(first: int, end: int) -> bytes:
        with asking(url):
            answer = store.get(key, options={"range": (first, end), **unchanged})
            return TRAFFIC.received(bytes(answer.bytes()))

    return cast(BinaryIO, RangeFile(without_secrets(url), answer.meta["size"], fetch, start))


def list_files(url: str, *, closed: Callable[[str], bool] = lambda name: False) -> Iterator[RemoteFile]:
    """Yield the files below a bucket address or ``file://`` folder, page by page, in no promised order.

    Of an address that is a file itself nothing is yielded.

    Args:
        url: Prefix; it ends at a ``/``: ``s3://b/day`` holds ``s3://b/day/1`` and not ``s3://b/day2``.
        closed: Says of a folder's name (its last part) whether it counts as one file. Such a folder is yielded once,
            with ``/`` at the end of its address, size 0 and no version; what is in it is not listed.

    Raises:
        InputError: E150–E153, E154 for web addresses, E159.
    """
    path = local_path(url)
    if path is not None:
        yield from _list_folder(path, closed)
        return
    address = split_url(url)
    if address.kind == "http":
        action = "Give the files themselves or an OME-Zarr, or use a bucket address"
        raise InputError("E154", "a web server lists no folders", where=without_secrets(url), action=action)
    scheme, _, rest = url.partition("://")
    root = f"{scheme}://{rest.partition('/')[0]}"
    with asking(url, reads=0):
        for key, meta in _list_keys(connect(address), address.key, closed):
            size, version = (meta["size"], _version(meta)) if meta else (0, "")
            yield RemoteFile(f"{root}/{key}", size, version)


def zarr_store(where: str | Path) -> Store:
    """Return the folder at an address or path as a store for zarr and yaozarrs; nothing can be written to it.

    Errors of the server come from zarr as obstore's: read inside ``with client.asking(url):``.

    Raises:
        InputError: E150, E157.
    """
    from zarr.storage import LocalStore, ObjectStore  # noqa: PLC0415 (a run on TIFF does not pay for zarr)

    path = local_path(where) if isinstance(where, str) and is_url(where) else Path(where)
    if path is not None:
        return LocalStore(path, read_only=True)
    address = split_url(str(where))
    return ObjectStore(connect(address, prefix=address.key.rstrip("/")), read_only=True)


def _target(url: str) -> tuple[ObjectStore, str]:
    """Return the store to ask and the name to ask for."""
    address = split_url(url)
    if address.kind == "http":
        # The whole address is the store: only so does its query (a signature) arrive as it is.
        return connect(address, prefix=address.key), ""
    if not address.key:
        raise InputError("E150", "names a bucket, not a file", where=url, action="Add the file's name")
    return connect(address), address.key


def _stat(url: str) -> ObjectMeta:
    store, key = _target(url)
    with asking(url):
        if key:
            return store.head(key)
    # Addresses may be signed for reading only, so HEAD is no use.
    answer = _first_part(store, key, url, count=1)
    if answer is None:
        with asking(url):
            answer = store.get(key)
    return answer.meta


def _first_part(store: ObjectStore, key: str, url: str, *, count: int = BLOCK_BYTES) -> GetResult | None:
    """Ask for the first `count` bytes; return None where a server sends no parts, or none of an empty file."""
    from obstore.exceptions import GenericError, NotSupportedError  # noqa: PLC0415 (only for remote files)

    with asking(url):
        try:
            return store.get(key, options={"range": (0, count)})
        except NotSupportedError:
            return None
        except GenericError as error:
            if "status code: 416" in str(error):
                return None
            raise


def _whole_file(store: ObjectStore, key: str, url: str) -> RangeFile:
    with asking(url):
        answer = store.get(key)
        size = answer.meta["size"]
        if size > LARGEST_WHOLE:
            what = f"the server sends no parts of files, and this one has {size / 1e6:.0f} MB"
            raise InputError("E155", what, where=without_secrets(url), action="Download it first")
        content = TRAFFIC.received(bytes(answer.bytes()))
    return RangeFile(without_secrets(url), len(content), lambda first, end: content[first:end])


def _refuse_larger(size: int, limit: int, url: str) -> None:
    if size > limit:
        what = f"has {size / 1e6:.1f} MB; at most {limit / 1e6:.1f} MB are expected here"
        raise InputError("E156", what, where=without_secrets(url), action="Check that the address is the right one")


def _unchanged(etag: str) -> GetOptions:
    """Return what has a server refuse to read a file of another ETag, if this is one that may be asked for."""
    # Not a weak one (RFC 9110), nor a time that stands for an ETag.
    return {"if_match": etag} if etag.startswith('"') else {}


def _version(meta: ObjectMeta) -> str:
    changed = meta["last_modified"]
    # obstore says 1970 where the server says nothing.
    return meta["e_tag"] or (changed.isoformat() if changed > datetime(1970, 1, 2, tzinfo=UTC) else "")


def _list_keys(
    store: ObjectStore, prefix: str, closed: Callable[[str], bool]
) -> Iterator[tuple[str, ObjectMeta | None]]:
    """Yield (key, description), or (key of a closed folder with ``/``, None)."""
    seen: set[str] = set()
    previous, ascending, after = "", True, None
    while True:
        folder = None
        for page in store.list(prefix or None, offset=after, chunk_size=_PAGE):
            TRAFFIC.add(writes=1)  # what listing a page costs
            for meta in page:
                key = meta["path"]
                # Most buckets list in order of the names' bytes; "directory buckets" of S3 do not.
                ascending = ascending and key.encode() > previous.encode()
                previous = key
                folder = _closed_folder(key, prefix, closed)
                if folder is None:
                    yield key, meta
                elif folder not in seen:
                    seen.add(folder)
                    yield folder, None
            if folder is not None and ascending:
                break
        else:
            return
        # A Zarr may hold a million objects: go on listing behind it. "~" comes after nearly everything in it.
        after = f"{folder}~"


def _closed_folder(key: str, prefix: str, closed: Callable[[str], bool]) -> str | None:
    """Return the outermost closed folder below `prefix` that holds `key`, with ``/``; None if there is none."""
    above = len(prefix) + 1 if prefix else 0
    end = key.find("/", above)
    while end >= 0:
        if closed(key[key.rfind("/", 0, end) + 1 : end]):
            return key[: end + 1]
        end = key.find("/", end + 1)
    return None


def _list_folder(top: Path, closed: Callable[[str], bool]) -> Iterator[RemoteFile]:
    for folder, folders, names in os.walk(top):
        for name in [name for name in folders if closed(name)]:
            folders.remove(name)
            yield RemoteFile(f"{Path(folder, name).as_uri()}/", 0, "")
        for name in names:
            path = Path(folder, name)
            yield _local_file(path, path.as_uri())


def _local_file(path: Path, url: str) -> RemoteFile:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError("E151", "there is no such file", where=url, action="Correct the address") from error
    return RemoteFile(url, status.st_size, str(status.st_mtime_ns))
