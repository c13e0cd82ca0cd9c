"""How jobs and training runs go on, for all who watch them: asks once for each, however many watch. Knows no HTTP.

Runs in one event loop. A watcher takes the latest state when it has time, so a slow one misses states and holds nothing
up.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fastapi.concurrency import run_in_threadpool

from cellfleet.errors import JobError, LedgerError, OutputError, TrainingError
from cellfleet.spec.http import Job
from cellfleet.spec.job import FINAL_JOB_STATES

SHORTEST_SECONDS: Final = 0.5
"""Between two looks at a job that goes on."""
_LONGEST_SECONDS: Final = 2.0
"""Between two looks at a job that stands still."""

_log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """A state of a job."""

    id: str
    """The same for the same state; differs otherwise."""
    text: str
    """The job as JSON."""
    last: bool
    """Whether no other state will follow unless somebody asks for it."""
    lines: tuple[str, ...] = ()
    """What only grows: the points of a training run, each as JSON."""


@dataclass
class _Feed:
    """The latest state of one job."""

    watchers: int = 0
    seen: Seen | None = None
    over: bool = False
    """Whether nobody looks at the job any more."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Wake all who wait."""
        self.news.set()
        self.news = asyncio.Event()


class Watch:
    """All jobs, or all training runs, that are watched."""

    def __init__(self, look: Callable[[str], Seen], stopping: Callable[[], bool]) -> None:
        """Watch nothing yet.

        Args:
            look: Id → the job as it is; blocks, and raises `JobError` or `TrainingError` when there is none.
            stopping: Says whether the process is about to end; then all watching ends.
        """
        self._look = look
        self._stopping = stopping
        self._feeds: dict[str, _Feed] = {}

    async def states(self, job: str, *, known: str | None = None) -> AsyncGenerator[Seen]:
        """Yield the state of a job, then each further one, at most two a second, and end with the last.

        Args:
            job: Which.
            known: Id of the state that the watcher has: it is not told again.
        """
        feed = self._feeds.get(job)
        if feed is None:
            feed = self._feeds[job] = _Feed()
            feed.looking = asyncio.create_task(self._keep_looking(job, feed))
        feed.watchers += 1
        try:
            while True:
                news, seen = feed.news, feed.seen
                if seen is not None and seen.id != known:
                    known = seen.id
                    yield seen
                elif feed.over:
                    return
                else:
                    await news.wait()
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                self._forget(job, feed)
                if feed.looking is not None:
                    feed.looking.cancel()

    async def _keep_looking(self, job: str, feed: _Feed) -> None:
        seconds = SHORTEST_SECONDS
        try:
            while not self._stopping():
                seen = await self._seen(job)
                if seen is not None and (feed.seen is None or seen.id != feed.seen.id):
                    feed.seen, seconds = seen, SHORTEST_SECONDS
                    feed.tell()
                else:
                    seconds = min(1.5 * seconds, _LONGEST_SECONDS)
                if seen is not None and seen.last:
                    return
                await asyncio.sleep(seconds)
        except (JobError, TrainingError) as error:
            _log.info("a job that is watched has gone: %s", error)
        finally:
            # Also after a bug: nobody may wait for ever. Who comes now gets a feed of their own.
            feed.over = True
            self._forget(job, feed)
            feed.tell()

    async def _seen(self, job: str) -> Seen | None:
        """Look at a job; None: it cannot be told now."""
        try:
            return await run_in_threadpool(self._look, job)
        except (LedgerError, OutputError) as error:
            _log.warning("a job that is watched cannot be looked at now: %s", error)
            return None

    def _forget(self, job: str, feed: _Feed) -> None:
        if self._feeds.get(job) is feed:
            del self._feeds[job]


def seen_of(job: Job) -> Seen:
    """Return what a watcher of a job is told."""
    # The estimate changes with every look, also where nothing happens.
    still = job.model_copy(update={"progress": job.progress.model_copy(update={"seconds_left": None})})
    identity = hashlib.sha256(still.model_dump_json().encode()).hexdigest()[:16]
    last = job.state in FINAL_JOB_STATES and (job.summarised or job.problem is not None)
    return Seen(identity, job.model_dump_json(), last)
