"""Jobs and workers for tests of a ledger that is made of files in a store."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.ends import agreed_lease, submitted
from cellfleet.jobs.manifest import write_manifest
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import Done, Failed, ImageRef, JobSpec, Outcome, PinnedModel, Tally, Task
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import Place

LEASE = 0.4
JOB = "260101-fleet"


def submit(store: Place, tasks: int, *, job: str = JOB, max_attempts: int = 3, lease: float = LEASE) -> None:
    agreed_lease(store, lease)
    model = PinnedModel(name="otsu", version="1", sha256="0" * 64)
    spec = JobSpec(id=job, model=model, segment=SegmentSpec(), results=f"results/{job}", max_attempts=max_attempts)
    image = ImageRef(path="a.tif", name="a", stem="a")
    write_manifest(store, spec, (Task(job=job, number=n, first_image=n, images=(image,)) for n in range(tasks)))
    submitted(store, job)


def ledger(store: Place, summarise: Callable[[StoreLedger, str], None] = lambda ledger, job: None) -> StoreLedger:
    return StoreLedger(store, summarise=summarise, lease_seconds=LEASE, look_seconds=0.05)


def crew(store: Place, run: Callable[[Task, int, Callable[[], None]], Outcome], **more: object) -> threading.Thread:
    """Work in a thread until there is nothing to do for a while."""
    mine = ledger(store, **more)  # type: ignore[arg-type]
    patience = Patience(idle=4 * LEASE)
    thread = threading.Thread(target=work, args=(mine, run), kwargs={"stop": threading.Event(), "patience": patience})
    thread.start()
    return thread


def one_object(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
    return Done(tally=Tally(images=1, objects=1))


def broken(task: Task, attempt: int, alive: Callable[[], None]) -> Outcome:
    return Failed(code="E102", reason="no image", final=True)
