"""What a worker of a fleet without a server does when a job has ended: bill, summary, and word to whoever waits.

With a service the keeper does this; see `cellfleet.jobs.keeper`. All of it may be repeated.
"""

from __future__ import annotations

import json
import logging

import httpx2

from cellfleet.errors import JobError
from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.ends import beside
from cellfleet.jobs.summary import summarise
from cellfleet.jobs.usage import forget_usage, read_usage, write_bill
from cellfleet.models.repository import Repository
from cellfleet.planning.bill import Subject, Tariff, make_bill
from cellfleet.planning.prices import load_prices
from cellfleet.spec.job import JobSpec, Progress
from cellfleet.spec.usage import Bill
from cellfleet.stores.place import Place

NOTIFY = "notify"
"""`jobs/<job>.notify`: the address that is told when the job has ended."""
_SECONDS = 30.0
_RETRIES = 3
"""Of a connection that is not made."""

_log = logging.getLogger(__name__)


def close_job(store: Place, models: Repository, ledger: StoreLedger, job: str) -> None:
    """Make out the bill of a job that has ended, write its summary, and tell the address that wants to know.

    Raises:
        ModelError: The model is gone.
        OutputError: The store does not answer.
    """
    spec, progress = ledger.spec(job), ledger.progress(job)
    bill = _bill(store, spec, progress)
    summarise(store, ledger, models, job, bill)
    address = store.read(beside(job, NOTIFY))
    if address is not None:
        _tell(address.decode(), spec, progress, bill)
        store.remove(beside(job, NOTIFY))  # it may hold a secret
    if bill is not None and bill.complete:
        forget_usage(store, job)


def _bill(store: Place, spec: JobSpec, progress: Progress) -> Bill | None:
    """Make out the bill of a job, and keep it; None where a record of it is damaged, which is told."""
    try:
        usage = read_usage(store, spec.id)
    except JobError as error:
        _log.error("no bill of job %s: %s", spec.id, error, extra={"job": spec.id})
        return None
    subject = Subject(
        job=spec.id,
        name=spec.name,
        owner=spec.owner,
        state=progress.state,
        submitted_ms=progress.submitted_ms,
        images=progress.tally.images,
        pixels=progress.tally.pixels,
    )
    bill = make_bill(subject, usage, Tariff(load_prices()))
    write_bill(store, bill)
    return bill


def _tell(address: str, spec: JobSpec, progress: Progress, bill: Bill | None) -> None:
    """Send one POST. Nothing depends on it: an address that does not answer is noted in the log."""
    told = {
        "job": spec.id,
        "name": spec.name,
        "state": progress.state,
        "images": progress.tally.images,
        "failed_images": progress.images - progress.tally.images,
        "objects": progress.tally.objects,
        "results": spec.results,
        "usd": None if bill is None else bill.usd,
        "text": f"cellfleet: {spec.name or spec.id} is {progress.state}, {progress.tally.images} images",
    }
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=_RETRIES), timeout=_SECONDS) as client:
            headers = {"content-type": "application/json"}
            client.post(address, content=json.dumps(told), headers=headers).raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        # Its own words may hold the address, and that a secret.
        _log.warning("nobody was told that job %s ended (%s)", spec.id, type(error).__name__, extra={"job": spec.id})
