"""A part of a stored file as a `Place` hands it out. Knows no folder and no bucket."""

from __future__ import annotations

from typing import NamedTuple

from cellfleet.errors import OutputError


class Part(NamedTuple):
    """Bytes of a file, and which file they are of."""

    content: bytes
    size: int
    """Of the whole file, bytes."""
    version: str
    """Another one when the file has been replaced. Where the server keeps none: empty."""


def replaced(where: str) -> OutputError:
    """Return the error that says that a file is not the one any more of which a first part was read."""
    return OutputError(
        "E325", "has been replaced while it was read", where=where, action="Read it again from its start"
    )
