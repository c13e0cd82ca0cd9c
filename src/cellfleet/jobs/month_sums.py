"""What the bills of a month come to, kept beside them: who looks first reads one file, not every bill.

bills/<YYYY-MM>.json        sums of the bills that change no more, and whose they are

Nothing depends on it: where it is missing, damaged or tells of a bill that is gone, the bills are read again. Several
processes may write it, each what it knows; whichever comes last, the bills that it lacks are read beside it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, ValidationError

from cellfleet.errors import OutputError
from cellfleet.jobs.usage import BILLS
from cellfleet.planning.bill import Sums, UserSums
from cellfleet.spec.usage import Bill
from cellfleet.stores.place import Place

_LEAST_NEW, _NEW_SHARE = 100, 0.01
"""It is written when so many bills are new, and this part of all: rarely, and few are left to be read beside it."""

_log = logging.getLogger(__name__)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)

    format_version: int = 1
    jobs: tuple[str, ...]
    users: dict[str, UserSums]


@dataclass
class MonthSums:
    """The bills that change no more, so that each is read once."""

    jobs: set[str] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)
    _written: int = 0
    """How many of them the file tells of."""

    @classmethod
    def read(cls, store: Place, month: str, billed: set[str]) -> MonthSums:
        """Return what is kept of a month; nothing where that is of no use.

        Args:
            store: Of the service.
            month: Which.
            billed: The jobs that have a bill now.

        Raises:
            OutputError: The store does not answer.
        """
        content = store.read(_name(month))
        if content is None:
            return cls()
        try:
            stored = _Stored.model_validate_json(content)
        except ValidationError:
            _log.warning("the sums of the bills of %s are damaged; the bills are read again", month)
            return cls()
        jobs = set(stored.jobs)
        return cls(jobs, Sums.of(stored.users), len(jobs)) if jobs <= billed else cls()

    def add(self, bill: Bill) -> None:
        """Add a bill that changes no more."""
        self.jobs.add(bill.job)
        self.sums.add(bill)

    def write_now_and_then(self, store: Place, month: str) -> None:
        """Write the file, if enough is new. A store that does not take it is asked again with the next bills."""
        if len(self.jobs) - self._written < max(_LEAST_NEW, _NEW_SHARE * len(self.jobs)):
            return
        stored = _Stored(jobs=tuple(sorted(self.jobs)), users=self.sums.users)
        try:
            store.write(_name(month), stored.model_dump_json().encode())
        except OutputError as error:
            _log.warning("the sums of the bills of %s are not kept: %s", month, error)
        else:
            self._written = len(self.jobs)


def _name(month: str) -> str:
    return f"{BILLS}/{month}.json"
