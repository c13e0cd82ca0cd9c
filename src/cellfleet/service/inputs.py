"""Which inputs a user may give a job, and where its results may go. Knows no HTTP.

The service reads and writes with rights of its own. So addresses and paths are only taken below those that the operator
has named; where there is no login, nobody but this machine's user asks, and may name anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from cellfleet.errors import InputError
from cellfleet.service.access import User
from cellfleet.service.sets import find_set
from cellfleet.service.state import Service, Settings
from cellfleet.stores.url import is_url, local_path, without_secrets

SET = "set:"
"""How an input begins that is a set of uploads."""


def check_inputs(service: Service, user: User, inputs: Iterable[str]) -> None:
    """Refuse inputs that are not the user's to read.

    Raises:
        ServiceError: E921, there is no such set, or it is somebody else's.
        InputError: E818, an address or path that is not below those that are allowed.
    """
    for given in inputs:
        if given.startswith(SET):
            find_set(service, user, given.removeprefix(SET).partition("/")[0])
        else:
            check_place(service.settings, given)


def check_place(settings: Settings, given: str) -> None:
    """Refuse an address or path that is not below those that are allowed. Raises `InputError` E818."""
    if settings.login and not any(_is_below(given, allowed) for allowed in settings.allowed_inputs):
        action = "Upload the images to a set, or ask the operator to allow it (`cellfleet serve --allow-input`)"
        raise InputError("E818", "the service may not use this place", where=without_secrets(given), action=action)


def _is_below(given: str, allowed: str) -> bool:
    path, top = _path(given), _path(allowed)
    if path is not None or top is not None:
        return (
            path is not None and top is not None and path.is_absolute() and path.resolve().is_relative_to(top.resolve())
        )
    if ".." in unquote(given).replace("\\", "/").split("/"):
        return False  # web servers take it for the folder above
    top_address = allowed.rstrip("/")
    return given == top_address or given.startswith(f"{top_address}/")


def _path(given: str) -> Path | None:
    """Return the path that a text names; None: it is an address."""
    return local_path(given) if is_url(given) else Path(given)
