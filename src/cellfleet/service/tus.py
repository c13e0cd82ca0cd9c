"""The words of the tus protocol 1.0.0: what its headers say, and whether bytes have the checksum that one announces.

Knows no upload and no store.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cellfleet.errors import ServiceError

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,expiration,termination"
ALGORITHMS: Final = ("sha1", "sha256")
_LONGEST_METADATA: Final = 8192
_MOST_DIGITS: Final = 18
_READ_MORE: Final = "See https://tus.io/protocols/resumable-upload"
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Metadata:
    """What a client says of a file."""

    set: str
    path: str
    sha256: str | None

    def __str__(self) -> str:
        said = {"set": self.set, "path": self.path, "sha256": self.sha256}
        return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items() if value)


@dataclass(frozen=True)
class Checksum:
    """What the body of one request must hash to."""

    algorithm: str
    digest: bytes

    def of(self) -> hashlib._Hash:
        """Return a hash to feed."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def check_version(headers: Mapping[str, str]) -> None:
    """Refuse what speaks another version. Raises `ServiceError` E924."""
    if headers.get("tus-resumable") != VERSION:
        what = f"only version {VERSION} of the tus protocol is spoken here"
        raise ServiceError("E924", what, status=412, action=f"Send the header Tus-Resumable: {VERSION}")


def number_of(headers: Mapping[str, str], name: str) -> int:
    """Return a header that is a number. Raises `ServiceError` E923."""
    text = headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise _wrong(f"the header {name} is missing or no whole number")
    return int(text)


def metadata_of(text: str) -> Metadata:
    """Read the header Upload-Metadata. Raises `ServiceError` E923."""
    values = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        values[key] = value.strip()
    if len(text) > _LONGEST_METADATA or "set" not in values or "path" not in values:
        raise _wrong("the header Upload-Metadata must name `set` and `path`")
    found = {key: _decoded(key, values[key]) for key in ("set", "path", "sha256") if key in values}
    sha256 = found.get("sha256")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise _wrong("`sha256` in the header Upload-Metadata is not 64 hexadecimal digits in lower case")
    return Metadata(found["set"], found["path"], sha256)


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """Read the header Upload-Checksum; None where there is none. Raises `ServiceError` E923."""
    if "upload-checksum" not in headers:
        return None
    algorithm, _, text = headers["upload-checksum"].partition(" ")
    if algorithm not in ALGORITHMS:
        raise _wrong(f"checksums are {' or '.join(ALGORITHMS)} here, not {algorithm[:20]!r}")
    try:
        return Checksum(algorithm, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise _wrong("the checksum in the header Upload-Checksum is not base64") from error


def wrong_checksum() -> ServiceError:
    """Return the error that says that a request's bytes are not those that the client sent."""
    what = "the bytes that arrived have another checksum than was announced; they are not kept"
    return ServiceError("E929", what, status=460, action="Send them again")


def _decoded(key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _wrong(f"`{key}` in the header Upload-Metadata is not UTF-8 in base64") from error


def _wrong(what: str) -> ServiceError:
    return ServiceError("E923", what, status=400, action=_READ_MORE)


HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
)
"""What a server says of itself."""
