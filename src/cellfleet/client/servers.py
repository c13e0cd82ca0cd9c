"""Which server is meant: an address, or a name that stands in a file of settings. Asks no server.

    [servers.lab]                 in cellfleet.toml of this folder or one above, else ~/.config/cellfleet/config.toml
    url = "https://cells.lab.example"
    token_env = "LAB_TOKEN"       the variable that holds the token; or token_file = "~/.lab-token"

Tokens never stand in the settings themselves: those are shared, copied and committed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cellfleet.errors import UsageError
from cellfleet.stores.settings import FILE, named_tables, wrong
from cellfleet.stores.url import is_url

HERE = "http://127.0.0.1:8000"
"""Where `cellfleet serve` listens unless it is told otherwise."""
_KEYS = {"url", "token_env", "token_file", "insecure"}


@dataclass(frozen=True)
class Server:
    """One server, and who asks it."""

    url: str
    """Without a ``/`` at the end."""
    token: str | None = field(default=None, repr=False)
    name: str = ""
    """As the user calls it; empty: by its address."""
    insecure: bool = False
    """Whether the token may go over a connection that others can read."""

    def __str__(self) -> str:
        return self.name or self.url


def find_server(given: str | None, *, token: str | None = None, insecure: bool = False) -> Server:
    """Return the server that an address or a name means.

    Args:
        given: Address, or name out of the settings; None: what `CELLFLEET_SERVER` says, else this machine.
        token: None: what the settings say, else `CELLFLEET_TOKEN`.
        insecure: Whether the token may go over plain http to another machine.

    Raises:
        UsageError: E964, the token would travel unprotected; E965, no such name, or its settings are wrong; E966, its
            token is not to be had.
    """
    wanted = given or os.environ.get("CELLFLEET_SERVER") or HERE
    if is_url(wanted):
        return _checked(Server(_cleaned(wanted), token or os.environ.get("CELLFLEET_TOKEN") or None, "", insecure))
    settings, file = _settings(wanted)
    return _checked(
        Server(
            _cleaned(settings["url"]),
            token or _token(settings, file) or os.environ.get("CELLFLEET_TOKEN") or None,
            wanted,
            insecure or settings.get("insecure", False) is True,
        )
    )


def is_loopback(url: str) -> bool:
    """Say whether an address leads to this very machine."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _cleaned(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise UsageError("E965", "is no address of a server", where=url, action="Write for example https://lab.example")
    return url.rstrip("/")


def _checked(server: Server) -> Server:
    if server.token and not (server.url.lower().startswith("https:") or is_loopback(server.url) or server.insecure):
        raise UsageError(
            "E964",
            "your token would travel where others can read it: the address is not https",
            where=server.url,
            action="Use the https address; in a network that you trust, set insecure = true in its [servers] table",
        )
    return server


def _settings(name: str) -> tuple[Mapping[str, Any], Path]:
    known: list[str] = []
    for other, table in named_tables("servers"):
        if other == name:
            return _table(table.values, name, table.file), table.file
        known.append(other)
    names = f"; known are {', '.join(sorted(set(known)))}" if known else ""
    raise UsageError(
        "E965",
        f"no server and no fleet has this name{names}",
        where=name,
        action=f'Give an address (https://…), or write [servers.{name}] with url = "https://…" into {FILE}; a fleet is '
        f"a table [fleets.{name}] there",
    )


def _table(table: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    if not isinstance(table.get("url"), str):
        raise wrong(file, f"[servers.{name}] has no url", 'Write url = "https://…" below it')
    if "token" in table:
        action = 'Write token_env = "VARIABLE" or token_file = "~/.file" instead, and make a new token'
        raise wrong(file, f"a token stands in [servers.{name}], where others will read or copy it", action)
    if unknown := sorted(table.keys() - _KEYS):
        action = f"Use only {', '.join(sorted(_KEYS))}"
        raise wrong(file, f"[servers.{name}] has {unknown[0]!r}, which means nothing", action)
    return table


def _token(settings: Mapping[str, Any], file: Path) -> str | None:
    if variable := settings.get("token_env"):
        if found := os.environ.get(str(variable)):
            return found
        raise UsageError(
            "E966",
            f"the variable {variable} is not set",
            where=str(file),
            action=f"export {variable}=… with your token",
        )
    if path := settings.get("token_file"):
        place = file.parent / Path(str(path)).expanduser()
        try:
            return place.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "E966",
                f"the token cannot be read ({error})",
                where=str(place),
                action="Write your token into this file",
            ) from error
    return None
