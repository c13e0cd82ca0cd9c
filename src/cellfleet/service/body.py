"""The body of a request in pieces, as it comes, from clients that may vanish or send too much.

Knows no upload.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from cellfleet.errors import ServiceError
from cellfleet.service.tus import Checksum, wrong_checksum
from cellfleet.stores import atomic

PIECE_BYTES: Final = 1 << 20
_MOST_IN_MEMORY: Final = 8 << 20
"""Of a body that is looked at as a whole; larger ones are kept in a temporary file."""


async def pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about 1 MiB, all that came before an error among them.

    Raises:
        ServiceError: E923, it is longer than `most`.
        ClientDisconnect: The client vanished, or is so slow that it is not waited for (`limits.py`).
    """
    count, buffer = 0, bytearray()
    try:
        async for chunk in request.stream():
            count += len(chunk)
            if count > most:
                raise too_long(most)
            buffer += chunk
            if len(buffer) >= PIECE_BYTES:
                yield bytes(buffer)
                buffer.clear()
    except ClientDisconnect:
        yield bytes(buffer)
        raise
    yield bytes(buffer)


async def verified(body: AsyncIterator[bytes], checksum: Checksum) -> AsyncIterator[bytes]:
    """Yield a body when it has arrived as a whole and is what was announced.

    Raises:
        ServiceError: E929, it is not.
        OutputError: E301 among others, it cannot be kept meanwhile.
    """
    digest = checksum.of()
    with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as file:
        async for data in body:
            digest.update(data)
            await run_in_threadpool(_write, file, data)
        if digest.digest() != checksum.digest:
            raise wrong_checksum()
        file.seek(0)
        while data := await run_in_threadpool(file.read, PIECE_BYTES):
            yield data


def too_long(most: int) -> ServiceError:
    """Return the error that says that more is sent than was announced."""
    what = f"more is sent than was announced: {most} bytes are missing"
    return ServiceError("E923", what, status=413, action="Ask for the offset with HEAD and go on from there")


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise atomic.output_error(error, Path(tempfile.gettempdir())) from error
