"""The user's settings: `cellfleet.toml` of this folder or one above, else of the home folder. Knows no table."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cellfleet.errors import UsageError

FILE = "cellfleet.toml"


class Table(NamedTuple):
    """One table of a file of settings."""

    file: Path
    values: dict[str, Any]


def named_tables(kind: str) -> Iterator[tuple[str, Table]]:
    """Yield the tables ``[kind.NAME]`` with their names, the nearest file first.

    Raises:
        UsageError: E965, a file cannot be read, or `kind` is no table in it.
    """
    for file in _files():
        found = _read(file).get(kind, {})
        if not isinstance(found, dict):
            raise wrong(file, f"{kind} is no table", f"Write [{kind}.NAME], and what belongs to it below")
        for name, values in found.items():
            yield name, Table(file, values if isinstance(values, dict) else {})


def wrong(file: Path, what: str, action: str) -> UsageError:
    """Return the error about a file of settings."""
    return UsageError("E965", what, where=str(file), action=action)


def _files() -> Iterator[Path]:
    here = Path.cwd()
    yield from (place for folder in (here, *here.parents) if (place := folder / FILE).is_file())
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    if (place := settings / "cellfleet" / "config.toml").is_file():
        yield place


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise wrong(file, f"cannot be read ({error})", "Correct this file") from error
