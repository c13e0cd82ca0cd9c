"""``failures.csv``: the images of a run that failed, one row each, for people and scripts. Made from the records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from cellfleet.results.atomic import write_bytes
from cellfleet.spec.record import ImageRecord

_HEADER = ("image", "code", "what", "action")


def write_failures(path: Path, images: Iterable[ImageRecord]) -> int:
    """Write the failed ones of `images`; return how many there are.

    Written anew at the end of every run, with the header alone when nothing failed: an old list would lie, a missing
    file would leave a script guessing. Raises `OutputError`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    failed = [record for record in images if record.error is not None]
    writer.writerows((r.image, r.error.code, r.error.what, r.error.action) for r in failed if r.error is not None)
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))
    return len(failed)
