"""What a route asks for in its signature: the service, and the user. The only place that reads a request's login."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from cellfleet.errors import JobError
from cellfleet.service.access import LOCAL, User
from cellfleet.service.state import Service
from cellfleet.spec.http import Job


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _user(request: Request) -> User:
    return LOCAL


Shared = Annotated[Service, Depends(_service)]
Asking = Annotated[User, Depends(_user)]
"""Who asks; a request without valid login does not get here."""


def job_to_see(service: Service, user: User, job: str) -> Job:
    """Return a job that the user may see. Raises `JobError` E810 otherwise: others' jobs are as good as not there."""
    found = service.desk.job(job)
    if not user.may_see(found.owner):
        raise JobError("E810", "there is no such job", where=job, action="`cellfleet jobs list` shows yours")
    return found
