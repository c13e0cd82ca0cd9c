"""The routes of the DeepCell Kiosk, for its own clients: kiosk-client, the ImageJ plugin, scripts of users.

They answer as the original does (docs/reference/kiosk.md), with and without a slash at the end. Their clients know no
login: where one is needed, the routes are open for one user, if the operator names one, and below ``/kiosk/TOKEN``,
which clients can be given as an address, for the token's user.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.convertors import Convertor, register_url_convertor

import cellfleet
from cellfleet.errors import InputError, JobError, ModelError, ServiceError, UsageError
from cellfleet.service import sets
from cellfleet.service.access import LOCAL, User
from cellfleet.service.body import pieces
from cellfleet.service.context import Shared, job_to_see
from cellfleet.service.kiosk_fields import Seen, archive_stem, read_field, read_refusal
from cellfleet.service.kiosk_form import JOB_TYPES, PredictForm, job_request, model_versions
from cellfleet.service.kiosk_key import Refusal, job_key, named_by, refusal_key
from cellfleet.service.kiosk_openapi import ANSWERS, BODIES
from cellfleet.service.kiosk_upload import receive
from cellfleet.service.routes.links import public_base, signed_link
from cellfleet.service.state import Service
from cellfleet.spec.downloads import NewLink
from cellfleet.spec.http import Job

_EXPIRE_SECONDS: Final = 3600
_LONGEST_EXPIRE_SECONDS: Final = 365 * 86_400
_MOST_FIELDS: Final = 100
_LINK_SECONDS: Final = 86_400

router = APIRouter(tags=["kiosk"])


def _kiosk_user(request: Request, service: Shared) -> User:
    """Return for whom a client works. Raises `ServiceError` E955."""
    token = request.path_params.get("token")
    if token is not None:
        user = service.access.user(token)
    elif service.settings.kiosk_user is not None:
        name = service.settings.kiosk_user
        user = User(name, "user", service.access.quota(name))
    else:
        user = None if service.settings.login else LOCAL
    if user is None:
        what = "these routes need a token" if token is None else "this token is not known, or not any more"
        action = "Give your client the address of the service with /kiosk/TOKEN behind it"
        raise ServiceError("E955", what, status=401, action=action)
    return user


async def _body(request: Request) -> dict[str, Any]:
    """Return what a client sent; what is no JSON object counts as an empty one."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


KioskUser = Annotated[User, Depends(_kiosk_user)]
Body = Annotated[dict[str, Any], Depends(_body)]


def home(user: KioskUser) -> dict[str, str]:
    """Say that somebody is here: clients ask once, and take the address that they end up at for that of all routes.

    Where they are given the address of the service itself, the web page answers.
    """
    return {"service": "cellfleet", "version": cellfleet.__version__}


def health_check() -> dict[str, str]:
    """Say that the service answers."""
    return {"message": "OK"}


async def upload(request: Request, service: Shared, user: KioskUser) -> dict[str, str]:
    """Take a file in, sent as the field `file` of a form."""
    user.check_may_change(user.name)
    said = request.headers.get("content-length", "")
    length = int(said) if said.isdigit() else 0
    kind = request.headers.get("content-type", "")
    made, name = await receive(service, user, kind, length, pieces(request, length))
    return {"imageURL": f"{public_base(request, service)}/api/v1/sets/{made}", "uploadedName": name}


def predict(body: Body, service: Shared, user: KioskUser) -> JSONResponse:
    """Make a job of an upload. What cannot be done as asked gets a name, too: of a job that has failed."""
    user.check_may_change(user.name)
    try:
        form = PredictForm.model_validate(body)
    except ValidationError:
        return _invalid("Invalid prediction request body.")
    if form.job_type not in JOB_TYPES:
        return _invalid(f"Invalid Job Type: {form.job_type}.")
    try:
        key = job_key(form.job_type, form.image_name, _submit(service, user, form).id)
    except (ServiceError, UsageError, InputError, ModelError) as error:
        key = refusal_key(form.job_type, form.image_name, str(error))
    return JSONResponse({"hash": key})


def redis(body: Body, request: Request, service: Shared, user: KioskUser) -> dict[str, Any]:
    """Tell one field of a job, or a list of them; null for what has no value."""
    wanted = body.get("key")
    read = _reader(request, service, user, body.get("hash"))
    if isinstance(wanted, list):
        return {"value": [read(name) for name in wanted[:_MOST_FIELDS]]}
    return {"value": read(wanted)}


def status(body: Body, request: Request, service: Shared, user: KioskUser) -> dict[str, str | None]:
    """Tell the status of a job."""
    return {"status": _reader(request, service, user, body.get("hash"))("status")}


def expire(body: Body, service: Shared, user: KioskUser) -> JSONResponse:
    """Have a job removed some time after now."""
    user.check_may_change(user.name)
    found = _find(service, user, body.get("hash"))
    if found is None:
        return JSONResponse({"value": 0}, 404)
    if isinstance(found, Job):
        service.desk.expire(found.id, _seconds(body.get("expireIn")))
    return JSONResponse({"value": 1})


def job_types() -> dict[str, tuple[str, ...]]:
    """Tell what kinds of jobs there are."""
    return {"jobTypes": JOB_TYPES}


def models(service: Shared, user: KioskUser) -> dict[str, dict[str, list[str]]]:
    """Tell the names of models that jobs can ask for, with their versions."""
    return {"models": model_versions(service.models.list())}


def swagger() -> dict[str, Any]:
    """Describe these routes as OpenAPI."""
    return get_openapi(title="DeepCell Kiosk routes", version=cellfleet.__version__, routes=router.routes)


def nothing() -> JSONResponse:
    """Answer as the original what it does not know."""
    return JSONResponse({}, 404)


class _BesideV1(Convertor[str]):
    """What comes behind ``/api/``, unless it is the service's own API."""

    regex = "(?!v1(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


_ROUTES: Final[tuple[tuple[str, Literal["GET", "POST"], Callable[..., Any]], ...]] = (
    ("/api/health-check", "GET", health_check),
    ("/api/upload", "POST", upload),
    ("/api/predict", "POST", predict),
    ("/api/redis", "POST", redis),
    ("/api/status", "POST", status),
    ("/api/redis/expire", "POST", expire),
    ("/api/jobtypes", "GET", job_types),
    ("/api/models", "GET", models),
    ("/api/swagger.json", "GET", swagger),
)


def _add_routes() -> None:
    """Add every route with and without a slash at the end, a token before it, or both: nothing is redirected."""
    register_url_convertor("beside_v1", _BesideV1())
    for base, routes in {"": _ROUTES, "/kiosk/{token}": (("", "GET", home), *_ROUTES)}.items():
        for path, method, endpoint in routes:
            router.add_api_route(
                base + path,
                endpoint,
                methods=[method],
                include_in_schema=not base,
                openapi_extra=BODIES.get(path),
                responses=ANSWERS.get(path),
            )
            router.add_api_route(f"{base}{path}/", endpoint, methods=[method], include_in_schema=False)
        router.add_api_route(base + "/api/{rest:beside_v1}", nothing, methods=["GET", "POST"], include_in_schema=False)


_add_routes()


def _submit(service: Service, user: User, form: PredictForm) -> Job:
    """Submit what a client asks for. Raises `ServiceError` E957, E958, and what `Desk.submit` raises."""
    found = sets.read_set(service.store, form.upload)
    if found is None or not user.may_see(found.owner):
        action = "Send it with POST /api/upload first"
        raise ServiceError("E958", "there is no such upload", status=404, where=form.uploaded_name, action=action)
    request = job_request(form, found.id, found.name, service.models.list())
    return service.desk.submit(request, user.name, user.quota)


def _find(service: Service, user: User, key: Any) -> Job | Refusal | None:
    """Return the job of a name that a client was given; None: there is none, or it is somebody else's."""
    named = named_by(key) if isinstance(key, str) else None
    if not isinstance(named, str):
        return named
    try:
        return job_to_see(service, user, named)
    except JobError as error:
        if error.code != "E810":
            raise
        return None


def _reader(request: Request, service: Service, user: User, key: Any) -> Callable[[Any], str | None]:
    """Return what reads a field of a job: all that are read by one request are of one moment."""
    found = _find(service, user, key)
    if found is None:
        return lambda name: None
    if isinstance(found, Refusal):
        return lambda name: read_refusal(found, str(name))
    base, new = public_base(request, service), NewLink(seconds=_LINK_SECONDS)
    seen = Seen(found, service.desk, lambda job: signed_link(service, base, new, job.id, archive_stem(job)).url)
    return lambda name: read_field(seen, str(name))


def _seconds(expire_in: Any) -> float:
    """Return after how many seconds a job is removed; 0 and nothing mean an hour, as in the original."""
    try:
        seconds = float(expire_in or 0)
    except (TypeError, ValueError):
        seconds = 0
    return min(seconds, _LONGEST_EXPIRE_SECONDS) if seconds > 0 else _EXPIRE_SECONDS


def _invalid(message: str) -> JSONResponse:
    what = message.rstrip(".")
    return JSONResponse({"code": "E959", "what": what, "where": "", "action": "", "message": message}, 400)
