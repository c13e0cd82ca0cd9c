"""`cellfleet segment --on`, over images of this machine: planned as a run here, computed on a server.

The files are sent, the results fetched while the job runs, under the names that they would have here. So a folder may
be begun on a server and finished here, or the other way round.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

import cellfleet
from cellfleet.client.arrivals import Arrivals
from cellfleet.client.client import Client
from cellfleet.client.connection import StoppedError, as_error
from cellfleet.client.events import Remark, Tell
from cellfleet.client.journal import Journal
from cellfleet.client.order import Ended, Order, job_for, model_there, way_back
from cellfleet.client.parcel import Parcel, pack_images
from cellfleet.errors import InputError, OutputError, ServiceError
from cellfleet.images.find import find_images
from cellfleet.results.record import FOLDER, write_image_record, write_run_record
from cellfleet.results.tables import portable_text
from cellfleet.run import summary
from cellfleet.run.events import ImageFinished, RunFinished, RunStarted
from cellfleet.run.plan import Plan, Task, make_plan
from cellfleet.run.request import asked_compartments
from cellfleet.run.run import refuse_own_input
from cellfleet.spec.http import Job, ModelInfo
from cellfleet.spec.record import ImageRecord, ModelUsed, RunRecord, Told
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

JOURNAL = f"{FOLDER}/server.jsonl"


class Flow:
    """Tells the images of a run as they are finished, and keeps their records."""

    def __init__(self, tell: Tell, to_do: int, spec: SegmentSpec) -> None:
        """Begin to count."""
        self._tell, self._to_do, self._began = tell, to_do, time.perf_counter()
        self._counts = not spec.top
        self._failed = self._objects = 0
        self.records: list[ImageRecord] = []

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._began

    def finished(self, record: ImageRecord) -> None:
        """Take the record of an image that is done or has failed."""
        self.records.append(record)
        self._failed += record.status == "failed"
        self._objects += record.objects
        done = len(self.records)
        objects = self._objects if self._counts else None
        self._tell(ImageFinished(record, done, self._failed, self._to_do, objects, self.seconds))


def run_there(order: Order, client: Client, place: FolderPlace, tell: Tell) -> Ended:
    """Segment images of this machine on a server, with the results here.

    Args:
        order: What is wanted; its inputs are paths.
        client: The server; its connection's `stop` ends the watching, not the job.
        place: Where results go.
        tell: Called with every event.

    Raises:
        CellfleetError: As a run here; as the server says; E960, the server is away for too long.
    """
    refuse_own_input(order.inputs, place)
    sources = find_images(order.inputs)
    model, key = model_there(client, order)
    nuclei = len(asked_compartments(order.spec, model.name, model.compartments)) > 1

    def planned() -> Plan:
        return make_plan(sources, place, key, order.options.formats, overwrite=order.options.overwrite, nuclei=nuclei)

    if not place.exists(FOLDER):
        # Asked before the lock, too, so that a refused run leaves no trace in a folder that is not ours.
        planned()
    with place.lock():
        plan = planned()
        shown = f"{model.name} {model.version}"
        tell(RunStarted(len(plan.tasks), len(plan.done), plan.changed, shown, "", 0, client.connection.name))
        begun = _begun(order, client, place, model, key)
        place.sweep()
        write_run_record(place, begun)
        return _Run(order, client, place, plan, begun, tell).carried_out()


def _begun(order: Order, client: Client, place: FolderPlace, model: ModelInfo, key: str) -> RunRecord:
    given, target = [summary.absolute(one) for one in order.inputs], summary.absolute(place.url)
    command = summary.as_command(given, target, order.spec, order.options)
    return RunRecord(
        cellfleet=cellfleet.__version__,
        command=portable_text(f"{command} --on {shlex.quote(client.connection.name)}"),
        python=portable_text(summary.as_python(given, target, order.spec, order.options)),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        status="running",
        spec=order.spec,
        key=key,
        model=ModelUsed(name=model.name, version=model.version, sha256=model.sha256),
        formats=order.options.formats,
        device=f"workers of {client.connection.name}",
        threads=0,
        inputs=tuple(portable_text(one) for one in given),
    )


class _Run:
    """One run, from the plan to the summary."""

    def __init__(
        self, order: Order, client: Client, place: FolderPlace, plan: Plan, begun: RunRecord, tell: Tell
    ) -> None:
        self._order, self._client, self._place, self._plan, self._tell = order, client, place, plan, tell
        self._record = begun
        self._flow = Flow(tell, len(plan.to_do), order.spec)
        self._job: Job | None = None

    def carried_out(self) -> Ended:
        """Send, wait, fetch, and write the summary whatever happens."""
        stopped = False
        try:
            self._work()
        except StoppedError:
            stopped = True
        except BaseException:
            with contextlib.suppress(OutputError):
                self._sum_up(stopped=True)
            raise
        job = self._job.id if self._job else ""
        detached = self._order.detach and bool(job) and not stopped
        run = self._sum_up(stopped=stopped or detached or self._was_cancelled())
        if detached:
            return Ended("detached", job)
        self._tell(RunFinished(run, already_done=len(self._plan.done)))
        if stopped and self._job:
            self._tell(way_back(self._client, job))
        return Ended(_status(run), job)

    def _work(self) -> None:
        tasks = {task.name: task for task in self._plan.to_do}
        parcel = pack_images([task.source for task in tasks.values()])
        for record in _not_sent(parcel, self._plan.to_do, self._record.key):
            write_image_record(self._place, record)
            self._flow.finished(record)
        if not parcel.files:
            return
        journal = Journal(self._place.local(JOURNAL))
        self._job = job_for(self._client, self._order, parcel, self._record.key, journal, self._tell)
        if self._order.detach:
            return
        arrivals = Arrivals(self._client.connection, self._job.id, self._place, tasks, self._plan.done.keys())
        for record in arrivals.records(self._tell):
            self._flow.finished(record)
        self._job = arrivals.job or self._job
        journal.ended()
        if self._job.problem:
            raise as_error(self._job.problem)
        if self._was_cancelled():
            self._tell(Remark(f"Job {self._job.id} was cancelled on {self._client.connection.name}."))

    def _was_cancelled(self) -> bool:
        return self._job is not None and self._job.state == "cancelled"

    def _sum_up(self, *, stopped: bool) -> RunRecord:
        images = sorted((*self._plan.done.values(), *self._flow.records), key=lambda image: image.image)
        ended = summary.finish(self._record, images, (), self._flow.seconds, stopped=stopped)
        ended = ended.model_copy(update=self._facts())
        summary.write_summary(self._place, ended)
        return ended

    def _facts(self) -> dict[str, object]:
        """Return what only the server knows of the run, as far as it is to be had now."""
        if self._job is None or not self._job.summarised:
            return {}
        path = f"/api/v1/jobs/{self._job.id}/files/run.json"
        try:
            theirs = RunRecord.model_validate_json(self._client.connection.send("GET", path, once=True).content)
        except (ServiceError, ValidationError):
            return {}
        names = ("manifest", "versions", "seconds", "waiting_seconds")
        return {name: getattr(theirs, name) for name in names}


def _status(run: RunRecord) -> Literal["done", "some failed", "stopped"]:
    if run.status == "stopped":
        return "stopped"
    return "some failed" if any(image.status == "failed" for image in run.images) else "done"


def _not_sent(parcel: Parcel, tasks: Sequence[Task], key: str) -> list[ImageRecord]:
    """Return the records of the images whose files cannot be read here."""
    why: dict[str, InputError] = dict(parcel.unreadable)
    records = []
    for task in tasks:
        if error := why.get(task.source.path):
            told = Told(code=error.code, what=error.what, where=task.name, action=error.action)
            records.append(ImageRecord(image=task.name, status="failed", key=key, error=told))
    return records
