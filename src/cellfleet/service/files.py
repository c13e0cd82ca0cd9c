"""Result files as HTTP answers: whole or a range of one, streamed piece by piece. Knows no job.

No more than a piece of a file is held for a request, and no thread or open file while its client does not read.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Send

from cellfleet.errors import ServiceError
from cellfleet.results.record import FOLDER
from cellfleet.service.errors import answer
from cellfleet.service.ranges import Wanted, entity_tag, has_already, range_applies, wanted_range
from cellfleet.stores.atomic import METADATA_NAMES, is_temporary
from cellfleet.stores.place import Part, Place

PIECE_BYTES: Final = 1 << 20
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".csv": "text/csv; charset=utf-8",
        ".gz": "application/gzip",
        ".h5ad": "application/x-hdf5",
        ".html": "text/html; charset=utf-8",
        ".jpg": "image/jpeg",
        ".json": "application/json",
        ".parquet": "application/vnd.apache.parquet",
        ".tif": "image/tiff",
        ".zip": "application/zip",
    }
)
_SHOWN = frozenset({".csv", ".html", ".jpg", ".json"})
"""Endings of files that a browser shows; others it saves."""
_THUMBNAIL = re.compile(rf"{re.escape(FOLDER)}/thumbnails/[0-9a-f]+\.jpg")
SAFETY: Mapping[str, str] = MappingProxyType(
    {
        # Results hold texts of strangers. Should one become part of a page, no script of it runs, nothing is loaded or
        # sent, and the page counts as of another origin than the API. report.html needs no more than this.
        "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox allow-downloads",
        # An image that failed may have a result tomorrow.
        "Cache-Control": "private, no-cache",
    }
)


def checked_path(path: str) -> str:
    """Return the path of a result file, relative to the results.

    Raises:
        ServiceError: E940, it leads out of the results, or into what cellfleet keeps there for itself.
    """
    parts = path.split("/")
    odd = any(part in {"", ".", ".."} or is_temporary(part) for part in parts) or re.search(r"[\x00-\x1f\x7f\\]", path)
    own = any(part.casefold() == FOLDER for part in parts) and not _THUMBNAIL.fullmatch(path)
    if odd or own or not _encodable(path):
        raise no_such_file(path)
    return path


def no_such_file(path: str) -> ServiceError:
    """Return the error for a file that is not there."""
    what = "the job has no such result file, or none yet"
    action = "GET …/images tells the files of each image, and whether it is done"
    return ServiceError("E940", what, status=404, where=path if path.isprintable() else ascii(path), action=action)


def answer_file(request: Request, place: Place, path: str) -> Response:
    """Answer a GET or HEAD of a result file. Call it off the event loop.

    Raises:
        ServiceError: E940, there is none, or it is not to be had.
        OutputError: The place cannot be reached.
    """
    name = checked_path(path)
    wanted = wanted_range(request.headers.get("range")) if request.method == "GET" else None
    first = _first(request, place, name, wanted or Wanted())
    tag = entity_tag(first.version)
    headers = {**SAFETY, "Accept-Ranges": "bytes", **({"ETag": tag} if tag else {})}
    if has_already(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": content_type(name), "Content-Disposition": disposition(name)}
    if wanted is None or not range_applies(request.headers.get("if-range"), tag):
        return _answer(request, place, name, first, range(first.size), 200, headers)
    part = wanted.of(first.size)
    if part is None:
        what = f"the file has {first.size} bytes, and none of those that were asked for"
        error = ServiceError("E941", what, status=416, where=name, action="Ask for a range that begins within it")
        return answer(error, headers={"Content-Range": f"bytes */{first.size}"})
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{first.size}"
    return _answer(request, place, name, first, part, 206, headers)


def content_type(name: str) -> str:
    """Return the media type of a result file."""
    if PurePosixPath(name).name in METADATA_NAMES:
        return "application/json"
    return _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


def disposition(name: str) -> str:
    """Return the Content-Disposition with which a browser shows a file, or saves it under its name."""
    file = PurePosixPath(name)
    plain = re.sub(r'[^ !#-\[\]-~]|["%]', "_", file.name)
    how = "inline" if file.suffix in _SHOWN else "attachment"
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"


class Pieces(StreamingResponse):
    """An answer that is made piece by piece, and lets go of all it holds when its client is gone."""

    async def stream_response(self, send: Send) -> None:
        """Send it."""
        assert isinstance(self.body_iterator, AsyncIterator)
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


def _first(request: Request, place: Place, name: str, wanted: Wanted) -> Part:
    """Return the first piece of what is asked for, or nothing but size and version where these decide."""
    conditions = {"if-none-match", "if-range"}.intersection(request.headers)
    start, stop = 0, 0
    if request.method == "GET" and not conditions and wanted.start >= 0:
        start, stop = wanted.start, wanted.start + PIECE_BYTES
        stop = stop if wanted.stop is None else min(stop, wanted.stop)
    found = place.read_range(name, start, stop)
    if found is None:
        raise no_such_file(name)
    return found


def _answer(
    request: Request, place: Place, name: str, first: Part, part: range, status: int, headers: dict[str, str]
) -> Response:
    headers["Content-Length"] = str(len(part))
    if request.method == "HEAD" or len(first.content) == len(part):
        return Response(first.content, status, headers)
    return Pieces(_pieces(place, name, first, part), status, headers)


async def _pieces(place: Place, name: str, first: Part, part: range) -> AsyncIterator[bytes]:
    """Yield the bytes of `part`; what stands in `first` is its beginning. Raises `OutputError` if the file changes."""
    if first.content:
        yield first.content
    for start in range(part.start + len(first.content), part.stop, PIECE_BYTES):
        stop = min(start + PIECE_BYTES, part.stop)
        piece = await run_in_threadpool(place.read_range, name, start, stop, version=first.version)
        if piece is None or len(piece.content) < stop - start:
            raise no_such_file(name)
        yield piece.content


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
