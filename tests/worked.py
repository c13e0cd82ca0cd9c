"""Jobs for tests of the service: images in, results out; what workers and the keeper do is done in this process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import httpx2
import numpy as np
import tifffile
from tests.services import Running
from tests.support import discs

from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.summary import summarise
from cellfleet.jobs.work import Patience, work
from cellfleet.models.warm import WarmModels
from cellfleet.service.access import User
from cellfleet.service.sets import folder_of, new_set
from cellfleet.spec.usage import Machine
from cellfleet.stores.place import Place
from cellfleet.worker.bench import Bench
from cellfleet.worker.meter import Meter
from cellfleet.worker.tasks import Runner

NAMES = ("plate/A1, field µ 🦠.tif", "plate/b.tif", "c.tif")
"""Images, in the order of a job; the first is hard on separators and encodings."""


@lru_cache(1)
def small_image() -> bytes:
    """Return a TIFF file with four objects."""
    file = io.BytesIO()
    tifffile.imwrite(file, discs())
    return file.getvalue()


def broken_image() -> bytes:
    """Return half a TIFF file."""
    return small_image()[:2000]


NOBODYS = Machine()
"""That nobody named."""


def add_set(running: Running, owner: str, images: dict[str, bytes] | Iterable[str] = NAMES) -> str:
    """Return the id of a new set of images: path → content, or only paths."""
    made = new_set(running.service, User(owner, "user"), "images")
    contents = images if isinstance(images, dict) else dict.fromkeys(images, small_image())
    for path, content in contents.items():
        running.store.write(f"{folder_of(made.id)}/{path}", content)
    return made.id


def add_job(client: httpx2.Client, set_id: str, **more: object) -> str:
    """Hand in a job over a set; return its id."""
    request = {"inputs": [f"set:{set_id}"], "segment": {"model": "otsu"}, **more}
    answer = client.post("/api/v1/jobs", json=request)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def work_off(running: Running, *, summary: bool = True, machine: Machine = NOBODYS) -> None:
    """Do all tasks of all jobs; then sum up those that have ended."""
    service = running.service
    bench = Bench(WarmModels(service.models, "cpu"), 1, None)
    work(
        service.ledger,
        runner_of(service.store, service.ledger, bench, machine),
        stop=threading.Event(),
        patience=Patience(idle=0),
    )
    bench.clear()
    for job in service.ledger.ended() if summary else ():
        bill = service.cashier.close(job)
        summarise(service.store, service.ledger, service.models, job, bill)
        service.ledger.summarised(job)


@contextmanager
def working(running: Running) -> Iterator[None]:
    """Work off what is handed in, while the block runs."""
    over = threading.Event()

    def work_on() -> None:
        while not over.wait(0.05):
            work_off(running)

    thread = threading.Thread(target=work_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def runner_of(store: Place, ledger: Ledger, bench: Bench, machine: Machine = NOBODYS) -> Runner:
    """Return what runs the tasks of a ledger, on a machine that nobody need name."""
    return Runner(store, ledger.spec, bench, Meter(store, "tests", machine))


def labels_of(content: bytes) -> np.ndarray:
    """Return the label image in a TIFF file."""
    return np.asarray(tifffile.imread(io.BytesIO(content)))
