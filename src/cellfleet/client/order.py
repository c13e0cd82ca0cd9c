"""Images of this machine as a job of a server: sent, handed in, and found again when the same is asked once more."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Literal

import cellfleet
from cellfleet.client.client import Client, name_of
from cellfleet.client.events import Remark, Tell
from cellfleet.client.journal import Journal
from cellfleet.client.parcel import Parcel
from cellfleet.errors import CellfleetError, ModelError, ServiceError, UsageError
from cellfleet.spec.http import Job, JobRequest, ModelInfo
from cellfleet.spec.segment import RunOptions, SegmentSpec

_NO_SUCH_JOB = "E810"


@dataclass(frozen=True)
class Order:
    """What is wanted of a server."""

    inputs: tuple[str, ...]
    """Paths of this machine, and addresses that the server can read."""
    out: str
    spec: SegmentSpec
    options: RunOptions
    detach: bool = False
    """Whether to leave when the job is handed in."""


@dataclass(frozen=True)
class Ended:
    """How it came out."""

    status: Literal["done", "some failed", "stopped", "detached"]
    job: str = ""
    """Empty: none was needed."""


def model_there(client: Client, order: Order) -> tuple[ModelInfo, str]:
    """Return the model as the server has it, and the key of results with it.

    Raises:
        UsageError: E977, the model is a folder of this machine.
        ServiceError: E976, the server is of another version: its results could differ from those of a run here.
        ModelError: It has no such model; E765, E774, it does something else.
    """
    if os.path.isdir(order.spec.model):
        raise UsageError(
            "E977",
            "is a folder of this machine, not a model of the server",
            where=order.spec.model,
            action="Add it to the server with cellfleet.Client(…).add_model(folder), then give its name",
        )
    theirs = client.about().cellfleet
    if theirs != cellfleet.__version__:
        raise ServiceError(
            "E976",
            f"has cellfleet {theirs}, here is {cellfleet.__version__}: results could differ",
            status=409,
            where=client.connection.name,
            action=f"Install cellfleet {theirs} here, or take results as they are there with cellfleet.Client",
        )
    model = client.model(order.spec.model)
    if (model.task == "classification") != bool(order.spec.top):
        raise _other_task(model)  # before anything is sent
    return model, order.spec.digest(model.sha256)


def _other_task(model: ModelInfo) -> ModelError:
    classifies = model.task == "classification"
    return ModelError(
        "E765" if classifies else "E774",
        "says what an image shows, and finds no objects" if classifies else "finds objects, and classifies no images",
        where=f"{model.name}:{model.version}",
        action=f"Use cellfleet {'classify' if classifies else 'segment'} with it, or choose another model",
    )


def job_for(
    client: Client, order: Order, parcel: Parcel, key: str, journal: Journal, tell: Tell, out: str | None = None
) -> Job:
    """Return the job of an order: the one that was handed in for it before, or a new one.

    Args:
        client: The server.
        order: What is wanted.
        parcel: Which files are to be sent.
        key: Of the results.
        journal: What was done before; is told what is done.
        tell: Told how far the uploads are, and which job it is.
        out: Address for the results; None: the server keeps them.
    """
    wanted = JobRequest(name=name_of(order.inputs), inputs=("",), segment=order.spec, out=out)
    if order.options.formats:
        wanted = wanted.model_copy(update={"formats": order.options.formats})
    request = hashlib.sha256(repr((client.connection.server.url, key, wanted.formats, out)).encode()).hexdigest()
    job = standing_job(client, parcel, request, journal, anew=order.options.overwrite)
    if job is None:
        job = hand_in(client, parcel, request, journal, wanted, tell)
        tell(Remark(f"Job {job.id} was sent to {client.connection.name}; it goes on there if this stops."))
    else:
        tell(Remark(f"Going on with job {job.id} on {client.connection.name}."))
    return job


def way_back(client: Client, job: str) -> Remark:
    """Return the words that say how to see a job again."""
    server = client.connection.name
    return Remark(f"Job {job} goes on at {server}. To look: cellfleet jobs watch {job} --on {server}")


def standing_job(client: Client, parcel: Parcel, request: str, journal: Journal, *, anew: bool) -> Job | None:
    """Return the job that was handed in for these files before, if it can still bring their results.

    Of one whose results were all fetched, what failed is tried again, as a run here would.

    Args:
        client: The server.
        parcel: What is wanted now; the job may be of more.
        request: Hash of the server and the settings.
        journal: What was done before.
        anew: Whether results that were fetched already are to be made again.
    """
    covered = all(journal.begun(file) for file in parcel.files)
    if not journal.job or journal.request != request or not covered or (anew and journal.has_ended):
        return None
    path = f"/api/v1/jobs/{journal.job}"
    try:
        job = client.connection.ask("GET", path, Job)
        if job.state == "cancelled" or job.problem is not None:
            return None
        if job.state == "failed" and journal.has_ended:
            job = client.connection.ask("POST", f"{path}/retry", Job)
            journal.submitted(job.id)
    except CellfleetError as error:
        if error.code != _NO_SUCH_JOB:
            raise
        return None
    return job


def hand_in(client: Client, parcel: Parcel, request: str, journal: Journal, wanted: JobRequest, tell: Tell) -> Job:
    """Send what has not been sent, and hand in a job.

    Args:
        client: The server.
        parcel: What to send.
        request: Hash of the server and the settings.
        journal: What was done before; is told what is done.
        wanted: The job but for its inputs and its key.
        tell: Told how far the uploads are.
    """
    if parcel.places:
        set_id = client.set_for(request, journal, parcel.files, wanted.name)
        client.send(parcel.files, set_id, journal, tell)
    elif journal.job or journal.request != request:
        journal.begin(request, "")
    inputs = parcel.inputs(journal.set_id)
    job = client.submit(wanted.model_copy(update={"inputs": inputs, "key": journal.key})).info
    journal.submitted(job.id)
    return job
