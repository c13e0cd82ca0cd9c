"""What a zip of 100 images costs in requests and bytes, through the kiosk's routes and a bucket, with kiosk-client.

    python -m benchmarks.kiosk.run [--images 100] [--side 860]

A real S3 server (moto) stands behind a proxy that counts every request; the client is the original's own, unchanged
(`make .venv-kiosk/.made`). Images are 16-bit TIFF of about 1.5 MB, as those of the original's measurements, stored in
the zip without compression; the model is `otsu`, which changes nothing of what is moved. What the original moves is
counted in docs/reference/kiosk.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.common import Bar, save, table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.kiosk_counts import Counted, count
from tests.servers import moto_server
from tests.traffic import Moved

KINDS = {
    "uploads/": "the zip",
    "_labels.tif": "label images",
    "_cells.csv": "tables",
    "thumbnails/": "pictures for the report",
    "records/": "records",
    "failed/": "records of failures, looked for",
    "report.html": "the report",
}
"""Part of the names of objects → what they are."""


def main() -> int:
    """Count and report."""
    parser = argparse.ArgumentParser(description="Requests and bytes for a zip of images through the kiosk's routes.")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--side", type=int, default=860, help="px; 860 are 1.5 MB")
    parser.add_argument("--quick", action="store_true", help="10 images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder, moto_server() as server:
        report(count(Path(folder), server.endpoint, 10 if given.quick else given.images, given.side))
    return 0


def report(counted: Counted) -> None:
    """Write the tables."""
    rows = [_row(what, [moved for moved in counted.requests if kind in moved.path]) for kind, what in KINDS.items()]
    rest = [moved for moved in counted.requests if not any(kind in moved.path for kind in KINDS)]
    rows += [_row("all else", rest), _row("together", counted.requests)]
    per_image = len(counted.requests) / counted.images
    bars = [
        Bar("bytes to and from the bucket per byte of input", 4, 3, counted.moved, "×", at_least=False),
        Bar("the same with the client's (the original: 26 ×)", 6, 4, counted.moved_with_client, "×", at_least=False),
        Bar("requests of the bucket per image", 15, 8, per_image, "", at_least=False),
    ]
    notes = [
        f"{counted.images} images of {counted.input_bytes / counted.images / 1e6:.2f} MB in a zip without compression; "
        "model otsu, one worker, moto, kiosk-client 0.8.4.",
        "The original moves 202 objects up and 202 down for 100 images, and 26 bytes for each byte of input, by the "
        "constants of its makers. Its count leaves out listings and requests that set permissions; ours is every "
        "request of the bucket, for tables, pictures and records too, which the original does not make.",
    ]
    details = {
        "images": counted.images,
        "input_bytes": counted.input_bytes,
        "result_bytes": counted.result_bytes,
        "methods": Counter(moved.method for moved in counted.requests),
        "kinds": {row[0]: row[1:] for row in rows},
    }
    save("kiosk", bars, details, notes, table(["objects", "writing", "reading", "MB up", "MB down"], rows))


def _row(what: str, requests: list[Moved]) -> list[str]:
    reads = sum(moved.method in {"GET", "HEAD"} for moved in requests)
    up, down = sum(moved.up for moved in requests) / 1e6, sum(moved.down for moved in requests) / 1e6
    return [what, str(len(requests) - reads), str(reads), f"{up:.1f}", f"{down:.1f}"]


if __name__ == "__main__":
    sys.exit(main())
