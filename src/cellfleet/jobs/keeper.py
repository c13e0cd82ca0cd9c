"""What is done for jobs though nobody asks: go on with listings, rebuild the ledger, sum up, remove what expired.

Runs as a thread of the service. Everything it does may be cut short and repeated, and be done by two processes at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from cellfleet.errors import CellfleetError, JobError, LedgerError, OutputError
from cellfleet.jobs import manifest
from cellfleet.jobs.cashier import Cashier
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.places import below, results_of
from cellfleet.jobs.summary import summarise
from cellfleet.jobs.usage import BILLS, USAGE
from cellfleet.results.record import load_record
from cellfleet.run.speed_log import SPEEDS
from cellfleet.spec.job import FINAL_JOB_STATES, JobSpec, Task

_EVERY_SECONDS = 0.5
_SELDOM_SECONDS = 30.0
"""Between two looks for listings that were cut short and for what has expired."""
_SECOND_LOOK_SECONDS = 120.0
"""A request of another process may be listed there just now."""

_log = logging.getLogger(__name__)


class Keeper:
    """Looks after the jobs of one service."""

    def __init__(
        self, desk: Desk, *, cashier: Cashier | None = None, also: tuple[Callable[[], None], ...] = ()
    ) -> None:
        """Take the desk, who makes out bills (None: nobody), and what else is to be done now and then.

        Nothing is begun yet.
        """
        self.desk, self._cashier = desk, cashier
        self._also = also if cashier is None else (cashier.watch_budget, *also)
        self._stop = threading.Event()
        self._recover = threading.Event()
        self._met: dict[str, float] = {}
        """Requests that were seen → when."""
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Rebuild what the ledger lost, then look after the jobs until `stop`."""
        self.recover()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it is doing is finished first."""
        self._stop.set()
        self._thread.join()

    def recover(self) -> None:
        """Have the ledger rebuilt: at the start, and whenever its server was started again."""
        self._recover.set()

    def _run(self) -> None:
        seldom = 0.0
        while not self._stop.is_set():
            if self._recover.is_set():
                self._attempt(self._recovered)
            self._attempt(self._sum_up)
            if time.monotonic() >= seldom:
                seldom = time.monotonic() + _SELDOM_SECONDS
                for work in (self._go_on_with_requests, self._remove_expired, *self._also):
                    self._attempt(work)
            self._stop.wait(_EVERY_SECONDS)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except CellfleetError as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 (the thread lives on)
            _log.exception("the keeper failed")

    def _recovered(self) -> None:
        self._recover.clear()  # first: while this goes on, it may be asked for again
        try:
            for job in recover_all(self.desk):
                _log.info("job %s was built again", job, extra={"job": job})
        except CellfleetError as error:
            if error.code != manifest.DAMAGED:  # of one job; another attempt would meet it again
                self._recover.set()
                raise
            _log.error("%s", error)
        self._sweep(*manifest.FOLDERS, USAGE, BILLS, SPEEDS)
        self._go_on_with_requests(at_once=True)

    def _go_on_with_requests(self, *, at_once: bool = False) -> None:
        requests = set(manifest.list_requests(self.desk.store))
        self._met = {job: self._met.get(job, time.monotonic()) for job in requests}
        for job, met in self._met.items():
            if at_once or time.monotonic() - met > _SECOND_LOOK_SECONDS:
                request = manifest.read_request(self.desk.store, job)
                if request is not None:
                    self.desk.list_in_background(request)

    def _sum_up(self) -> None:
        for job in self.desk.ledger.ended():
            try:
                bill = None if self._cashier is None else self._cashier.close(job)
                summarise(self.desk.store, self.desk.ledger, self.desk.models, job, bill)
            except (OutputError, LedgerError):
                raise  # later
            except CellfleetError as error:
                _log.error("no summary of job %s: %s", job, error, extra={"job": job})
            self._sweep(f"{USAGE}/{job}", SPEEDS)
            self.desk.ledger.summarised(job)

    def _sweep(self, *folders: str) -> None:
        """Remove what processes that were killed left half-written."""
        for folder in folders:
            below(self.desk.store, folder).sweep()

    def _remove_expired(self) -> None:
        for job in list(manifest.list_expires(self.desk.store)):
            try:
                self._remove_if_expired(job)
            except JobError as error:  # of this job; the others expire all the same
                _log.error("job %s does not expire: %s", job, error, extra={"job": job})

    def _remove_if_expired(self, job: str) -> None:
        at_ms = manifest.read_expires(self.desk.store, job)
        if at_ms is not None and at_ms <= time.time() * 1000 and self.desk.job(job).state in FINAL_JOB_STATES:
            self.desk.remove(job)


def recover_all(desk: Desk) -> list[str]:
    """Rebuild in the ledger what the store knows; return the jobs that it knew nothing, or not all, of."""

    def standing(job: JobSpec) -> Callable[[Task], bool]:
        out, key = results_of(job, desk.store), job.segment.digest(job.model.sha256)

        def stands(task: Task) -> bool:
            records = (load_record(out, image.name) for image in task.images)
            return all(record is not None and record.status == "done" and record.key == key for record in records)

        return stands

    return manifest.recover(desk.store, desk.ledger, standing)
