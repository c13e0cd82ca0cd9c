"""What the ledger keeps of users: which jobs are theirs, how many of them run, and how many bytes they have stored.

Knows no quota: whoever asks says how much is allowed, and one script decides. Knows no task.
"""

from __future__ import annotations

from collections.abc import Iterator

from cellfleet.errors import JobError
from cellfleet.jobs.caller import Caller
from cellfleet.jobs.keys import JOBS, JOBS_OF, RUNNING, USED

_PAGE = 500
_SCANNED = 5000
"""Keys that the server looks at for one answer."""


class Users(Caller):
    """Operations on what belongs to a user."""

    def jobs(self, owner: str | None = None, *, after: str | None = None, newest_first: bool = True) -> Iterator[str]:
        """Yield the ids of jobs by time of submission, page by page; a page costs the same among any number of jobs.

        Args:
            owner: Whose jobs; None: everybody's.
            after: A job of these: those that follow it.
            newest_first: Else the oldest first.

        Raises:
            JobError: E810, when `after` is not among them.
        """
        key = JOBS() if owner is None else JOBS_OF(owner=owner)
        command, start, end = (
            ("ZREVRANGEBYSCORE", "+inf", "-inf") if newest_first else ("ZRANGEBYSCORE", "-inf", "+inf")
        )
        if after is not None:
            time = self._ask("ZSCORE", key, after)
            if time is None:
                raise no_such_job(after)
            start = f"({float(time):.0f}"  # no two jobs have the same time
        while page := self._call("page", command, start, end, _PAGE, keys=[key]):
            yield from page[::2]
            start = f"({page[-1]}"

    def running(self, owner: str) -> int:
        """Return how many jobs of a user have not ended."""
        return int(self._ask("SCARD", RUNNING(owner=owner)))

    def unfinished(self, owner: str | None = None) -> Iterator[str]:
        """Yield the ids of jobs that have not ended, in no order: of one user, or of all."""
        if owner is not None:
            yield from self._ask("SMEMBERS", RUNNING(owner=owner))
            return
        cursor, seen = "0", set[str]()
        while True:
            cursor, keys = self._ask("SCAN", cursor, "MATCH", RUNNING(owner="*"), "COUNT", _SCANNED)
            for key in set(keys) - seen:  # Redis may name a key twice
                yield from self._ask("SMEMBERS", key)
            seen.update(keys)
            if int(cursor) == 0:
                return

    def used(self, owner: str) -> int:
        """Return how many bytes of a user are counted."""
        return int(self._ask("HGET", USED(), owner) or 0)

    def reserve(self, owner: str, n_bytes: int, *, most: int | None = None) -> bool:
        """Count more bytes, unless they would be more than `most` then; say whether they were counted."""
        return bool(self._call("reserve", owner, n_bytes, "" if most is None else most))

    def give_back(self, owner: str, n_bytes: int) -> None:
        """Count fewer bytes."""
        self._call("reserve", owner, -n_bytes, "")

    def set_used(self, owner: str, n_bytes: int) -> None:
        """Set how many bytes are counted: they were added up anew, because the ledger was lost."""
        if n_bytes:
            self._ask("HSET", USED(), owner, n_bytes)
        else:
            self._ask("HDEL", USED(), owner)


def no_such_job(job: str) -> JobError:
    """Return the error that says so."""
    action = "`cellfleet jobs list` shows all; after a loss of the ledger, `cellfleet jobs recover`"
    return JobError("E810", "there is no such job", where=job, action=action)
