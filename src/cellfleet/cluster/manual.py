"""Commands that a person runs, because cellfleet does not at this provider; as a text to read and to copy from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellfleet.cluster.programs import Command, line_of


@dataclass(frozen=True)
class Told:
    """One command, and what it does."""

    what: str
    command: Command


@dataclass(frozen=True)
class Manual:
    """All commands for one cluster, in order, and the files that they read."""

    look: tuple[Told, ...]
    """Before anything is made: login, quota."""
    make: tuple[Told, ...]
    delete: tuple[Told, ...]
    left: tuple[Told, ...]
    """What could still cost money when all is deleted."""
    files: Mapping[str, str]
    """Name → content."""


def told(title: str, commands: Sequence[Told]) -> str:
    """Return a part of the text."""
    lines = [f"# {title}", *(f"# {each.what}\n{line_of(each.command)}" for each in commands)]
    return "\n".join(lines) + "\n"
