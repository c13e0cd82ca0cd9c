"""Jobs: hand one in, look at them, stop, go on, try again, remove. What these do stands in `cellfleet.jobs.desk`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from cellfleet.service.access import User
from cellfleet.service.context import Asking, Changing, Shared, job_to_see
from cellfleet.service.inputs import check_inputs, check_place
from cellfleet.service.state import Service
from cellfleet.spec.http import DeadTasks, Job, JobList, JobRequest
from cellfleet.spec.job import FINAL_JOB_STATES, JobId, JobSpec, JobState, UserName

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

Limit = Annotated[int, Query(ge=1, le=1000, description="Of a page.")]


@router.post("", status_code=201)
def create_job(body: JobRequest, service: Shared, user: Changing) -> Job:
    """Take a job in: from here on it is not lost. Its images may still be listed when this answers."""
    check_inputs(service, user, body.inputs)
    if body.out is not None:
        check_place(service.settings, body.out)
    return service.cashier.hold_when_spent(service.desk.submit(body, user.name, user.quota))


@router.get("")
def list_jobs(
    service: Shared,
    user: Asking,
    owner: Annotated[UserName | None, Query(description="For administrators: whose; without it all.")] = None,
    state: JobState | None = None,
    ended: Annotated[bool | None, Query(description="Only jobs that have ended, or only others.")] = None,
    text: Annotated[str, Query(max_length=200, description="In name, id, owner or model; in any case.")] = "",
    after: JobId | None = None,
    limit: Limit = 100,
) -> JobList:
    """List the user's jobs, newest first. A page may hold fewer than `limit` and still not be the last."""
    if user.role != "admin":
        if owner not in {None, user.name}:
            return JobList(jobs=(), after=None)
        owner = user.name
    jobs, after = service.desk.page(owner, after=after, limit=limit, fits=_fits(state, ended, text))
    return JobList(jobs=tuple(jobs), after=after)


@router.get("/{job}")
def get_job(job: JobId, service: Shared, user: Asking) -> Job:
    """Show a job and how far it is."""
    return job_to_see(service, user, job)


@router.delete("/{job}", status_code=204)
def delete_job(job: JobId, service: Shared, user: Changing) -> None:
    """Remove a job that has ended, with its results in the store. Results at an address of the user's stay."""
    found = job_to_see(service, user, job)
    if found.state in FINAL_JOB_STATES and not found.summarised:
        service.cashier.close(job)  # what it took goes with it, and its bill stays
    service.desk.remove(job)


@router.post("/{job}/pause")
def pause_job(job: JobId, service: Shared, user: Changing) -> Job:
    """Begin no more of a job; tasks that run are finished."""
    return _changed(service, user, job, service.desk.pause)


@router.post("/{job}/resume")
def resume_job(job: JobId, service: Shared, user: Changing) -> Job:
    """Go on with a job that was paused."""
    service.cashier.refuse_when_spent(job)
    return _changed(service, user, job, service.desk.resume)


@router.post("/{job}/cancel")
def cancel_job(job: JobId, service: Shared, user: Changing) -> Job:
    """Do no more of a job; results that stand are kept."""
    return _changed(service, user, job, service.desk.cancel)


@router.post("/{job}/retry")
def retry_job(job: JobId, service: Shared, user: Changing) -> Job:
    """Try again what failed; images that are done are not done again."""
    return service.cashier.hold_when_spent(_changed(service, user, job, service.desk.retry))


@router.get("/{job}/dead")
def list_dead_tasks(job: JobId, service: Shared, user: Asking, limit: Limit = 100) -> DeadTasks:
    """List tasks of a job that were given up, and why."""
    job_to_see(service, user, job)
    found = list(islice(service.desk.dead(job), limit + 1))
    return DeadTasks(tasks=tuple(found[:limit]), more=len(found) > limit)


def _changed(service: Service, user: User, job: str, change: Callable[[str], object]) -> Job:
    job_to_see(service, user, job)
    change(job)
    return service.desk.job(job)


def _fits(state: JobState | None, ended: bool | None, text: str) -> Callable[[JobSpec, JobState], bool] | None:
    """Return what says of a job whether it is asked for; None: all are."""
    wanted = text.strip().casefold()
    if state is None and ended is None and not wanted:
        return None

    def fits(job: JobSpec, found: JobState) -> bool:
        if state not in {None, found} or ended not in {None, found in FINAL_JOB_STATES}:
            return False
        return wanted in f"{job.name} {job.id} {job.owner} {job.model.name}".casefold()

    return fits
