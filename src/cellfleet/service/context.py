"""What a route asks for in its signature: the service, and the user. The only place that reads a request's login."""

from __future__ import annotations

import re
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cellfleet.errors import ServiceError
from cellfleet.jobs.users import no_such_job
from cellfleet.service.access import LOCAL, User
from cellfleet.service.state import Service
from cellfleet.spec.http import Job

_bearer = HTTPBearer(
    scheme_name="token", description="Made by `cellfleet tokens add`; not needed on loopback.", auto_error=False
)
_USER_NAME = re.compile(r"[0-9a-z][0-9a-z._@-]{0,62}")


# These wait for nothing: as coroutines they need no thread.
async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Shared = Annotated[Service, Depends(_service)]


def _user(
    request: Request, service: Shared, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> User:
    if not service.settings.login:
        return LOCAL
    user = service.access.user(bearer.credentials) if bearer else _user_of_proxy(request, service)
    if user is None:
        what = "this token is not known, or not any more" if bearer else "a token is needed"
        action = "Send `Authorization: Bearer TOKEN`; an administrator makes one with `cellfleet tokens add`"
        raise ServiceError("E904", what, status=401, action=action)
    request.state.user = user.name  # for the log of requests
    return user


def _user_of_proxy(request: Request, service: Service) -> User | None:
    """Return who asks as the proxy in front of us says, if it is one that we believe."""
    settings = service.settings
    if settings.user_header is None or request.client is None or request.client.host not in settings.trusted_proxies:
        return None
    names = request.headers.getlist(settings.user_header)
    # Two headers mean that the proxy passes on what clients send.
    if len(names) != 1 or not _USER_NAME.fullmatch(names[0].lower()):
        return None
    return User(names[0].lower(), "user", service.access.quota(names[0].lower()))


Asking = Annotated[User, Depends(_user)]
"""Who asks; a request without valid login does not get here."""


async def _changing(user: Asking) -> User:
    user.check_may_change(user.name)
    return user


async def _admin(user: Asking) -> User:
    if user.role != "admin":
        action = "Ask an administrator"
        raise ServiceError("E903", "only administrators may do this", status=403, where=user.name, action=action)
    return user


Changing = Annotated[User, Depends(_changing)]
"""Who asks, and may change what is theirs: no viewer."""
Admin = Annotated[User, Depends(_admin)]
"""Who asks, an administrator."""


def job_to_see(service: Service, user: User, job: str) -> Job:
    """Return a job that the user may see. Raises `JobError` E810 otherwise: others' jobs are as good as not there."""
    found = service.desk.job(job)
    if not user.may_see(found.owner):
        raise no_such_job(job)
    return found
