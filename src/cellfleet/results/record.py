"""Records of a run as JSON files beside its results. Knows the folder's layout; decides nothing.

``OUT/.cellfleet/records/<hash>.json`` holds one `ImageRecord` per image, ``OUT/.cellfleet/thumbnails/<hash>.jpg`` its
picture, ``OUT/run.json`` the `RunRecord` with all of them. The hash is of the image's name, which may hold characters
that a file name may not.
"""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ValidationError

from cellfleet.spec.record import ImageRecord, RunRecord
from cellfleet.stores.place import Place

FOLDER = ".cellfleet"
"""Where a run keeps what is its own."""
RUN = "run.json"
_READ_AT_ONCE = 16


def record_name(image: str) -> str:
    """Return the name of the record of the image of this name."""
    return f"{FOLDER}/records/{hashed(image)}.json"


def thumbnail_name(image: str) -> str:
    """Return the name of the picture of the image of this name."""
    return f"{FOLDER}/thumbnails/{hashed(image)}.jpg"


def parts_folder(image: str) -> str:
    """Return where blocks of the image of this name are kept until it is done."""
    return f"{FOLDER}/parts/{hashed(image)}"


def failure_name(image: str) -> str:
    """Return where a job's worker says that the image of this name has failed: a name of its own, so that nobody who
    comes too late takes the place of a result.
    """
    return f"{FOLDER}/failed/{hashed(image)}.json"


def stitching_name(image: str) -> str:
    """Return where stands which task puts a shared image together."""
    return f"{FOLDER}/stitching/{hashed(image)}"


def trial_name(image: str) -> str:
    """Return where a worker says that it is about to try an image at which it may end."""
    return f"{FOLDER}/trials/{hashed(image)}"


def load_record(out: Place, image: str) -> ImageRecord | None:
    """Return the record of one image of a job: of its result, else of its last failure; None where there is neither."""
    found = None
    for name in (record_name(image), failure_name(image)):
        with contextlib.suppress(ValidationError):
            found = ImageRecord.model_validate_json(out.read(name) or b"")
        if found is not None and found.status == "done":
            break
    return found


def write_image_record(out: Place, record: ImageRecord) -> None:
    """Write the record of one image, last of all its files: it says that they are there. Raises `OutputError`."""
    out.write(record_name(record.image), as_json(record))


def write_run_record(out: Place, run: RunRecord, name: str = RUN) -> None:
    """Write ``run.json``. Raises `OutputError`."""
    out.write(name, as_json(run))


def load_records(out: Place) -> dict[str, ImageRecord]:
    """Read all image records of an output folder, by name. A damaged one is left out: its image is done again."""
    records = {}
    names = list(out.names(f"{FOLDER}/records"))
    # A bucket answers many requests at a time, each slowly.
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        for name, content in zip(names, pool.map(out.read, names), strict=True):
            with contextlib.suppress(ValidationError):
                record = ImageRecord.model_validate_json(content or b"")
                if name == record_name(record.image):
                    records[record.image] = record
    return records


def load_run_record(out: Place, name: str = RUN) -> RunRecord | None:
    """Read ``run.json``; None where there is none or it cannot be used: it is only made from the records."""
    try:
        return RunRecord.model_validate_json(out.read(name) or b"")
    except ValidationError:
        return None


def hashed(image: str) -> str:
    """Return what stands for an image's name in names of files."""
    return hashlib.sha256(image.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def as_json(record: BaseModel) -> bytes:
    """Return the record as the content of its file."""
    return (record.model_dump_json(indent=1) + "\n").encode()
