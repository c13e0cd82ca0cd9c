"""What a worker asks of whoever hands out tasks: the ledger on Redis (`ledger`), or claims in the store (`claims`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from cellfleet.jobs.ledger import Lease
from cellfleet.spec.job import Outcome, Priority


class Leases(Protocol):
    """Every method may be called from any thread, and again when it raised."""

    @property
    def lease_seconds(self) -> float:
        """How long a lease holds without renewal."""
        ...

    def claim(
        self, worker: str, priorities: Sequence[Priority], *, block_ms: int, defer_from: int | None
    ) -> Lease | None:
        """Lease a task; None when there is none within `block_ms`. From attempt `defer_from` on it may be deferred."""
        ...

    def renew(self, lease: Lease) -> Literal["held", "lost", "cancelled"]:
        """Begin the time of a lease anew; say whether the task is still ours to do."""
        ...

    def acknowledge(self, lease: Lease, outcome: Outcome) -> bool:
        """Say how an attempt ended, after its results stand; False: it does not count, somebody else's does."""
        ...

    def release(self, lease: Lease) -> bool:
        """Give a task back unfinished; the attempt does not count."""
        ...

    def defer(self, lease: Lease) -> Lease | None:
        """Keep a task that waits for its turn; None: the lease is lost."""
        ...

    def begin(self, lease: Lease) -> Lease | None:
        """Begin with a task that waited; None: the lease is lost."""
        ...

    def retire(self, worker: str) -> None:
        """Remove the traces of a worker that ends and holds no lease."""
        ...
