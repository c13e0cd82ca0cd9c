"""One image of a run from its file to its record. The record is written last: it makes the image done.

Whatever goes wrong with one image ends in its record, so that the others go on; only a full disk and a stop end the
run. The one broad catch of a run is here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellfleet.crash import save_traceback
from cellfleet.errors import CellfleetError, InputError, Notice
from cellfleet.images.read import check_file, open_image
from cellfleet.models import LoadedModel
from cellfleet.results.atomic import replacing, write_bytes
from cellfleet.results.formats import write
from cellfleet.results.labelled import ArrayLabels, ArrayRows, Labelled
from cellfleet.results.picture import outline_picture
from cellfleet.results.record import record_path, thumbnail_path, write_image_record
from cellfleet.results.tables import portable_text
from cellfleet.run.fingerprint import fingerprint
from cellfleet.run.plan import Task
from cellfleet.run.resources import MemoryBudget, not_enough_memory
from cellfleet.run.segment_image import Clock, Segmented, needed_bytes, segment_image
from cellfleet.spec.choices import Format
from cellfleet.spec.record import ImageRecord, InputFile, Told
from cellfleet.spec.segment import SegmentSpec

DISK_FULL = "E301"


class StoppedError(Exception):
    """The user asked to stop; the image under way is left as if never begun."""


@dataclass(frozen=True)
class Work:
    """What all images of a run share."""

    out: Path
    spec: SegmentSpec
    key: str
    model: LoadedModel
    budget: MemoryBudget
    stop: threading.Event = field(default_factory=threading.Event)

    def checkpoint(self) -> None:
        """Raise `StoppedError` once a stop was asked for."""
        if self.stop.is_set():
            raise StoppedError


def process(task: Task, work: Work) -> ImageRecord:
    """Segment one image, write its results, then its record.

    Raises:
        StoppedError: Before anything of this image has been recorded.
        OutputError: E301, the disk is full: no other image would fare better.
    """
    work.checkpoint()
    _remove(work.out, task.stale)
    record_path(work.out, task.name).unlink(missing_ok=True)
    record = _attempt(task, work)
    if record.status == "failed":
        # Results of an earlier content of the file would look like those of this one.
        _remove(work.out, task.outputs.values())
    write_image_record(work.out, record)
    return record


def _remove(out: Path, paths: Iterable[str]) -> None:
    for path in paths:
        # What cannot be removed is a folder, or a file that Excel holds open.
        with contextlib.suppress(OSError):
            (out / path).unlink()


def _attempt(task: Task, work: Work) -> ImageRecord:
    try:
        return _segment_and_write(task, work)
    except StoppedError:
        raise
    except CellfleetError as error:
        if error.code == DISK_FULL:
            raise
        return _failed(task, work, error)
    except MemoryError as error:
        return _failed(task, work, not_enough_memory(str(error) or "an array could not be made"))
    except OSError as error:
        return _failed(task, work, InputError("E511", f"cannot be read ({error.strerror or error})", action=_LOOK))
    except Exception as error:  # noqa: BLE001 (the task boundary: an unforeseen fault of one image must not stop the rest)
        return _failed(task, work, _bug(error))


_LOOK = "Check that the file is still there and that you may read it, then run again"


def _segment_and_write(task: Task, work: Work) -> ImageRecord:
    clock = Clock()
    with clock.stage("read"):
        check_file(task.source, task.name)
        source = fingerprint(task.source, portable_text(str(task.source.absolute())))
        image = open_image(task.source, name=task.name, axes=work.spec.axes)
    with work.budget.hold(needed_bytes(image)):
        work.checkpoint()
        found = segment_image(image, work.spec, work.model, checkpoint=work.checkpoint)
        clock.add(found)
        with clock.stage("write"):
            told = write_results(work.out, task.name, task.outputs, found, model=work.model)
            thumbnail = thumbnail_path(work.out, task.name)
            write_bytes(thumbnail, outline_picture(found.shown_pixels, found.contrast, found.shown_labels))
    diameters = found.diameters_px
    return ImageRecord(
        image=task.name,
        status="done",
        key=work.key,
        input=source,
        outputs={**task.outputs, **task.kept},
        axes=image.axes,
        shape=image.shape,
        dtype=str(image.dtype),
        channel_names=tuple(map(portable_text, image.channel_names)),
        channels_used={role: tuple(c + 1 for c in channels) for role, channels in found.channels_used.items()},
        microns_per_pixel=found.microns_per_pixel,
        microns_per_pixel_source=found.microns_per_pixel_source,
        contrast=tuple((float(low), float(high)) for low, high in found.contrast),
        scale=found.scale,
        objects=len(diameters),
        median_diameter_px=float(np.median(diameters)) if len(diameters) else None,
        diameter_histogram=_histogram(diameters),
        thumbnail=thumbnail.relative_to(work.out).as_posix(),
        notices=tuple(_told(notice, task.name) for notice in (*found.notices, *told)),
        seconds=dict(clock.seconds),
        cpu_seconds=dict(clock.cpu_seconds),
    )


def write_results(
    out: Path, name: str, outputs: dict[Format, str], found: Segmented, *, model: LoadedModel
) -> tuple[Notice, ...]:
    """Write the result files of one image under `out`, in the order of `outputs`; return what there is to tell.

    Raises:
        OutputError: E301–E308.
    """
    result = Labelled(
        name=name,
        labels=ArrayLabels(found.labels, found.axes, len(found.columns["label"])),
        rows=ArrayRows(found.columns),
        key="",
        model=f"{model.manifest.name}:{model.manifest.version}",
        microns_per_pixel=found.microns_per_pixel,
    )
    notices: tuple[Notice, ...] = ()
    for form, path in outputs.items():
        with replacing(out / path) as temporary:
            notices += write(form, [temporary], result)
    return notices


def _histogram(diameters: NDArray[np.float64]) -> dict[str, list[float]]:
    if not len(diameters):
        return {}
    # One bin per pixel up to 64 bins: equal bins in all images of a run can be added up by the report.
    width = max(1.0, np.ceil(diameters.max() / 64))
    edges = np.arange(0, diameters.max() + 2 * width, width)
    counts, _ = np.histogram(diameters, edges)
    return {"edges": edges.tolist(), "counts": counts.astype(float).tolist()}


def _told(notice: Notice, image: str) -> Told:
    return Told(code=notice.code, what=portable_text(notice.text), where=image)


def _failed(task: Task, work: Work, error: CellfleetError) -> ImageRecord:
    return ImageRecord(
        image=task.name,
        status="failed",
        key=work.key,
        input=_identity(task.source),
        error=Told(
            code=error.code,
            what=portable_text(error.what),
            where=portable_text(error.where) or task.name,
            action=portable_text(error.action),
        ),
    )


def _identity(path: Path) -> InputFile | None:
    try:
        return fingerprint(path, portable_text(str(path.absolute())))
    except OSError:
        return None


def _bug(error: Exception) -> CellfleetError:
    return CellfleetError(
        "E599",
        f"this is a bug in cellfleet ({type(error).__name__}: {error})",
        action=f"Please report it with the file {save_traceback(error)}",
    )
