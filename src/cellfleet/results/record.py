"""Records of a run as JSON files beside its results. Knows the folder's layout; decides nothing.

``OUT/.cellfleet/records/<hash>.json`` holds one `ImageRecord` per image, ``OUT/.cellfleet/thumbnails/<hash>.jpg`` its
picture, ``OUT/run.json`` the `RunRecord` with all of them. The hash is of the image's name, which may hold characters
that a file name may not.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cellfleet.results.atomic import write_bytes
from cellfleet.spec.record import ImageRecord, RunRecord

_FOLDER = ".cellfleet"


def record_path(out: Path, image: str) -> Path:
    """Return where the record of the image of this name stands."""
    return Path(out) / _FOLDER / "records" / f"{_hash(image)}.json"


def thumbnail_path(out: Path, image: str) -> Path:
    """Return where the thumbnail of the image of this name stands."""
    return Path(out) / _FOLDER / "thumbnails" / f"{_hash(image)}.jpg"


def write_image_record(out: Path, record: ImageRecord) -> Path:
    """Write the record of one image, last of all its files: it says that they are there. Raises `OutputError`."""
    path = record_path(out, record.image)
    write_bytes(path, _json(record))
    return path


def write_run_record(out: Path, run: RunRecord) -> Path:
    """Write ``OUT/run.json``. Raises `OutputError`."""
    path = Path(out) / "run.json"
    write_bytes(path, _json(run))
    return path


def load_records(out: Path) -> dict[str, ImageRecord]:
    """Read all image records of an output folder, by name. A damaged one is left out: its image is done again."""
    records = {}
    for path in (Path(out) / _FOLDER / "records").glob("*.json"):
        with contextlib.suppress(OSError, ValidationError):
            record = ImageRecord.model_validate_json(path.read_bytes())
            if path == record_path(out, record.image):
                records[record.image] = record
    return records


def load_run_record(out: Path) -> RunRecord | None:
    """Read ``OUT/run.json``; None where there is none or it cannot be used: it is only made from the records."""
    try:
        return RunRecord.model_validate_json((Path(out) / "run.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _hash(image: str) -> str:
    return hashlib.sha256(image.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _json(record: BaseModel) -> bytes:
    return (record.model_dump_json(indent=1) + "\n").encode()
