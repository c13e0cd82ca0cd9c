"""What can be found out before anything is made: one line each, and what to do where it does not hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cellfleet.errors import ClusterError


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "wrong"]
    """`wrong`: it cannot work like this. `note`: it can, and you should know."""
    text: str
    action: str = ""
    code: str = "E716"

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


class QuotaError(ClusterError):
    """The provider grants less than the description wants."""

    exit_code = 6


def programs(names: Iterable[str]) -> list[Check]:
    """Look whether programs are installed."""
    checks = []
    for name in names:
        there = shutil.which(name) is not None
        checks.append(Check(name, "ok" if there else "wrong", "found" if there else "is not installed", code="E712"))
    return checks


def refuse(checks: Iterable[Check]) -> None:
    """Raise the first thing that is wrong.

    Raises:
        ClusterError: E712, a program is missing; E716, no login or project.
        QuotaError: E715, the quota is too low.
    """
    for check in checks:
        if check.state == "wrong":
            kind = QuotaError if check.code == "E715" else ClusterError
            raise kind(check.code, check.text, where=check.name, action=check.action)
