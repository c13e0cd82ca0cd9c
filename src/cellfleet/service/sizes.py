"""What the results of a job weigh, by format: measured on some of its images, so that it is told at once.

Knows no HTTP.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

from cellfleet.jobs.desk import Desk
from cellfleet.results.formats import format_of
from cellfleet.service.zip import names_of
from cellfleet.spec.downloads import FormatSize, Sizes
from cellfleet.spec.http import Job
from cellfleet.stores.place import Place

MOST_LOOKED_AT: Final = 16
"""Images; of more, so many are looked at, at equal distances."""
_MOST_FILES: Final = 256
"""Of one format of one image; the others of a larger OME-Zarr are taken to be as large as these."""
_ASKED_AT_ONCE: Final = 8


def sizes_of(desk: Desk, job: Job, named: str = "") -> Sizes:
    """Return what the results of a job weigh; with `named`, of the images that have this in their name.

    Raises:
        JobError, OutputError: As `Desk.names` and the place of the results.
    """
    numbers = [number for number, _ in desk.names(job.id, named=named)]
    step = max(1, -(-len(numbers) // MOST_LOOKED_AT))
    place = desk.results(job.id)
    found = (image for number in numbers[::step] for image in islice(desk.images(job.id, start=number), 1))
    outputs = [image.record.outputs for image in found if image.record and image.record.status == "done"]
    images = len(numbers) if named else job.progress.images_done
    sums: Counter[str] = Counter()
    with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="sizes") as pool:
        for of_image in outputs:
            for form, first in of_image.items():
                sums[format_of(form)] += _size(pool, place, form, first)
    factor = images / max(1, len(outputs))
    formats = tuple(FormatSize(format=form, bytes=round(sums[form] * factor)) for form in job.formats)
    return Sizes(images=images, looked_at=len(outputs), formats=formats)


def _size(pool: ThreadPoolExecutor, place: Place, form: str, first: str) -> int:
    """Return the size of the files of a format of one image, bytes."""
    names = list(names_of(place, form, first))
    looked_at = names[:: max(1, len(names) // _MOST_FILES)]
    return round(sum(size or 0 for size in pool.map(place.size, looked_at)) * len(names) / max(1, len(looked_at)))
