"""What is older than the operator keeps goes: jobs with their results, training runs, uploads that nobody needs.

Bills stay, models that were published, and results that were written to an address of the user's. May be cut short and
repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from cellfleet.errors import CellfleetError
from cellfleet.jobs.training_desk import TrainingDesk
from cellfleet.service.sets import made_ms, read_set, remove_set, set_ids
from cellfleet.service.state import Service
from cellfleet.spec.job import FINAL_JOB_STATES
from cellfleet.spec.training_http import ENDED

DAY_MS = 86_400_000
_SET = "set:"

_log = logging.getLogger(__name__)


def remove_old(service: Service, days: int, now_ms: int) -> None:
    """Remove what ended, or was uploaded, more than `days` days before `now_ms` (milliseconds since 1970).

    Raises:
        OutputError, LedgerError: Store or ledger do not answer.
    """
    before = now_ms - days * DAY_MS
    for job in list(_old_jobs(service, before)):
        service.desk.remove(job)
        _log.info("removed after %d days", days, extra={"job": job})
    needed = {name for job in service.desk.unfinished() for given in job.inputs for name in _sets_of(given)}
    needed |= set(_keep_open_runs(service, before))
    for identity in set(set_ids(service.store)) - needed:
        if made_ms(identity) < before:
            _remove_set(service, identity)


def _old_jobs(service: Service, before: int) -> Iterator[str]:
    """Yield jobs that ended before; a job that was submitted later cannot have."""
    for identity in service.ledger.jobs(newest_first=False):
        job = service.desk.job(identity)
        if job.progress.submitted_ms >= before:
            return
        finished = job.progress.finished_ms
        if job.state in FINAL_JOB_STATES and job.summarised and finished is not None and finished < before:
            yield identity


def _keep_open_runs(service: Service, before: int) -> Iterator[str]:
    """Remove training runs that ended before, or were stopped and begun before; yield the sets that others need."""
    desk = TrainingDesk(service.store)
    for run in desk.every():
        if run.state in ENDED and (run.finished_ms or run.created_ms) < before:
            desk.remove(run.id)
            _log.info("training run %s is removed", run.id)
        elif run.state not in {"done", "failed"}:
            yield from _sets_of(run.request.dataset)


def _sets_of(given: str) -> Iterator[str]:
    if given.startswith(_SET):
        yield given.removeprefix(_SET).partition("/")[0]


def _remove_set(service: Service, identity: str) -> None:
    try:
        found = read_set(service.store, identity)
        if found is not None:
            remove_set(service, found)
    except CellfleetError as error:  # the others go all the same
        _log.error("set %s is not removed: %s", identity, error)
