"""What every operation of the ledger goes through: scripts and single commands on one server, readied when it is new.

Knows no job. `ledger.py` and `users.py` are built upon it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from cellfleet.errors import LedgerError
from cellfleet.jobs.connection import ask, asking, connect, shown
from cellfleet.jobs.keys import ABOUT, GROUP, PRIORITIES, STREAM
from cellfleet.jobs.scripts import Scripts

FORMAT_VERSION = 1
"""Of keys and entries."""


class Caller:
    """A connection to the server of a ledger. May be used from several threads; every method may raise `LedgerError`.

    E801 means that the server does not answer *now*: what was asked may have happened or not.
    """

    def __init__(self, url: str, *, lease_seconds: float = 60.0) -> None:
        """Connect.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            lease_seconds: How long a lease holds without renewal. The first process to connect decides for all.

        Raises:
            LedgerError: E801, E802 as `connect`; E802 too when another version of cellfleet wrote the ledger.
        """
        self.url = url
        self._client = connect(url)
        self._scripts = Scripts(self._client)
        self._lease_ms = round(lease_seconds * 1000)
        with asking(url):
            self._prepare()

    @property
    def lease_seconds(self) -> float:
        """How long a lease holds without renewal."""
        return self._lease_ms / 1000

    def ping(self) -> None:
        """Return when the server answers. Raises `LedgerError` E801."""
        self._ask("PING")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, script: str, *arguments: str | int, keys: Sequence[str] = ()) -> Any:
        """Run a script; make streams and groups first where a wiped server has none."""
        with asking(self.url):
            try:
                return self._scripts.call(script, *arguments, keys=keys)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    raise
            self._prepare()
            return self._scripts.call(script, *arguments, keys=keys)

    def _ask(self, *words: str | int) -> Any:
        with asking(self.url):
            return ask(self._client, *words)

    def _ask_all(self, questions: Sequence[Sequence[str | int]]) -> list[Any]:
        """Send commands together, in order; return their answers. What others ask may come between them."""
        with asking(self.url), self._client.pipeline(transaction=False) as pipeline:
            for words in questions:
                ask(pipeline, *words)
            return pipeline.execute()

    def _prepare(self) -> None:
        self._client.hsetnx(ABOUT(), "format_version", str(FORMAT_VERSION))
        self._client.hsetnx(ABOUT(), "lease_ms", str(self._lease_ms))
        version, lease_ms = ask(self._client, "HMGET", ABOUT(), "format_version", "lease_ms")
        if int(version) != FORMAT_VERSION:
            raise LedgerError(
                "E802",
                f"the ledger has format {version}; this cellfleet writes format {FORMAT_VERSION}",
                where=shown(self.url),
                action="Use the same version of cellfleet everywhere, or give the ledger another database",
            )
        self._lease_ms = int(lease_ms)
        for priority in PRIORITIES:
            try:
                self._client.xgroup_create(STREAM(priority=priority), GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):  # it is there already
                    raise
