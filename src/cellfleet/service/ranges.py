"""Which bytes of a file a request wants, and whether it has them already (RFC 9110, sections 13 and 14).

One range is served. A request for several, or one that cannot be understood, gets the whole file, as the RFC allows.
Knows no file and no place.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """The bytes `start` … `stop` − 1 of a file whose length is not known yet; None: to its end."""

    start: int = 0
    """Below 0: as many bytes before the end."""
    stop: int | None = None

    def of(self, size: int) -> range | None:
        """Return the bytes of a file of `size` bytes; None if it has none of them."""
        start = max(0, size + self.start) if self.start < 0 else self.start
        found = range(start, size if self.stop is None else min(self.stop, size))
        return found or None


def wanted_range(header: str | None) -> Wanted | None:
    """Read a ``Range`` header; None: the whole file."""
    asked = _RANGE.fullmatch((header or "").strip())
    if asked is None or not (asked[1] or asked[2]):
        return None
    if not asked[1]:
        # Of "-0" no file has any byte.
        return Wanted(-int(asked[2])) if int(asked[2]) else Wanted(0, 0)
    start, stop = int(asked[1]), int(asked[2]) + 1 if asked[2] else None
    return None if stop is not None and stop <= start else Wanted(start, stop)


def entity_tag(version: str) -> str:
    """Return the ETag of a file of this version; empty where the store keeps none."""
    if not version:
        return ""
    strength = "W/" if version.startswith("W/") else ""
    return f'{strength}"{hashlib.sha256(version.encode()).hexdigest()[:32]}"'


def has_already(if_none_match: str | None, tag: str) -> bool:
    """Say whether the client has what it asks for."""
    if if_none_match is None or not tag:
        return False
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in known or tag.removeprefix("W/") in known


def range_applies(if_range: str | None, tag: str) -> bool:
    """Say whether the range, not the whole file, is to be sent. A date proves nothing: it has no milliseconds."""
    return if_range is None or (if_range.strip() == tag and tag.startswith('"'))
