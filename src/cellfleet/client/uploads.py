"""Files into a set: several at a time, each with its SHA-256, each going on where it was cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cellfleet.client.connection import AT_ONCE, Connection
from cellfleet.client.direct import send_direct
from cellfleet.client.events import FilesSent
from cellfleet.client.journal import Journal
from cellfleet.client.outgoing import Counter, Outgoing
from cellfleet.client.parcel import LocalFile
from cellfleet.client.tus import send_by_tus
from cellfleet.run.pools import in_parallel

_TOLD_EVERY_SECONDS = 1.0


def send_files(
    connection: Connection,
    set_id: str,
    files: Sequence[LocalFile],
    journal: Journal,
    *,
    direct: bool,
    tell: Callable[[FilesSent], None] = lambda state: None,
) -> None:
    """Send what is not in the set yet.

    Args:
        connection: To the server.
        set_id: Where the files go.
        files: Which.
        journal: Knows what was sent before, and is told what is sent.
        direct: Whether the server lets files go straight to its bucket.
        tell: Called in this thread, once a second.

    Raises:
        ServiceError: E960 and others, the server is not reached or refuses; E968, a file changed meanwhile.
        InputError: E973, a file cannot be read any more.
        StoppedError: The user asked to stop.
    """
    left = [file for file in files if not _is_there(file, journal)]
    there, counter, over = len(files) - len(left), Counter(), threading.Event()
    of_bytes = sum(file.size for file in files)
    counter.add(of_bytes - sum(file.size for file in left))

    def send(file: LocalFile) -> None:
        outgoing = Outgoing(file, counter, lambda: over.is_set() or connection.stop.is_set())
        # An empty file has no parts.
        if not (direct and file.size and send_direct(connection, set_id, outgoing, journal)):
            send_by_tus(connection, set_id, outgoing, journal)
        outgoing.require_unchanged()
        journal.sent(file)

    told = 0.0

    def look_up() -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_EVERY_SECONDS:
            told = time.monotonic()
            tell(FilesSent(there, len(files), counter.value, of_bytes))

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload") as pool:
        for _ in in_parallel(pool, send, left, AT_ONCE + 1, look_up=look_up, give_up=over.set):
            there += 1
    tell(FilesSent(there, len(files), counter.value, of_bytes))


def _is_there(file: LocalFile, journal: Journal) -> bool:
    begun = journal.begun(file)
    return begun is not None and begun.sent
