"""Where the results of a job are, for those who may see it. Cheap: asked for every chunk of a Zarr. Knows no route."""

from __future__ import annotations

from cellfleet.jobs.users import no_such_job
from cellfleet.service.access import User
from cellfleet.service.state import Service
from cellfleet.spec.job import JobSpec
from cellfleet.stores.place import Place


def spec_to_see(service: Service, user: User, job: str) -> JobSpec:
    """Return what was submitted; as `job_to_see`, without asking how far it is. Raises `JobError` E810."""
    found = service.desk.spec(job)
    if not user.may_see(found.owner):
        raise no_such_job(job)
    return found


def results_to_see(service: Service, user: User, job: str) -> Place:
    """Return the place of a job's results. Raises `JobError` E810."""
    spec_to_see(service, user, job)
    return service.desk.results(job)
