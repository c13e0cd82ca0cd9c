"""A file through the server by tus 1.0 (https://tus.io/protocols/resumable-upload): goes on where it was cut off."""

from __future__ import annotations

import base64

import httpx2

from cellfleet.client.connection import Connection, is_busy, why
from cellfleet.client.journal import Journal
from cellfleet.client.outgoing import Outgoing
from cellfleet.errors import ServiceError

_VERSION = {"Tus-Resumable": "1.0.0"}
_PIECE = 64 << 20
"""Bytes of one request: what is lost at most where a server keeps only whole ones."""
_GONE = frozenset({404, 410})
_ELSEWHERE = frozenset({409, 423})
"""The server is at another offset, or still holds a connection that was cut."""


def send_by_tus(connection: Connection, set_id: str, outgoing: Outgoing, journal: Journal) -> None:
    """Send a file into a set, or what is left of it. Raises `CellfleetError`, `StoppedError`."""
    file, begun = outgoing.file, journal.begun(outgoing.file)
    at = begun.at if begun else ""
    offset = _offset(connection, at) if at else None
    patience = connection.patience()
    while offset is None or offset < file.size:
        if offset is None:
            at, offset = _create(connection, set_id, outgoing), 0
            journal.upload(file, at)
        outgoing.stands_at(offset)
        if offset == file.size:
            return
        before, reason = offset, "it takes nothing in"
        try:
            offset = _patch(connection, at, outgoing, before)
        except httpx2.TransportError as error:
            offset, reason = _offset(connection, at), why(error)
        if offset is not None and offset > before:
            patience = connection.patience()
        else:
            patience.pause(reason)
    outgoing.stands_at(file.size)


def _create(connection: Connection, set_id: str, outgoing: Outgoing) -> str:
    told = {"set": set_id, "path": outgoing.file.path, "sha256": outgoing.sha256()}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())
    headers = {**_VERSION, "Upload-Length": str(outgoing.file.size), "Upload-Metadata": metadata}
    said = connection.send("POST", "/api/v1/uploads", headers=headers)
    at: str = said.headers.get("location", "")
    if not at:
        raise _no_tus("it gives an upload no address", connection)
    return at


def _offset(connection: Connection, at: str) -> int | None:
    """Return how many bytes the server has; None: it has forgotten the upload."""
    said = connection.send("HEAD", at, headers=_VERSION, fine=_GONE)
    return None if said.status_code in _GONE else _stated(said, connection)


def _patch(connection: Connection, at: str, outgoing: Outgoing, offset: int) -> int | None:
    """Send some of the file; return where the server is then. Raises `httpx2.TransportError` when it is cut off."""
    size = min(_PIECE, outgoing.file.size - offset)
    headers = {
        **_VERSION,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(size),
    }
    said = connection.send_once("PATCH", at, outgoing.content(offset, size), headers)
    if said.status_code in _GONE | _ELSEWHERE or is_busy(said):
        return _offset(connection, at)
    connection.refuse(said)
    return _stated(said, connection)


def _stated(said: httpx2.Response, connection: Connection) -> int:
    text = said.headers.get("upload-offset", "")
    if not text.isdigit():
        raise _no_tus("it does not say how much of a file it has", connection)
    return int(text)


def _no_tus(what: str, connection: Connection) -> ServiceError:
    action = "Check the address, and what stands between you and the server"
    return ServiceError(
        "E962", f"{what}: its uploads are not tus 1.0", status=502, where=connection.name, action=action
    )
