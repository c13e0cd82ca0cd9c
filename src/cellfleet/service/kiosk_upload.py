"""An upload as clients of the DeepCell Kiosk send it: a file in a ``multipart/form-data`` body, written as it comes.

Each becomes a set of its own that is named after the file, so nothing else has to be remembered. Knows no route.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath
from types import TracebackType
from typing import Final, Self

from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cellfleet.errors import ServiceError
from cellfleet.service import sets
from cellfleet.service.access import User
from cellfleet.service.kiosk_fields import uploaded_name
from cellfleet.service.state import Service

_FIELD: Final = b"file"
_LONGEST_NAME: Final = 200
"""Bytes; some are left for the endings of results."""


async def receive(
    service: Service, user: User, content_type: str, length: int, body: AsyncIterator[bytes]
) -> tuple[str, str]:
    """Take an upload in; return the id of its set, and the name that their clients know it by.

    Args:
        service: Where it goes.
        user: Whose it is.
        content_type: Of the request, with the boundary.
        length: Of the body, bytes, as the client says; more than that never comes. 0: it does not say.
        body: As it arrives.

    Raises:
        ServiceError: E956, the body holds no file, or it is not said how large it is; E926, it is too large.
    """
    if not length:
        raise _unusable("the request does not say how large it is", 411)
    with _Upload(service, user, length) as upload:
        parser = _parser(content_type, upload)
        try:
            async for chunk in body:
                await run_in_threadpool(parser.write, chunk)
            parser.finalize()
        except FormParserError as error:
            raise _unusable(f"the body is no multipart form ({error})") from error
        return await run_in_threadpool(upload.finish)


class _Upload:
    """A file on its way into a set; unless it is finished, nothing stays of it."""

    def __init__(self, service: Service, user: User, length: int) -> None:
        self._service, self._user, self._length = service, user, length
        self._undo = contextlib.ExitStack()
        self._writing = contextlib.ExitStack()
        self._write: Callable[[bytes], object] | None = None
        self._set, self._file, self._size, self._whole = "", "", 0, False

    def __enter__(self) -> Self:
        """Count the bytes of the whole body as the user's."""
        largest, most = self._service.settings.largest_upload, self._user.quota.bytes
        ledger, name = self._service.ledger, self._user.name
        if self._length > largest or not ledger.reserve(name, self._length, most=most):
            room = largest if most is None else min(largest, max(0, most - ledger.used(name)))
            action = "Delete sets that you do not need any more, or ask an administrator for more room"
            what = f"the upload has {self._length} bytes, and there is room for {room}"
            raise ServiceError("E926", what, status=413, action=action)
        self._undo.callback(ledger.give_back, name, self._length)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is being written is told of the error, so that it never gets its name.
        with self._undo:
            self._writing.__exit__(kind, error, traceback)

    def begin(self, name: str) -> None:
        """Make a set for a file of this name; what is taken from now on is its content."""
        if self._set:
            raise _unusable("there is more than one file in it")
        self._file = file_name(name)
        made = sets.new_set(self._service, self._user, self._file)
        self._set = made.id
        self._undo.callback(sets.remove_set, self._service, made)
        path = self._writing.enter_context(self._service.store.replacing(f"{sets.folder_of(made.id)}/{self._file}"))
        self._write = self._writing.enter_context(open(path, "wb")).write  # noqa: SIM115 (as the place: in `finish`)

    def take(self, data: bytes) -> None:
        """Write the next bytes; those of other parts of the form are passed over."""
        if self._write is not None:
            self._write(data)
            self._size += len(data)

    def end(self) -> None:
        """Take note that a part of the form is whole."""
        self._whole = self._whole or self._write is not None
        self._write = None

    def finish(self) -> tuple[str, str]:
        """Give the file its name; return those of the set and of the upload."""
        if not self._whole:
            raise _unusable("there is no whole file in it, in a field of the name `file`")
        self._writing.close()
        self._undo.pop_all()
        self._service.ledger.give_back(self._user.name, self._length - self._size)
        return self._set, uploaded_name(self._set, self._file)


def file_name(sent: str) -> str:
    """Return a name for a file in the store: the last part of the path that a client sent, if a file can have it."""
    last = re.split(r"[/\\]", sent)[-1]
    suffix = PurePosixPath(last).suffix if len(PurePosixPath(last).suffix) <= 10 else ""
    stem = last.removesuffix(suffix).encode(errors="replace")[: _LONGEST_NAME - len(suffix.encode(errors="replace"))]
    name = stem.decode(errors="ignore") + suffix
    try:
        return sets.check_path(name)
    except ServiceError:
        return "image" + (suffix if re.fullmatch(r"\.[0-9A-Za-z]+", suffix) else "")


def _parser(content_type: str, upload: _Upload) -> MultipartParser:
    """Return what hands the file of a form on to `upload`."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary or len(boundary) > 200:
        raise _unusable("it is no multipart/form-data with a boundary")
    header, value, disposition = bytearray(), bytearray(), bytearray()

    def end_header() -> None:
        if header.lower() == b"content-disposition":
            disposition[:] = value
        header.clear()
        value.clear()

    def begin_part() -> None:
        options = parse_options_header(bytes(disposition))[1]
        disposition.clear()
        if options.get(b"name") == _FIELD and b"filename" in options:
            upload.begin(options[b"filename"].decode(errors="replace"))

    return MultipartParser(
        boundary,
        {
            "on_header_field": lambda data, start, end: header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: value.extend(data[start:end]),
            "on_header_end": end_header,
            "on_headers_finished": begin_part,
            "on_part_data": lambda data, start, end: upload.take(data[start:end]),
            "on_part_end": upload.end,
        },
    )


def _unusable(what: str, status: int = 400) -> ServiceError:
    action = "Send the file as the field `file` of a multipart/form-data body"
    return ServiceError("E956", f"the upload cannot be used: {what}", status=status, action=action)
