"""A job as it goes on: what the server tells of it, and questions where it tells nothing. Survives its restarts.

A thread listens to the server's events. When that ends, or is silent because something on the way holds events back,
the job is asked for; the longer listening fails, the less often.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
from pydantic import ValidationError

from cellfleet.client.connection import Connection, StoppedError
from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.spec.http import Job
from cellfleet.spec.job import FINAL_JOB_STATES

_log = logging.getLogger(__name__)
_WAKE_SECONDS = 0.2
_FIRST_SILENCE, _LONGEST_SILENCE = 2.0, 30.0
"""Seconds without news after which the job is asked for."""
_SERVER_IS_ALIVE = 45.0
"""Seconds: it sends at least a comment three times in this while."""
_NOT_REACHED = "E960"


@dataclass(frozen=True)
class Update:
    """A job as it was seen last."""

    job: Job
    lost: str = ""
    """Why the server cannot be asked at the moment; the job goes on there. Empty: it answers."""


def has_ended(job: Job) -> bool:
    """Say whether nothing more will come: it is in its last state, and summed up."""
    return job.state in FINAL_JOB_STATES and (job.summarised or job.problem is not None)


def follow(connection: Connection, job_id: str) -> Iterator[Update]:
    """Yield a job now and whenever it has changed, until it has ended.

    Raises:
        JobError: E810, there is no such job (any more).
        ServiceError: E960, the server was away for longer than the connection's patience.
        StoppedError: The user asked to stop.
    """
    job = connection.ask("GET", f"/api/v1/jobs/{job_id}", Job)
    yield Update(job)
    listener, silence = _Listener(connection, job_id), _FIRST_SILENCE
    try:
        while not has_ended(job):
            news = listener.wait(silence)
            seen = [Update(news)] if news else _asked(connection, job)
            for update in seen:
                if update.job != job or update.lost:
                    job = update.job
                    yield update
            silence = _FIRST_SILENCE if news else min(2 * silence, _LONGEST_SILENCE)
            if listener.over and not has_ended(job):
                if not listener.heard and connection.stop.wait(silence):
                    raise StoppedError
                listener = _Listener(connection, job_id)
    finally:
        listener.close()


def _asked(connection: Connection, job: Job) -> Iterator[Update]:
    """Ask for the job until there is an answer; yield what cannot be told meanwhile, and then the job."""
    patience = connection.patience()
    while True:
        try:
            yield Update(connection.ask("GET", f"/api/v1/jobs/{job.id}", Job, once=True))
            return
        except ServiceError as error:
            if error.code != _NOT_REACHED:
                raise
            yield Update(job, lost=error.what)
            patience.pause(error.what)


class _Listener:
    """One connection to the events of a job, read in a thread of its own: the one that waits can be interrupted."""

    def __init__(self, connection: Connection, job_id: str) -> None:
        self._connection, self._path = connection, f"/api/v1/jobs/{job_id}/events"
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self.over = self.heard = False
        """Whether the events have ended; whether there were any."""
        # A daemon: it may be waiting for the server when the program ends.
        threading.Thread(target=self._listen, name="events", daemon=True).start()

    def wait(self, silence: float) -> Job | None:
        """Return the next state of the job; None: there is none for `silence` seconds, or no more.

        Raises:
            StoppedError: The user asked to stop.
        """
        last = time.monotonic()
        while not self.over and time.monotonic() - last < silence:
            if self._connection.stop.is_set():
                raise StoppedError
            with contextlib.suppress(queue.Empty):
                job = self._queue.get(timeout=_WAKE_SECONDS)
                self.over, self.heard = job is None, self.heard or job is not None
                return job
        return None

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()

    def _listen(self) -> None:
        try:
            with self._connection.stream(
                self._path, headers={"Accept": "text/event-stream"}, seconds=_SERVER_IS_ALIVE
            ) as said:
                self._connection.refuse(said)
                for event in httpx2.EventSource(said):
                    if self._closed.is_set():
                        return
                    if event.event == "progress":
                        self._queue.put(Job.model_validate_json(event.data))
        except (httpx2.HTTPError, httpx2.StreamError, ValidationError, CellfleetError, RuntimeError) as error:
            # The question that follows will tell the user; RuntimeError: the client was closed meanwhile.
            _log.debug("the events of %s ended: %s", self._path, error)
        finally:
            self._queue.put(None)
