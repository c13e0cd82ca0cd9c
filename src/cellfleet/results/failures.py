"""``failures.csv``: the images of a run that failed, one row each, for people and scripts. Made from the records."""

from __future__ import annotations

from collections.abc import Iterable

from cellfleet.results.tables import csv_line
from cellfleet.spec.record import ImageRecord
from cellfleet.stores.place import Place

_HEADER = ("image", "code", "what", "action")


def write_failures(out: Place, images: Iterable[ImageRecord]) -> None:
    """Write ``failures.csv``: the failed ones of `images`.

    Written anew at the end of every run, with the header alone when nothing failed: an old list would lie, a missing
    file would leave a script guessing. Raises `OutputError`.
    """
    failed = [(record.image, record.error) for record in images if record.error is not None]
    lines = [csv_line(_HEADER), *(csv_line((image, e.code, e.what, e.action)) for image, e in failed)]
    out.write("failures.csv", "".join(lines).encode())
