"""Which version of a model is the newest. Knows no package."""

from __future__ import annotations

import re


def newness(version: str) -> tuple[object, ...]:
    """Return a key that sorts versions by their numbers; ``1.0-rc1`` is older than ``1.0``, as in SemVer."""
    final, _, candidate = version.partition("-")
    return _natural(final), not candidate, _natural(candidate)


def _natural(text: str) -> list[tuple[bool, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
