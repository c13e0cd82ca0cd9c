"""What a cluster that was deleted has left behind, and what that costs. Knows no provider."""

from __future__ import annotations

from dataclasses import dataclass

from cellfleet.cluster.programs import Command


@dataclass(frozen=True)
class Leftover:
    """A thing that is still there and costs money."""

    name: str
    place: str
    """Zone or region; "": everywhere."""
    delete: Command
    """Gets rid of it."""
    size_gb: float | None = None
    """Of a disk."""


@dataclass(frozen=True)
class Looked:
    """One search, and what it found."""

    kind: str
    command: Command
    found: tuple[Leftover, ...]
