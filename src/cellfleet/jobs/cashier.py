"""What jobs cost, so far and in the end; what a month costs; and the budget that pauses jobs. Knows no HTTP.

The bill of a job that ended stands in the store. That of one that goes on is made out from what its workers wrote so
far, so it is at most half a minute behind. Several processes may look after one store: each comes to the same sums.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from cellfleet.errors import JobError
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.month_sums import MonthSums
from cellfleet.jobs.usage import billed_jobs, month_of, read_bill, read_bills, read_usage, this_month, write_bill
from cellfleet.planning.bill import Subject, Sums, Tariff, make_bill
from cellfleet.spec.http import Job
from cellfleet.spec.usage import Bill, Costs

_MONTHS_KEPT = 12
_READ_AT_ONCE = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cashier:
    """Every method may be called from any thread."""

    desk: Desk
    tariff: Tariff
    budget_usd: float | None = None
    """For the jobs of a month, all users together; None: no limit."""
    spent: threading.Event = field(default_factory=threading.Event)
    """Set while the budget of this month is reached."""
    _months: OrderedDict[str, MonthSums] = field(default_factory=OrderedDict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def bill(self, job: Job) -> Bill:
        """Return what a job cost, or has cost so far.

        Raises:
            JobError: E755, a record of it is damaged.
        """
        kept = read_bill(self.desk.store, job.id, job.progress.submitted_ms) if job.summarised else None
        return kept or self._made(job)

    def close(self, job: str) -> Bill | None:
        """Make out the bill of a job that ended, and keep it; None where a record of it is damaged, which is told."""
        try:
            bill = self._made(self.desk.job(job))
        except JobError as error:
            _log.error("no bill of job %s: %s", job, error, extra={"job": job})
            return None
        write_bill(self.desk.store, bill)
        return bill

    def costs(self, month: str, owner: str | None = None) -> Costs:
        """Return what the jobs that were submitted in a month cost: of one user, or of all."""
        paused = self.spent.is_set() and month == this_month()
        return self._sums(month).costs(month, owner, budget_usd=self.budget_usd, paused=paused)

    def bills(self, month: str, owner: str | None = None, *, after: str = "") -> Iterator[Bill]:
        """Yield the bills of the jobs that were submitted in a month by the ids of the jobs, from `after` on."""
        going_on = self._going_on(month)
        jobs = sorted(job for job in going_on.keys() | billed_jobs(self.desk.store, month) if job > after)
        for first in range(0, len(jobs), _READ_AT_ONCE):
            page = jobs[first : first + _READ_AT_ONCE]
            kept = {bill.job: bill for bill in read_bills(self.desk.store, month, set(page) - going_on.keys())}
            found = (going_on.get(job) or kept.get(job) for job in page)
            yield from (bill for bill in found if bill is not None and owner in {None, bill.owner})

    def watch_budget(self) -> None:
        """Pause all jobs once the budget of this month is reached; they go on when somebody resumes them after that.

        Between two looks more may be spent than the budget has.
        """
        if self.budget_usd is None:
            return
        if self._sums(this_month()).usd < self.budget_usd:
            self.spent.clear()
            return
        self.spent.set()
        for job in self.desk.unfinished():
            self.hold_when_spent(job)

    def hold_when_spent(self, job: Job) -> Job:
        """Pause a job that would go on while the budget is reached; return it as it then is."""
        if not self.spent.is_set() or job.state not in {"queued", "running"}:
            return job
        try:
            self.desk.pause(job.id)
        except JobError as error:  # it has just ended
            _log.info("%s", error, extra={"job": job.id})
        else:
            _log.warning("paused: the month's budget of $%.2f is spent", self.budget_usd, extra={"job": job.id})
        return self.desk.job(job.id)

    def refuse_when_spent(self, job: str) -> None:
        """Raise `JobError` E756 for a job that is to go on while the budget is reached."""
        if self.spent.is_set():
            action = "Wait for the next month, or raise the budget (`cellfleet serve --budget`)"
            what = f"the month's budget of ${self.budget_usd:.2f} is spent"
            raise JobError("E756", what, where=job, action=action)

    def _sums(self, month: str) -> Sums:
        """Return what the jobs of a month come to. Costs a listing, and reads what may have changed."""
        with self._lock:
            # In this order: a job that ends meanwhile is met at least once.
            going_on = self._going_on(month)
            billed = billed_jobs(self.desk.store, month)
            kept = self._kept(month, billed)
            changing = dict(going_on)
            for bill in read_bills(self.desk.store, month, billed - kept.jobs):
                if bill.complete:
                    kept.add(bill)
                else:  # what failed may be tried again: then the newest counts
                    changing.setdefault(bill.job, bill)
            kept.write_now_and_then(self.desk.store, month)
            sums = kept.sums.copy()
        for job, bill in changing.items():
            if job not in kept.jobs:
                sums.add(bill)
        return sums

    def _kept(self, month: str, billed: set[str]) -> MonthSums:
        """Return what this process knows of a month, or else what the store keeps of it."""
        if month not in self._months:
            self._months[month] = MonthSums.read(self.desk.store, month, billed)
        self._months.move_to_end(month)
        if len(self._months) > _MONTHS_KEPT:
            self._months.popitem(last=False)
        return self._months[month]

    def _going_on(self, month: str) -> dict[str, Bill]:
        """Return the bills so far of the jobs of a month that have not ended, or of which none was made out yet."""
        bills: dict[str, Bill] = {}
        for job in self._open_jobs():
            if month_of(job.progress.submitted_ms) == month:
                try:
                    bills[job.id] = self._made(job)
                except JobError as error:  # the others count all the same
                    _log.error("%s", error, extra={"job": job.id})
        return bills

    def _open_jobs(self) -> Iterator[Job]:
        yield from self.desk.unfinished()
        for job in self.desk.ledger.ended():
            try:
                yield self.desk.job(job)
            except JobError:  # it has just been removed
                continue

    def _made(self, job: Job) -> Bill:
        progress = job.progress
        subject = Subject(
            job=job.id,
            name=job.name,
            owner=job.owner,
            state=job.state,
            submitted_ms=progress.submitted_ms,
            images=progress.images_done,
            pixels=progress.pixels,
        )
        return make_bill(subject, read_usage(self.desk.store, job.id), self.tariff)
