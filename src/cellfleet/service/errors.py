"""Every failure of a request as an answer: a status and a `Problem`. Knows no route.

What users can do something about is told to them; what only the operator can is told in few words, and logged in full.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellfleet.errors import (
    CellfleetError,
    DeviceError,
    ImageError,
    InputError,
    JobError,
    LedgerError,
    ModelError,
    OutputError,
    ServiceError,
    TrainingError,
    UsageError,
)
from cellfleet.observe import metrics
from cellfleet.spec.http import Problem

RETRY_SECONDS = 5
"""After which a client may ask again what could not be answered now."""
_STATUS_OF_CODE: Mapping[str, int] = MappingProxyType(
    {
        "E301": 507,  # the disk is full
        "E630": 404,  # no such training run
        "E633": 409,  # its state forbids it
        "E634": 500,  # a file of it is damaged
        "E810": 404,  # no such job
        "E813": 500,  # its manifest is damaged
        "E816": 429,  # as many jobs as the quota allows
        "E818": 403,  # an input that this service may not read
    }
)
_STATUS_OF_CLASS: tuple[tuple[type[CellfleetError], int], ...] = (
    (UsageError, 400),
    (InputError, 422),
    (ImageError, 422),
    (ModelError, 422),
    (TrainingError, 422),
    (JobError, 409),
    (LedgerError, 503),
    (OutputError, 503),
    (DeviceError, 503),
)
_MOST_FAULTS = 3
"""Fields of a request that a message tells of."""

_log = logging.getLogger(__name__)


def answer_errors(app: FastAPI) -> None:
    """Have `app` answer with a `Problem` whatever goes wrong in its routes; see `CatchAll` for bugs."""
    app.add_exception_handler(CellfleetError, _cellfleet_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, http_error)


def status_of(error: CellfleetError) -> int:
    """Return the HTTP status that says the same."""
    if isinstance(error, ServiceError):
        return error.status
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS_OF_CLASS if isinstance(error, kind)), 500)


def answer(error: CellfleetError, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer that tells of an error."""
    status = status_of(error)
    # Addresses and paths of the server are the operator's business.
    where = "" if status >= 500 else error.where
    told = type(error)(error.code, error.what, where=where, action=error.action, **_status(error))
    metrics.error_told(told.code)
    body = Problem(code=told.code, what=told.what, where=told.where, action=told.action, message=str(told))
    return JSONResponse(body.model_dump(), status, {**_headers(status), **(headers or {})})


def _status(error: CellfleetError) -> dict[str, Any]:
    return {"status": error.status} if isinstance(error, ServiceError) else {}


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="cellfleet"'}
    return {"Retry-After": str(RETRY_SECONDS)} if status in {429, 503} else {}


def _cellfleet_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CellfleetError)
    if status_of(error) >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return answer(error)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    action = "docs/reference/service.md and /api/v1/openapi.json tell what is expected"
    what = f"the request does not fit: {_faults(error.errors())}"
    return answer(ServiceError("E902", what, status=422, where=request.url.path, action=action))


def _faults(faults: Sequence[Any]) -> str:
    texts = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:_MOST_FAULTS]]
    more = len(faults) - len(texts)
    return "; ".join(texts + ([f"and {more} more"] if more else []))


def _place(where: Sequence[str | int]) -> str:
    """Return a field by the name that a user wrote: ``segment.diameter_px`` of a body, ``limit`` of an address."""
    names = (
        [str(part) for part in where[1:]] if where and where[0] in {"body", "query", "path"} else list(map(str, where))
    )
    return ".".join(names) or "body"


def http_error(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that no route takes."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        told = ServiceError("E900", "there is nothing at this address", status=404, where=path)
    elif error.status_code == 405:
        what = f"this address does not know {request.method}"
        told = ServiceError("E901", what, status=405, where=path)
    else:
        told = ServiceError("E902", f"the request does not fit: {error.detail}", status=error.status_code, where=path)
    return answer(told, headers=error.headers)


class CatchAll:
    """Answers bugs: the client gets a number, the log gets the traceback under this number."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # the boundary of the service: one request fails, no more
            number = secrets.token_hex(6)
            _log.exception("bug %s: %s %s", number, scope.get("method"), scope.get("path"))
            if begun:
                raise  # so that the connection is cut: half an answer must not look like a whole one
            action = f"Report it with what the server's log says of {number}"
            told = ServiceError("E599", "this is a bug in cellfleet", status=500, action=action)
            await answer(told)(scope, receive, send)
