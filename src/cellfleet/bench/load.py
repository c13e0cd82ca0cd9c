"""The load generator of the DeepCell Kiosk's paper: zips of images at a set rate, each segmented as a job of a server.

Bannon et al. 2021, Fig. 2a and S2–S4: for every image the seconds of transfer, of waiting for inference and of
post-processing. Here they are those of its record and its share of the upload (docs/reference/load.md).
Knows no figure.
"""

from __future__ import annotations

import io
import re
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from cellfleet.client.client import Client
from cellfleet.client.job import RemoteJob
from cellfleet.errors import JobError
from cellfleet.planning.prices import Quote
from cellfleet.spec.http import JobRequest
from cellfleet.spec.record import ImageRecord
from cellfleet.spec.segment import SegmentSpec
from cellfleet.spec.usage import Bill

IMAGES_PER_ZIP: Final = 100
_LOOK_SECONDS: Final = 1.0
"""Between two looks at how many workers there are."""
_WORKERS: Final = re.compile(r"^cellfleet_workers(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What a server is asked to bear."""

    image: bytes
    """Content of the file that every member of the zips is."""
    file_name: str
    zips: int
    every_seconds: float
    """From the start of one upload to that of the next; when the former is slower, they go on beside each other."""
    model: str = "nuclei"
    images_per_zip: int = IMAGES_PER_ZIP

    @property
    def images(self) -> int:
        """Of all zips."""
        return self.zips * self.images_per_zip


@dataclass(frozen=True)
class ImageTimes:
    """Where the time of one image went, seconds."""

    zip: int
    image: str
    transfer: float
    """Its share of the upload of its zip, reading it from the store, and writing its results."""
    inference: float
    """In the network, and waiting for it."""
    postprocessing: float


@dataclass(frozen=True)
class LoadRun:
    """One repeat."""

    seconds: float
    """From the beginning of the first upload to the end of the last job."""
    upload_seconds: float
    """Summed over zips, which may be under way beside each other."""
    sent_bytes: int
    times: tuple[ImageTimes, ...]
    workers: tuple[tuple[float, float], ...]
    """(seconds since the beginning, workers that run)."""
    machine_seconds: float
    """That workers were busy, according to the bills."""
    usd: float | None
    """None: nobody knows the price of the machines."""

    @property
    def throughput(self) -> float:
        """Images a second."""
        return len(self.times) / self.seconds


def run_load(client: Client, load: Load, quote: Quote | None = None) -> LoadRun:
    """Bring a load to a server and wait until all is done; then remove it there.

    Args:
        client: Of the server.
        load: What to bring.
        quote: Prices the seconds of machines whose type the server does not know; None: they have no price.

    Raises:
        JobError: E772, images failed; the job is kept.
        CellfleetError: As `Client`.
    """
    with tempfile.TemporaryDirectory(prefix="cellfleet-load-") as folder:
        paths = [Path(folder) / f"load-{number:04}.zip" for number in range(load.zips)]
        for number, path in enumerate(paths):
            path.write_bytes(zip_of(load, number))
        began = time.monotonic()
        with ThreadPoolExecutor(load.zips) as pool, _watching(client, began) as workers:

            def bring(number: int) -> tuple[RemoteJob, float]:
                time.sleep(max(0.0, began + number * load.every_seconds - time.monotonic()))
                started = time.monotonic()
                inputs = client.upload(paths[number])
                uploaded = time.monotonic() - started
                request = JobRequest(
                    name=paths[number].name,
                    inputs=inputs,
                    segment=SegmentSpec(model=load.model),
                    formats=("labels-tiff",),
                )
                return client.submit(request).wait(), uploaded

            jobs = list(pool.map(bring, range(load.zips)))
            ended = time.monotonic()
        sent = sum(path.stat().st_size for path in paths)
    times = [one for number, (job, uploaded) in enumerate(jobs) for one in _times(number, job, uploaded)]
    bills = [job.bill() for job, _ in jobs]
    for job, _ in jobs:
        job.delete(uploads=True)
    return LoadRun(
        seconds=ended - began,
        upload_seconds=sum(uploaded for _, uploaded in jobs),
        sent_bytes=sent,
        times=tuple(times),
        workers=tuple(workers),
        machine_seconds=sum(line.seconds for bill in bills for line in bill.lines),
        usd=cost_of(bills, quote),
    )


def zip_of(load: Load, number: int) -> bytes:
    """Return a zip of copies of the image, stored as they are: packing them would take the generator's time."""
    content, name = io.BytesIO(), PurePath(load.file_name)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for image in range(load.images_per_zip):
            stem, suffixes = name.name.partition(".")[0], "".join(name.suffixes)
            archive.writestr(f"{stem}_{number:04}_{image:04}{suffixes}", load.image)
    return content.getvalue()


def times_of(record: ImageRecord, number: int, upload_share: float) -> ImageTimes:
    """Return where the time of an image went."""
    seconds, waiting = record.seconds, record.waiting_seconds
    return ImageTimes(
        zip=number,
        image=record.image,
        transfer=upload_share + seconds.get("read", 0.0) + seconds.get("write", 0.0),
        inference=seconds.get("predict", 0.0) + waiting.get("predict", 0.0),
        postprocessing=seconds.get("postprocess", 0.0),
    )


def cost_of(bills: Sequence[Bill], quote: Quote | None) -> float | None:
    """Return what jobs cost by their bills, USD; seconds without a price by the quote. None: some have neither."""
    if all(bill.usd is not None for bill in bills):
        return sum(bill.usd or 0.0 for bill in bills)
    if quote is None:
        return None
    lines = [line for bill in bills for line in bill.lines]
    machines = sum(quote.on_demand * line.seconds / 3600 if line.usd is None else line.usd for line in lines)
    return machines + sum(bill.requests_usd or 0.0 for bill in bills)


def workers_told(page: str) -> float:
    """Return how many workers run, according to a page of metrics."""
    return sum(float(value) for value in _WORKERS.findall(page))


def _times(number: int, job: RemoteJob, uploaded: float) -> list[ImageTimes]:
    images = list(job.images())
    records = [image.record for image in images if image.record is not None and image.record.status == "done"]
    if not images or len(records) < len(images):
        raise JobError(
            "E772",
            f"{len(images) - len(records)} of {len(images)} images did not become results",
            where=job.id,
            action=f"'cellfleet jobs show {job.id}' tells why",
        )
    return [times_of(record, number, uploaded / len(images)) for record in records]


@contextmanager
def _watching(client: Client, began: float) -> Iterator[list[tuple[float, float]]]:
    """Note how many workers run, while the block does."""
    seen: list[tuple[float, float]] = []
    over = threading.Event()

    def look() -> None:
        while True:
            page = client.connection.send("GET", "/metrics").text
            seen.append((time.monotonic() - began, workers_told(page)))
            if over.wait(_LOOK_SECONDS):
                return

    with ThreadPoolExecutor(1, thread_name_prefix="workers") as pool:
        looking = pool.submit(look)
        try:
            yield seen
        finally:
            over.set()
        looking.result()
