"""The application: all routes put together, errors turned into answers. See `cellfleet.service`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

import cellfleet
from cellfleet.observe.http import Observed
from cellfleet.service.browsers import KnownOrigins, SafeAnswers
from cellfleet.service.errors import CatchAll, answer_errors
from cellfleet.service.levels import Gauge
from cellfleet.service.limits import Bounded, Limits
from cellfleet.service.pyramid import Pyramids
from cellfleet.service.routes import (
    about,
    admin,
    bills,
    cluster,
    direct,
    events,
    files,
    health,
    images,
    infer,
    inspect,
    jobs,
    kiosk,
    links,
    metrics,
    models,
    page,
    pixels,
    places,
    plan,
    preview,
    samples,
    sets,
    speeds,
    training,
    uploads,
)
from cellfleet.service.state import Service
from cellfleet.service.trainings import looks_at_runs
from cellfleet.service.watch import Watch, seen_of
from cellfleet.spec.http import Problem

_ROUTERS = (
    about.router,
    admin.router,
    cluster.router,
    health.router,
    metrics.router,
    sets.router,
    samples.router,
    direct.router,
    uploads.router,
    inspect.router,
    plan.router,
    speeds.router,
    places.router,
    preview.router,
    jobs.router,
    bills.router,
    events.router,
    images.router,
    files.router,
    links.router,
    models.router,
    training.router,
    infer.router,
    pixels.router,
    page.router,
    kiosk.router,
)
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request is refused, or what it names is not there."},
    "5XX": {"model": Problem, "description": "The service cannot answer now, or has a bug."},
}


def make_app(service: Service, limits: Limits | None = None) -> FastAPI:
    """Return the application for one service. Starts nothing."""
    app = FastAPI(
        title="cellfleet",
        version=cellfleet.__version__,
        description="Finds cells in microscopy images. What the routes do: docs/reference/service.md.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # Swagger and ReDoc load themselves from other people's servers
        redoc_url=None,
        redirect_slashes=False,  # a redirected POST loses its body
        generate_unique_id_function=_operation_id,
        responses=_ERRORS,
    )
    app.state.service = service
    app.state.readiness = health.Readiness(service)
    app.state.watch = Watch(lambda job: seen_of(service.desk.job(job)), service.stopping.is_set)
    app.state.watched_training = Watch(looks_at_runs(service), service.stopping.is_set)
    app.state.turns = infer.Turns()
    app.state.looks, app.state.previews = inspect.turns(), preview.turns()
    app.state.places = places.turns()
    app.state.levels = Gauge(service.ledger)
    app.state.pyramids = Pyramids()
    for router in _ROUTERS:
        app.include_router(router)
    answer_errors(app)
    app.add_exception_handler(404, page.nowhere)
    _describe_errors(app)
    # From the inside to the outside.
    app.add_middleware(KnownOrigins, settings=service.settings)
    app.add_middleware(Bounded, limits=limits or Limits())
    app.add_middleware(CatchAll)
    app.add_middleware(SafeAnswers)
    app.add_middleware(Observed)
    return app


def _describe_errors(app: FastAPI) -> None:
    """Say in the OpenAPI document that a `Problem` is JSON, also where other answers of the route are not."""
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                if problem in answer.get("content", {}).values():
                    answer["content"] = {"application/json": problem}


def _operation_id(route: APIRoute) -> str:
    return route.name
