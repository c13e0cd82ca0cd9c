"""A job as its owner sees it: what was asked, and how far it is. Reads the ledger's counters only."""

from __future__ import annotations

from time import time

from cellfleet.jobs.ledger import Known
from cellfleet.spec.http import Job, JobProgress
from cellfleet.spec.job import FINAL_JOB_STATES, Progress
from cellfleet.spec.record import Told
from cellfleet.stores.url import is_url, without_secrets


def view(known: Known, *, problem: Told | None) -> Job:
    """Put a job together from what is known of it."""
    job, progress = known.spec, known.progress
    ended = progress.state in FINAL_JOB_STATES
    return Job(
        id=job.id,
        name=job.name,
        owner=job.owner,
        state=progress.state,
        priority=job.priority,
        inputs=tuple(without_secrets(given) for given in job.inputs),
        segment=job.segment,
        model=job.model,
        formats=job.formats,
        out=job.results if is_url(job.results) else None,
        progress=_progress(progress, ended=ended),
        problem=problem,
        summarised=ended and not known.unsummarised,
    )


def _progress(progress: Progress, *, ended: bool) -> JobProgress:
    tally = progress.tally
    # At the end what has no result has failed: also images whose task died without a word.
    failed = max(0, progress.images - tally.images) if ended and not progress.dropped else tally.failed_images
    return JobProgress(
        images=progress.images,
        listed=progress.total is not None,
        images_done=tally.images,
        images_failed=failed,
        objects=tally.objects,
        pixels=tally.pixels,
        tasks=progress.told,
        tasks_done=progress.done,
        tasks_running=progress.leased,
        tasks_dead=progress.dead,
        submitted_ms=progress.submitted_ms,
        started_ms=progress.started_ms,
        finished_ms=progress.finished_ms,
        seconds_left=None if ended else _seconds_left(progress),
    )


def _seconds_left(progress: Progress) -> float | None:
    """Tasks are alike in size, so those that are left take as long as those that are done."""
    ended = progress.done + progress.dead
    if progress.total is None or progress.started_ms is None or not ended or progress.state == "paused":
        return None
    passed = max(0.0, time() - progress.started_ms / 1000)
    return round(passed / ended * (progress.queued + progress.leased), 1)
