"""One answer of a server into a file: goes on where it was cut off, where the server can do that. Knows no job."""

from __future__ import annotations

from typing import BinaryIO

import httpx2

from cellfleet.client.connection import Connection, StoppedError, is_busy, why


def download(connection: Connection, path: str, file: BinaryIO) -> None:
    """Write what `path` answers into an empty file.

    Raises:
        ServiceError: E960, the server was away for too long; others, as it says.
        StoppedError: The user asked to stop.
    """
    patience, tag = connection.patience(), ""
    while True:
        begun = file.tell() if tag else 0
        try:
            with connection.stream(path, headers=_headers(begun, tag)) as said:
                if said.status_code >= 400:
                    said.read()
                if not is_busy(said):
                    connection.refuse(said)
                    tag = _strong(said.headers.get("etag", ""))
                    _write(said, file, begun if said.status_code == 206 else 0, connection)
                    return
                reason = f"it answers {said.status_code}"
        except httpx2.TransportError as error:
            reason = why(error)
        if file.tell() > begun:
            patience = connection.patience()
        patience.pause(reason)


def _headers(begun: int, tag: str) -> dict[str, str]:
    # Of what is compressed on the way the rest could not be asked for.
    plain = {"Accept-Encoding": "identity"}
    return plain | ({"Range": f"bytes={begun}-", "If-Range": tag} if begun else {})


def _strong(tag: str) -> str:
    """Return the tag if it says that every byte is the same."""
    return tag if tag.startswith('"') else ""


def _write(said: httpx2.Response, file: BinaryIO, begun: int, connection: Connection) -> None:
    file.seek(begun)
    file.truncate()
    for piece in said.iter_bytes():
        if connection.stop.is_set():
            raise StoppedError
        file.write(piece)
