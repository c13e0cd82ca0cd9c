"""Training runs: begin one, look at its curves, stop, go on, compare, publish. What these do: `jobs.training_desk`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cellfleet.service import trainings
from cellfleet.service.context import Asking, Changing, Shared
from cellfleet.service.files import SAFETY, Pieces, disposition
from cellfleet.service.inputs import check_inputs
from cellfleet.service.routes.models import model_to_use
from cellfleet.service.state import Service
from cellfleet.service.watch import Watch
from cellfleet.service.zip import Member, zip_pieces
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.job import PinnedModel, UserName
from cellfleet.spec.segment import ChannelChoice
from cellfleet.spec.training_http import (
    Comparison,
    PublishRequest,
    TrainingId,
    TrainingList,
    TrainingLog,
    TrainingPoint,
    TrainingRequest,
    TrainingRun,
)

router = APIRouter(prefix="/api/v1/training", tags=["training"])

_ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The zip.", "content": {"application/zip": {}}}}


@router.post("", status_code=201)
def create_training(body: TrainingRequest, service: Shared, user: Changing) -> TrainingRun:
    """Take a training run in: from here on it is not lost. A trainer begins with it when it has time."""
    check_inputs(service, user, [body.dataset])
    for channel in body.channels:
        ChannelChoice.parse(channel)
    trainings.require_trainer(service)
    trainings.check_layout(service, body.dataset)
    if body.compare_with is not None:
        _model(service, body.compare_with)
    if body.start is not None and not trainings.is_finished_run(service, user, body.start):
        model = _model(service, body.start)
        trainings.require_weights(service, model)
        # A newer version may be there when a trainer has time.
        body = body.model_copy(update={"start": f"{model.name}:{model.version}"})
    most = user.quota.running_jobs
    left = None if most is None else most - service.ledger.running(user.name)
    return trainings.desk_of(service).create(body, user.name, most=left)


@router.get("")
def list_training(
    service: Shared,
    user: Asking,
    owner: Annotated[UserName | None, Query(description="For administrators: whose; without it all.")] = None,
    after: TrainingId | None = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Of a page.")] = 50,
) -> TrainingList:
    """List the user's training runs, newest first."""
    refusal = trainings.refusal(service)
    if user.role != "admin":
        if owner not in {None, user.name}:
            return TrainingList(runs=(), after=None, refusal=refusal)
        owner = user.name
    runs, after = trainings.desk_of(service).page(owner, after=after, limit=limit)
    return TrainingList(runs=tuple(runs), after=after, refusal=refusal)


@router.get("/{run}")
def get_training(run: TrainingId, service: Shared, user: Asking) -> TrainingRun:
    """Show a training run and how far it is."""
    trainings.order_to_see(service, user, run)
    return trainings.desk_of(service).run(run)


@router.delete("/{run}", status_code=204)
def delete_training(run: TrainingId, service: Shared, user: Changing) -> None:
    """Remove a training run that has ended, with its package. A model that was published stays, and so does the set."""
    trainings.order_to_see(service, user, run)
    trainings.desk_of(service).remove(run)


@router.post("/{run}/stop")
def stop_training(run: TrainingId, service: Shared, user: Changing) -> TrainingRun:
    """Have a training run stop, and keep where it is."""
    trainings.order_to_see(service, user, run)
    return trainings.desk_of(service).stop(run)


@router.post("/{run}/resume")
def resume_training(run: TrainingId, service: Shared, user: Changing) -> TrainingRun:
    """Go on with a training run that was stopped, or that failed."""
    trainings.order_to_see(service, user, run)
    trainings.require_trainer(service)
    return trainings.desk_of(service).resume(run)


@router.get("/{run}/log")
def get_training_log(
    run: TrainingId,
    service: Shared,
    user: Asking,
    after: Annotated[int | None, Query(ge=0, description="Only points behind this step.")] = None,
) -> TrainingLog:
    """Return the points of the curves."""
    trainings.order_to_see(service, user, run)
    return TrainingLog(points=tuple(trainings.desk_of(service).points(run, after=after)))


def _to_see(run: TrainingId, service: Shared, user: Asking) -> TrainingId:
    # Not in the route: a stream that has begun can answer with no other status.
    return trainings.order_to_see(service, user, run).id


async def _watch(request: Request) -> Watch:
    return cast(Watch, request.app.state.watched_training)


@router.get("/{run}/events", response_class=EventSourceResponse)
async def watch_training(
    run: Annotated[TrainingId, Depends(_to_see)],
    watch: Annotated[Watch, Depends(_watch)],
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send each point of the curves (`point`), and the run whenever it has changed (`progress`), until it has ended.

    The id of every event is the step of the latest point: who comes back with it is told only points behind it.
    """
    told = int(last_event_id) if last_event_id and last_event_id.isdecimal() else -1
    async with aclosing(watch.states(run)) as states:
        async for seen in states:
            for line in seen.lines:
                step = TrainingPoint.model_validate_json(line).step
                if step > told:
                    told = step
                    yield ServerSentEvent(event="point", id=f"{told}", raw_data=line)
            yield ServerSentEvent(event="progress", id=f"{max(told, 0)}", raw_data=seen.text)


@router.get("/{run}/comparison")
def get_comparison(
    run: TrainingId,
    service: Shared,
    user: Asking,
    model: Annotated[
        str | None, Query(max_length=200, description="`name` or `name:version`; without it as the run says.")
    ] = None,
) -> Comparison:
    """Compare the model of a run with a published one; where nobody has looked, a trainer is asked: come again."""
    order = trainings.order_to_see(service, user, run)
    trainings.require_trainer(service)
    chosen = model or order.request.compare_with or service.models.first()
    return trainings.desk_of(service).comparison(run, _model(service, chosen))


@router.post("/{run}/publish", status_code=201)
def publish_training(run: TrainingId, body: PublishRequest, service: Shared, user: Changing) -> ModelInfo:
    """Have the model of a run serve: the next job, of whomever, can use it by its name."""
    trainings.order_to_see(service, user, run)
    return trainings.publish(service, user, run, body)


@router.get("/{run}/package.zip", response_class=Response, responses=_ZIP)
def get_package(run: TrainingId, service: Shared, user: Asking) -> Response:
    """Send the model package of a run as a zip; unpacked, a folder for `--model`."""
    order = trainings.order_to_see(service, user, run)
    files = trainings.desk_of(service).require_done(run)
    place = trainings.package_of(files)
    name = disposition(f"{order.request.name}.zip")
    headers = {**SAFETY, "Content-Type": "application/zip", "Content-Disposition": name}
    return Pieces(zip_pieces(place, map(Member, sorted(place.names()))), headers=headers)


def _model(service: Service, model: str) -> PinnedModel:
    name, _, version = model.partition(":")
    return model_to_use(service, name, version or None)
