"""`cellfleet segment --on`, where only the server knows the images or may write the results: addresses.

Names and summary are the server's own.
"""

from __future__ import annotations

import hashlib

from cellfleet.client.arrivals import Arrivals, watched
from cellfleet.client.client import Client
from cellfleet.client.connection import StoppedError, as_error
from cellfleet.client.events import JobSeen, Remark, Tell
from cellfleet.client.fetch import Fetcher
from cellfleet.client.follow import has_ended
from cellfleet.client.journal import Journal
from cellfleet.client.order import Ended, Order, job_for, model_there, way_back
from cellfleet.client.parcel import pack
from cellfleet.client.run_there import JOURNAL, Flow
from cellfleet.results.record import load_run_record
from cellfleet.run.events import RunFinished, RunStarted
from cellfleet.run.shard_records import refuse_other_settings
from cellfleet.run.summary import absolute
from cellfleet.spec.http import Job, ModelInfo
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import FolderPlace


def run_into_folder(order: Order, client: Client, place: FolderPlace, tell: Tell) -> Ended:
    """Segment images behind addresses, and of this machine, on a server; results come here. Raises as `run_there`."""
    model, key = model_there(client, order)
    with place.lock():
        before = load_run_record(place)
        if before is not None and not order.options.overwrite:
            refuse_other_settings(before, place, key)
        place.sweep()
        journal = Journal(place.local(JOURNAL))
        job = job_for(client, order, pack(order.inputs), key, journal, tell)
        if order.detach:
            return Ended("detached", job.id)
        try:
            job = _listed(client, job, model, tell)
            flow = Flow(tell, job.progress.images, order.spec)
            arrivals = Arrivals(client.connection, job.id, place, {}, ())
            for record in arrivals.records(tell):
                flow.finished(record)
            job = arrivals.job or job
            if job.problem:
                raise as_error(job.problem)
            Fetcher(client.connection, job.id, place).summaries()
        except StoppedError:
            tell(way_back(client, job.id))
            return Ended("stopped", job.id)
        journal.ended()
        run = load_run_record(place)
        if run is not None:
            # run.json of a very large job leaves out most of them.
            images = tuple(sorted(flow.records, key=lambda image: image.image))
            tell(RunFinished(run.model_copy(update={"images": images}), already_done=0))
        return _ended(job)


def run_into_bucket(order: Order, client: Client, tell: Tell) -> Ended:
    """Segment on a server, which writes the results to an address. Raises as `run_there`."""
    model, key = model_there(client, order)
    asked = repr((client.connection.server.url, [absolute(given) for given in order.inputs], order.out))
    journal = Journal(cache_folder() / "orders" / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.jsonl")
    job = job_for(client, order, pack(order.inputs), key, journal, tell, out=order.out)
    if order.detach:
        return Ended("detached", job.id)
    try:
        job = _listed(client, job, model, tell)
        for seen in watched(client.connection, job.id, tell):
            tell(JobSeen(seen))
            job = seen
    except StoppedError:
        tell(way_back(client, job.id))
        return Ended("stopped", job.id)
    journal.ended()
    if job.problem:
        raise as_error(job.problem)
    progress = job.progress
    cells = "" if order.spec.top else f", {progress.objects} cells"
    counts = f"{progress.images_done} of {progress.images} images{cells}"
    tell(Remark(f"{'Cancelled' if job.state == 'cancelled' else 'Done'}: {counts}. Results in {order.out}"))
    return _ended(job)


def _listed(client: Client, job: Job, model: ModelInfo, tell: Tell) -> Job:
    """Wait until it is known how many images there are, and tell that."""
    for seen in watched(client.connection, job.id, tell):
        if seen.progress.listed or has_ended(seen):
            job = seen
            break
    shown = f"{model.name} {model.version}"
    tell(RunStarted(job.progress.images, 0, (), shown, "", 0, client.connection.name))
    return job


def _ended(job: Job) -> Ended:
    if job.state == "cancelled":
        return Ended("stopped", job.id)
    return Ended("some failed" if job.state == "failed" else "done", job.id)
