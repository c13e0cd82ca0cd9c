"""What a job would take: time and cost, before it is handed in."""

from __future__ import annotations

from contextlib import ExitStack

from fastapi import APIRouter, Request

from cellfleet.jobs.census import count_images
from cellfleet.jobs.estimate import estimate_there
from cellfleet.jobs.submission import as_path
from cellfleet.planning.prices import load_prices
from cellfleet.run.speed_log import read_speeds
from cellfleet.service.access import User
from cellfleet.service.context import Asking, Shared
from cellfleet.service.inputs import check_inputs
from cellfleet.service.looking import in_words_of
from cellfleet.service.state import Service
from cellfleet.spec.plan import Counted, Plan, PlanRequest
from cellfleet.stores.url import is_url

router = APIRouter(tags=["plans"])


@router.post("/api/v1/plan")
def make_plan(request: Request, service: Shared, user: Asking, wanted: PlanRequest) -> Plan:
    """Reckon how long a job would take and what it would cost, by the number of workers. No job is made."""
    prices = load_prices(service.settings.prices)
    pinned = service.models.resolve(wanted.segment.model)
    if wanted.counted is not None:
        counted = wanted.counted
    else:
        with request.app.state.looks.take("counts images"):
            counted = _counted(service, user, wanted)
    speeds = read_speeds(service.store, pinned.sha256)
    model, in_bucket = f"{pinned.name}:{pinned.version}", is_url(service.store.url)
    return estimate_there(wanted, counted, model, speeds, prices, in_bucket=in_bucket)


def _counted(service: Service, user: User, wanted: PlanRequest) -> Counted:
    check_inputs(service, user, wanted.inputs)
    with ExitStack() as words:
        for given in wanted.inputs:
            words.enter_context(in_words_of(service, given))
        return count_images([as_path(given, service.store) for given in wanted.inputs], axes=wanted.segment.axes)
