"""What a service does now and then for itself: give up uploads that expired, remove what is old, count bytes anew.

The keeper of jobs calls it; see `Keeper`. Knows no HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cellfleet.service.retention import remove_old
from cellfleet.service.state import Service
from cellfleet.service.uploads import expire_uploads, used_bytes

_EXPIRE_SECONDS = 600.0
"""Between two looks for uploads that expired: a look lists all of them."""


class Upkeep:
    """Work for the thread of a keeper."""

    def __init__(self, service: Service) -> None:
        """Take the service; the first look counts and expires."""
        self._service = service
        self._expire_at = self._forget_at = 0.0
        self._recount = threading.Event()
        self._recount.set()

    @property
    def tasks(self) -> tuple[Callable[[], None], ...]:
        """What the keeper is to call; each may fail, and is called again."""
        return (self._count_bytes, self._expire, self._forget)

    def ledger_was_lost(self) -> None:
        """Have what users have stored counted anew. Costs a listing of all uploads, in the keeper's thread."""
        self._recount.set()

    def _count_bytes(self) -> None:
        if not self._recount.is_set():
            return
        self._recount.clear()
        try:
            used = used_bytes(self._service.store)
            owners = {token.user for token in self._service.access.tokens()} | used.keys()
            for owner in owners:
                self._service.ledger.set_used(owner, used.get(owner, 0))
        except BaseException:
            self._recount.set()
            raise

    def _expire(self) -> None:
        if time.monotonic() >= self._expire_at:
            expire_uploads(self._service, time.time_ns() // 1_000_000)
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS

    def _forget(self) -> None:
        days = self._service.settings.retention_days
        if days is not None and time.monotonic() >= self._forget_at:
            remove_old(self._service, days, time.time_ns() // 1_000_000)
            self._forget_at = time.monotonic() + _EXPIRE_SECONDS
