"""The ledger's Lua scripts, with the tables of states and keys put before them, so that these exist once.

Run on Redis 6.2, 7, 8 and Valkey alike. Knows what is in no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from cellfleet.jobs import keys
from cellfleet.jobs.keys import GROUP, RETURNED, Key
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
        *(_named(name, key) for name, key in vars(keys).items() if isinstance(key, Key)),
    ]
    return "\n".join(lines) + "\n"


def _named(name: str, key: Key) -> str:
    """Return the Lua for a key's name; a function of what the name holds, where there are many of this kind."""
    before, *after = key(priority="|", job="|", owner="|").split("|")
    return (
        f"local function {name}(of) return '{before}' .. of .. '{after[0]}' end"
        if after
        else f"local {name} = '{before}'"
    )


def _table(following: Mapping[Any, frozenset[Any]]) -> str:
    return "{" + ", ".join(f"{state} = {_set(sorted(after))}" for state, after in following.items()) + "}"


def _set(words: Sequence[str]) -> str:
    return "{" + ", ".join(f"{word} = true" for word in words) + "}"
