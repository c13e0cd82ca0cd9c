"""Addresses of files and folders: what they name. Asks no server.

Bucket addresses are taken letter by letter, as the clouds' own tools take them (``%20``, ``?`` and ``#`` are part of a
name); ``https://`` and ``file://`` addresses follow the rules of the web.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from cellfleet.errors import InputError

_SCHEMES = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "https": "http",
    "http": "http",
}
"""Scheme of an address → kind of server."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_AZURE_HOST = re.compile(r"([a-z0-9-]+)\.(?:dfs|blob)\.core\.windows\.net")


@dataclass(frozen=True)
class Address:
    """An object, or all objects below a prefix."""

    kind: str
    """``s3``, ``gs``, ``az`` or ``http``."""
    bucket: str
    """Bucket, Azure container, or scheme and host of a web server."""
    key: str
    """Name in the bucket, without ``/`` at either end; for a web server path and query as they are."""
    account: str = ""
    """Azure's storage account, where the address says it."""


def is_url(text: str | os.PathLike[str]) -> bool:
    """Say whether this is an address (``scheme://…``) and no path."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


def local_path(url: str) -> Path | None:
    """Return the path that a ``file://`` address names; None for every other address."""
    if not url.lower().startswith("file:"):
        return None
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise InputError("E150", "names a file of another machine", where=url, action="Write file:///folder/file")
    return Path(url2pathname(parts.path))


def split_url(url: str) -> Address:
    """Take an address apart.

    Raises:
        InputError: E150, when it is of a kind that is not known, or names no bucket or server.
    """
    matched = _ADDRESS.fullmatch(url)
    scheme = matched[1].lower() if matched else ""
    if matched is None or scheme not in _SCHEMES:
        raise InputError("E150", "is no address that can be read", where=without_secrets(url), action=_KNOWN)
    kind = _SCHEMES[scheme]
    if kind == "http":
        return _web_address(url)
    bucket, _, key = matched[2].partition("/")
    account = ""
    if kind == "az" and "@" in bucket:
        bucket, _, host = bucket.partition("@")
        of_azure = _AZURE_HOST.fullmatch(host)
        if of_azure is None:
            raise InputError("E150", "names no storage account of Azure", where=url, action=_AZURE)
        account = of_azure[1]
    if not bucket:
        raise InputError("E150", "names no bucket", where=url, action=_KNOWN)
    return Address(kind, bucket, key.strip("/"), account)


def child(url: str, name: str) -> str:
    """Return the address of `name` (relative, with ``/``) below the bucket address `url`."""
    return f"{url.rstrip('/')}/{name}" if name else url.rstrip("/")


def without_secrets(url: str) -> str:
    """Return an address that may be shown and kept: without user, password and query (which may be a signature)."""
    if not url.lower().startswith(("http:", "https:")):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


_KNOWN = "Give s3://bucket/name, gs://bucket/name, az://container/name, https://server/name, file:///path or a path"
_AZURE = "Write abfss://container@account.dfs.core.windows.net/name"


def _web_address(url: str) -> Address:
    parts = urlsplit(url)
    shown = without_secrets(url)
    if not parts.hostname:
        raise InputError("E150", "names no server", where=shown, action=_KNOWN)
    if "@" in parts.netloc:
        action = "Leave it out and use a signed address, or download the file"
        raise InputError("E150", "a user name or password in an address is not supported", where=shown, action=action)
    server = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    return Address("http", server, urlunsplit(("", "", parts.path, parts.query, "")))
