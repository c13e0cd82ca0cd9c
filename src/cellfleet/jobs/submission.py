"""From a request to tasks in the ledger: list the images, write the manifest, tell the ledger.

It may be cut short anywhere: what was taken in stands as a request in the store until its manifest does, so that
whoever comes next goes on. One with a problem stays there, so that a ledger that was lost knows of the job again.
"""

from __future__ import annotations

from cellfleet.errors import InputError, JobError, UsageError
from cellfleet.jobs.ends import submitted
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.listing import list_images
from cellfleet.jobs.manifest import Manifest, read_tasks, remove_request, write_manifest, write_problem
from cellfleet.jobs.places import below, path_here
from cellfleet.jobs.split import split
from cellfleet.spec.job import JobSpec
from cellfleet.spec.record import Told
from cellfleet.stores.place import Place

_SET = "set:"
UPLOADS = "uploads"


def bring_in(job: JobSpec, store: Place, ledger: Ledger) -> None:
    """List what a request asks for and queue it; a request with nothing to do becomes a failed job with a problem.

    Raises:
        InputError, UsageError, JobError: Why there is nothing to do, after it was written down.
        OutputError, LedgerError: Store or ledger do not answer: the request stands, and may be brought in later.
    """
    try:
        manifest = write_tasks(job, store)
    except (InputError, UsageError, JobError) as error:
        told = Told(code=error.code, what=error.what, where=error.where, action=error.action)
        write_problem(store, job.id, told)
        ledger.fail(job.id)
        raise
    ledger.submit(job, read_tasks(store, manifest))
    remove_request(store, job.id)


def send(job: JobSpec, store: Place) -> Manifest:
    """Hand a job to a fleet without a server: its workers find it in the store.

    Raises:
        InputError, UsageError, JobError: There is nothing to do.
        OutputError: The store does not answer.
    """
    submitted(store, job.id)
    return write_tasks(job, store)


def write_tasks(job: JobSpec, store: Place) -> Manifest:
    """List the images of a job and write what is to do; for the errors see `bring_in`."""
    images = list_images([as_path(given, store) for given in job.inputs])
    shared = not job.segment.top
    return write_manifest(store, job, split(job.id, images, store, axes=job.segment.axes, shared=shared))


def as_path(given: str, store: Place) -> str:
    """Return an input of a job as a path or address that this process can open.

    Raises:
        JobError: E817, it leads out of its set.
    """
    if not given.startswith(_SET):
        return path_here(given, store)
    name = given.removeprefix(_SET)
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name:
        raise JobError("E817", "is no set of uploads", where=given, action="Write set:ID or set:ID/folder/file.tif")
    place = below(store, f"{UPLOADS}/{name}")
    return place.url
