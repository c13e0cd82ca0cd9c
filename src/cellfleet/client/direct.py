"""A file straight to the bucket of a server, in parts whose addresses the server signs: goes on with what is missing.

The bucket sees neither the token nor anything else of the server.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from cellfleet.client.connection import PUT_TOGETHER_SECONDS, Connection, understood
from cellfleet.client.journal import Journal
from cellfleet.client.outgoing import Outgoing
from cellfleet.errors import ServiceError
from cellfleet.run.pools import in_parallel
from cellfleet.spec.http import DirectUpload, NewDirectUpload, PartAddresses, PartNumbers, SentPart, SentParts

_AT_ONCE = 4
_GONE = frozenset({404, 410})
_CANNOT = frozenset({409})


def send_direct(connection: Connection, set_id: str, outgoing: Outgoing, journal: Journal) -> bool:
    """Send a file into a set, or what is left of it; return False where it has to go through the server.

    Raises:
        ServiceError: E969, the bucket refuses; others as the server says.
        StoppedError: The user asked to stop.
    """
    base = f"/api/v1/sets/{set_id}/direct"
    known = _known(connection, base, outgoing, journal)
    if known is not None and _finished(connection, base, known, outgoing, journal):
        return True
    outgoing.stands_at(0)
    upload = _begun(connection, base, outgoing, journal)
    if upload is None:
        return False
    if not _finished(connection, base, upload, outgoing, journal):
        raise _refused(404, outgoing)
    return True


def _known(connection: Connection, base: str, outgoing: Outgoing, journal: Journal) -> DirectUpload | None:
    """Return the upload that was begun before, if the server still knows it."""
    begun = journal.begun(outgoing.file)
    if begun is None or not begun.at.startswith("{"):
        return None
    upload = DirectUpload.model_validate_json(begun.at)
    if len(begun.parts) == upload.parts:
        return upload
    body = PartNumbers(numbers=(1,))
    said = connection.send("POST", f"{base}/{upload.id}/addresses", body=body, fine=_GONE)
    return None if said.status_code in _GONE else upload


def _begun(connection: Connection, base: str, outgoing: Outgoing, journal: Journal) -> DirectUpload | None:
    wanted = NewDirectUpload(path=outgoing.file.path, size=outgoing.file.size, sha256=outgoing.sha256())
    said = connection.send("POST", base, body=wanted, fine=_CANNOT)
    if said.status_code in _CANNOT:
        return None
    upload = understood(said.content, DirectUpload, connection.server)
    journal.upload(outgoing.file, upload.model_dump_json())
    return upload


def _finished(connection: Connection, base: str, upload: DirectUpload, outgoing: Outgoing, journal: Journal) -> bool:
    """Send the parts that are missing and have them made a file; return False if the server has forgotten them."""
    path = f"{base}/{upload.id}"
    _send_parts(connection, path, upload, outgoing, journal)
    begun = journal.begun(outgoing.file)
    assert begun is not None, "it was remembered when it was begun"
    parts = tuple(SentPart(number=number, etag=etag) for number, etag in sorted(begun.parts.items()))
    body = SentParts(parts=parts)
    said = connection.send("POST", f"{path}/complete", body=body, fine=_GONE, seconds=PUT_TOGETHER_SECONDS)
    return said.status_code not in _GONE


def _send_parts(connection: Connection, path: str, upload: DirectUpload, outgoing: Outgoing, journal: Journal) -> None:
    size = outgoing.file.size

    def length(number: int) -> int:
        return min(upload.part_bytes, size - (number - 1) * upload.part_bytes)

    def send(number: int) -> None:
        # Asked for one by one: an address for a part whose turn comes in hours would have expired.
        addresses = connection.ask("POST", f"{path}/addresses", PartAddresses, body=PartNumbers(numbers=(number,)))
        url, start = addresses.urls[number], (number - 1) * upload.part_bytes
        said = connection.put_elsewhere(url, lambda: outgoing.content(start, length(number)), length(number))
        if said.status_code >= 400 or "etag" not in said.headers:
            raise _refused(said.status_code, outgoing)
        journal.part(outgoing.file, number, said.headers["etag"])

    begun = journal.begun(outgoing.file)
    there = begun.parts.keys() if begun else ()
    for number in there:
        outgoing.count(length(number))
    left = [number for number in range(1, upload.parts + 1) if number not in there]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part") as pool:
        for _ in in_parallel(pool, send, left, _AT_ONCE + 1):
            pass


def _refused(status: int, outgoing: Outgoing) -> ServiceError:
    return ServiceError(
        "E969",
        f"the server's bucket answers {status} to a part of this file",
        status=502,
        where=outgoing.file.path,
        action="Run again to go on; if that does not help, ask who runs the server to look at the bucket",
    )
