"""What jobs cost, so far and in the end; what a month costs; and the budget that pauses jobs. Knows no HTTP.

The bill of a job that ended stands in the store. That of one that goes on is made out from what its workers wrote so
far, so it is at most half a minute behind.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from cellfleet.errors import JobError
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.usage import month_of, read_bill, read_bills, read_usage, write_bill
from cellfleet.planning.bill import Subject, Tariff, costs_of, make_bill
from cellfleet.spec.http import Job
from cellfleet.spec.job import FINAL_JOB_STATES
from cellfleet.spec.usage import Bill, Costs

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

    def bill(self, job: Job) -> Bill:
        """Return what a job cost, or has cost so far.

        Raises:
            JobError: E755, a record of it is damaged.
        """
        kept = read_bill(self.desk.store, job.id, job.progress.submitted_ms) if job.summarised else None
        return kept or self._made(job)

    def close(self, job: str) -> Bill:
        """Make out the bill of a job that ended, and keep it."""
        bill = self._made(self.desk.job(job))
        write_bill(self.desk.store, bill)
        return bill

    def costs(self, month: str, owner: str | None = None) -> Costs:
        """Return what the jobs that were submitted in a month cost: of one user, or of all."""
        bills = self.bills(month, owner)
        return costs_of(month, bills, budget_usd=self.budget_usd, paused=self.spent.is_set())

    def bills(self, month: str, owner: str | None = None) -> list[Bill]:
        """Return the bills of the jobs that were submitted in a month, in no order."""
        bills = {bill.job: bill for bill in read_bills(self.desk.store, month)}
        for job in self.desk.unfinished(owner):
            if month_of(job.progress.submitted_ms) == month:
                bills[job.id] = self._made(job)
        return [bill for bill in bills.values() if owner in {None, bill.owner}]

    def watch_budget(self) -> None:
        """Pause all jobs once the budget of this month is reached; they go on when somebody resumes them after that.

        Between two looks more may be spent than the budget has.
        """
        if self.budget_usd is None:
            return
        running = [job for job in self.desk.unfinished() if job.state != "paused"]
        if not running and not self.spent.is_set():
            return
        costs = self.costs(month_of(round(time.time() * 1000)))
        if costs.usd < self.budget_usd:
            self.spent.clear()
            return
        self.spent.set()
        for job in running:
            _log.warning("paused: the month's budget of $%.2f is spent", self.budget_usd, extra={"job": job.id})
            self._pause(job.id)

    def refuse_when_spent(self, job: str) -> None:
        """Raise `JobError` E756 for a job that is to go on while the budget is reached."""
        if self.spent.is_set():
            action = "Wait for the next month, or raise the budget (`cellfleet serve --budget`)"
            what = f"the month's budget of ${self.budget_usd:.2f} is spent"
            raise JobError("E756", what, where=job, action=action)

    def _pause(self, job: str) -> None:
        try:
            self.desk.pause(job)
        except JobError as error:  # it has just ended
            _log.info("%s", error, extra={"job": job})

    def _made(self, job: Job) -> Bill:
        progress = job.progress
        subject = Subject(
            job=job.id,
            name=job.name,
            owner=job.owner,
            final=job.state in FINAL_JOB_STATES,
            submitted_ms=progress.submitted_ms,
            images=progress.images_done,
            pixels=progress.pixels,
        )
        return make_bill(subject, read_usage(self.desk.store, job.id), self.tariff)
