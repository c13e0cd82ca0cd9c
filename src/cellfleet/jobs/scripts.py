"""The ledger's Lua scripts, with the tables of states and keys put before them, so that these exist once.

Run on Redis 6.2, 7, 8 and Valkey alike. Knows what is in no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from cellfleet.jobs.keys import DEAD, GROUP, JOB, JOBS, PARKED, RETURNED, STREAM, SWEPT
from cellfleet.spec.job import FINAL_JOB_STATES, NEXT_JOB_STATES, NEXT_TASK_STATES


class Scripts:
    """The scripts, ready to be called on one server. May be used from several threads."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._ready: dict[str, Any] = {}

    def call(self, name: str, *arguments: str | int, keys: Sequence[str] = ()) -> Any:
        """Run ``lua/<name>.lua``; return what it returns."""
        if name not in self._ready:
            self._ready[name] = self._client.register_script(_text("common") + _text(name))
        return self._ready[name](keys=list(keys), args=list(arguments))


@cache
def _text(name: str) -> str:
    text = (files("cellfleet.jobs") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return _tables() + text if name == "common" else text


def _tables() -> str:
    lines = [
        f"local NEXT_JOB = {_table(NEXT_JOB_STATES)}",
        f"local NEXT_TASK = {_table(NEXT_TASK_STATES)}",
        f"local FINAL = {_set(FINAL_JOB_STATES)}",
        f"local GROUP, RETURNED = '{GROUP}', '{RETURNED}'",
        f"local SWEPT, JOBS = '{SWEPT()}', '{JOBS()}'",
        f"local function STREAM(priority) return {_joined(STREAM(priority='|'))} end",
        *(f"local function {name}(job) return {_joined(key(job='|'))} end" for name, key in _OF_JOBS.items()),
    ]
    return "\n".join(lines) + "\n"


_OF_JOBS = {"JOB": JOB, "DEAD": DEAD, "PARKED": PARKED}


def _joined(name: str) -> str:
    """Return the Lua expression for a key's name, with ``|`` where the function's argument goes."""
    before, after = name.split("|")
    argument = "priority" if name == STREAM(priority="|") else "job"
    return f"'{before}' .. {argument} .. '{after}'"


def _table(following: Mapping[Any, frozenset[Any]]) -> str:
    return "{" + ", ".join(f"{state} = {_set(sorted(after))}" for state, after in following.items()) + "}"


def _set(words: Sequence[str]) -> str:
    return "{" + ", ".join(f"{word} = true" for word in words) + "}"
