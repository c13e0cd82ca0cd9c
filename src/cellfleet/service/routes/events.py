"""Progress of a job as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cellfleet.service.context import Asking, Shared
from cellfleet.service.results import spec_to_see
from cellfleet.service.watch import Watch
from cellfleet.spec.job import JobId, JobSpec

router = APIRouter(prefix="/api/v1/jobs/{job}", tags=["jobs"])


def _to_see(job: JobId, service: Shared, user: Asking) -> JobSpec:
    # Not in the route: a stream that has begun can answer with no other status.
    return spec_to_see(service, user, job)


async def _watch(request: Request) -> Watch:
    return cast(Watch, request.app.state.watch)


@router.get("/events", response_class=EventSourceResponse)
async def watch_job(
    job: Annotated[JobSpec, Depends(_to_see)],
    watch: Annotated[Watch, Depends(_watch)],
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send the job, and again whenever it has changed, until it has ended and its summary is written."""
    async with aclosing(watch.states(job.id, known=last_event_id)) as states:
        async for seen in states:
            yield ServerSentEvent(event="progress", id=seen.id, raw_data=seen.text)
