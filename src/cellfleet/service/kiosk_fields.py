"""A job as clients of the DeepCell Kiosk read it: the fields that the original kept of a job in Redis, as texts.

Fields of which nothing is known here (times of the original's own steps, say) have no value; other names are no fields.
Knows no HTTP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import quote, urlencode

from cellfleet.jobs.desk import Desk
from cellfleet.service.kiosk_key import Refusal
from cellfleet.spec.http import Job

_MOST_CHILDREN: Final = 1000
"""Images that are named one by one."""
_FAILURES_BYTES: Final = 1 << 20

Status = Literal["new", "started", "predicting", "saving-results", "done", "failed"]


@dataclass(frozen=True)
class Seen:
    """A job, and where more can be read about it."""

    job: Job
    desk: Desk
    link: Callable[[Job], str]
    """Returns an address of all results, as a zip, that needs no login."""

    @cached_property
    def failures(self) -> dict[str, str]:
        """Image → why it has no result, of the first that failed."""
        if not self.job.progress.images_failed:
            return {}
        part = self.desk.results(self.job.id).read_range("failures.csv", 0, _FAILURES_BYTES)
        rows = csv.DictReader(io.StringIO(part.content.decode(errors="replace") if part else ""))
        return {row["image"]: f"{row['what']} [{row['code']}]" for row in islice(rows, _MOST_CHILDREN)}


def read_field(seen: Seen, name: str) -> str | None:
    """Return one field of a job; None where it has no value, or is none that clients may read."""
    return _FIELDS.get(name, _unknown)(seen)


def read_refusal(refusal: Refusal, name: str) -> str | None:
    """Return one field of a job that was not made: it has failed."""
    at = _iso(refusal.at_ms)
    return {"status": "failed", "reason": refusal.reason, "created_at": at, "updated_at": at, "finished_at": at}.get(
        name
    )


def status_of(job: Job) -> Status:
    """Return the original's word for the state of a job.

    A job in which some images failed is done, as there; `failures` tells of them. One without any result has failed.
    """
    progress = job.progress
    if job.state in {"queued", "paused"}:
        return "new"
    if job.state == "running":
        return "predicting" if progress.tasks_running else "started"
    if job.state == "cancelled" or job.problem is not None:
        return "failed"
    if not job.summarised:
        return "saving-results"
    return "done" if progress.images_done else "failed"


def archive_stem(job: Job) -> str:
    """Return the name of a job's zip, without .zip: no two jobs have the same, and no client has to decode it."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in PurePosixPath(job.name).stem)
    return f"{stem[:60]}_{job.id}"


def _reason(seen: Seen) -> str | None:
    job = seen.job
    if job.problem is not None:
        return f"{job.problem.what}. {job.problem.action} [{job.problem.code}]"
    if job.state == "cancelled":
        return "the job was cancelled"
    if job.state != "failed":
        return None
    reasons = [f"{image}: {why}" for image, why in islice(seen.failures.items(), 3)]
    # Where a worker was killed again and again there is no image to blame.
    reasons = reasons or [dead.reason for dead in islice(seen.desk.dead(job.id), 3)]
    return f"{job.progress.images_done} of {job.progress.images} images are done. {'; '.join(reasons)}"


def _progress(seen: Seen) -> str:
    progress = seen.job.progress
    ended = progress.images_done + progress.images_failed
    return str(100 * ended // progress.images if progress.images and progress.listed else 0)


def _total_time(seen: Seen) -> str | None:
    progress = seen.job.progress
    if progress.finished_ms is None:
        return None
    return str((progress.finished_ms - progress.submitted_ms) / 1000)


def _updated_at(seen: Seen) -> str | None:
    progress = seen.job.progress
    return _iso(progress.finished_ms or progress.started_ms or progress.submitted_ms)


def _input_file_name(seen: Seen) -> str:
    """Return the name that the upload was given: of ``set:ID/a.png``, ``uploads/ID.png``."""
    identity, _, file = seen.job.inputs[0].removeprefix("set:").partition("/")
    return uploaded_name(identity, file)


def uploaded_name(identity: str, file: str) -> str:
    """Return what clients know an upload by; its extension tells them what it is."""
    return f"uploads/{identity}{PurePosixPath(file).suffix}"


def _children(status: Literal["done", "failed"] | None) -> Callable[[Seen], str]:
    """Return what names the images of a job, each percent-encoded, so that none can hold the comma between them."""

    def names(seen: Seen) -> str:
        images = islice(seen.desk.images(seen.job.id), _MOST_CHILDREN)
        return _joined(image.image for image in images if status in {None, image.status})

    return names


def _joined(names: Iterable[str]) -> str:
    return ",".join(quote(name, safe="", errors="replace") for name in names)


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _link(seen: Seen) -> str | None:
    return seen.link(seen.job) if status_of(seen.job) == "done" else None


def _unknown(seen: Seen) -> None:
    return None


_FIELDS: Mapping[str, Callable[[Seen], str | None]] = MappingProxyType(
    {
        "status": lambda seen: status_of(seen.job),
        "progress": _progress,
        "reason": _reason,
        "failures": lambda seen: urlencode(seen.failures),
        "output_url": _link,
        "output_file_name": lambda seen: f"{archive_stem(seen.job)}.zip",
        "original_name": lambda seen: seen.job.name,
        "input_file_name": _input_file_name,
        "model_name": lambda seen: seen.job.model.name,
        "model_version": lambda seen: seen.job.model.version,
        "created_at": lambda seen: _iso(seen.job.progress.submitted_ms),
        "updated_at": _updated_at,
        "finished_at": lambda seen: _iso(seen.job.progress.finished_ms),
        "total_jobs": lambda seen: str(seen.job.progress.images),
        "total_time": _total_time,
        "children": _children(None),
        "children:done": _children("done"),
        "children:failed": _children("failed"),
    }
)
