"""How much waits in the ledger, for the page of metrics: asked when somebody asks, answered soon or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

from cellfleet.errors import LedgerError
from cellfleet.jobs.ledger import Ledger
from cellfleet.observe.metrics import Levels

_SECONDS: Final = 2.0
"""Prometheus gives up after ten, and would then miss all the rest of the page, too."""
_NEWEST_JOBS: Final = 200


class Gauge:
    """Asks one ledger; may be used from several threads, which share one question at a time."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="levels")
        self._lock = threading.Lock()
        self._asked: Future[Levels] | None = None

    def read(self) -> Levels | None:
        """Return what stands in the ledger; None: it does not answer now."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = self._thread.submit(_ask, self._ledger)
            asked = self._asked
        try:
            return asked.result(_SECONDS)
        except (LedgerError, TimeoutError):
            return None


def _ask(ledger: Ledger) -> Levels:
    depths, newest = ledger.depths(), ledger.look(list(islice(ledger.jobs(), _NEWEST_JOBS)))
    return Levels(
        queued={priority: queued for priority, (queued, _) in depths.items()},
        leased={priority: leased for priority, (_, leased) in depths.items()},
        dead=sum(job.progress.dead for job in newest if job is not None),
    )
