"""Finished results in further formats, from the labels and tables that stand there: nothing is segmented again.

What is exported is recorded as if the run had written it, so a repeated export skips it and a later run keeps it.
Knows no screen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cellfleet.errors import CellfleetError, InputError, Notice, UsageError
from cellfleet.results import formats
from cellfleet.results.labelled import Labelled, Objects
from cellfleet.results.record import load_records, load_run_record, write_image_record, write_run_record
from cellfleet.results.reread import LABEL_FORMATS, TABLE_FORMATS, open_labels, open_rows
from cellfleet.results.tables import portable_text
from cellfleet.run import summary
from cellfleet.run.events import ImageFinished, Tell
from cellfleet.run.names import all_files, is_tree, output_names
from cellfleet.run.plan import recorded_files
from cellfleet.run.process import DISK_FULL, write_format
from cellfleet.spec.choices import Format, Output
from cellfleet.spec.record import ImageRecord, RunRecord, Told
from cellfleet.stores.place import FolderPlace, Place, open_place
from cellfleet.stores.remote import open_remote
from cellfleet.stores.url import child


@dataclass(frozen=True)
class Exported:
    """What an export did."""

    images: int
    """Images of the run that have labels."""
    already_done: int
    """Those of them that needed no work."""
    failed: int
    stopped: bool
    """Whether it ended before the last image."""


@dataclass(frozen=True)
class _Export:
    """What all images of an export share."""

    source: Place
    target: Place
    run: RunRecord
    formats: tuple[Format, ...]
    overwrite: bool
    known: dict[str, ImageRecord]
    """What is recorded in `target`, by image."""

    def to_do(self, record: ImageRecord) -> dict[Output, str]:
        """Return what an image still needs: output → its first file, or its folder."""
        wanted = output_names(_stem(record), self.formats, nuclei=record.nuclei is not None)
        known = self.known.get(record.image)
        if self.overwrite or known is None or (known.key, known.input) != (record.key, record.input):
            return wanted
        return {
            form: first
            for form, first in wanted.items()
            if known.outputs.get(form) != first or not self._stands(form, first)
        }

    def _stands(self, form: Output, first: str) -> bool:
        if is_tree(form):
            return any(True for _ in self.target.names(first))
        return all(map(self.target.exists, all_files(form, first)))


def export(
    results: str | Path,
    forms: Sequence[Format],
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    tell: Tell = lambda event: None,
    stop: threading.Event | None = None,
) -> Exported:
    """Write the results of a finished run in further formats.

    Args:
        results: Folder or bucket address that was given to `segment` as output.
        forms: What to write.
        out: Where; None: beside the other results.
        overwrite: Write again what is there.
        tell: Called with an `ImageFinished` for every image that needed work.
        stop: Set it to stop between two files.

    Raises:
        InputError: E040–E042, there is nothing to export, or nothing to export from.
        UsageError: E044, `out` holds results of another run; E033, or files that are not ours.
        OutputError: The place cannot be written, the disk is full, or E332, a library is missing.
    """
    formats.require_libraries(forms)
    source = open_place(results)
    target = source if out is None else open_place(out)
    run, records = _finished(source)
    with target.lock():
        target.sweep()
        work = _Export(source, target, run, tuple(forms), overwrite, load_records(target))
        if target != source:
            _take_over(work, records)
        return _work_off(work, records, tell, stop or threading.Event())


def _finished(source: Place) -> tuple[RunRecord, list[ImageRecord]]:
    """Return the run and its images that have labels."""
    run = load_run_record(source)
    if run is None:
        what = "there are no results of cellfleet segment here (run.json is missing or damaged)"
        raise InputError("E040", what, where=source.url, action="Give the folder that segment wrote with -o")
    known = load_records(source)
    records = [record for _, record in sorted(known.items()) if record.status == "done"]
    if not records:
        action = "Run cellfleet segment until images are done"
        raise InputError("E041", "no image of this run is done", where=source.url, action=action)
    for record in records:
        for kind, known_forms in (("label image", LABEL_FORMATS), ("table", TABLE_FORMATS)):
            if not set(known_forms) & record.outputs.keys():
                what = f"the results have no {kind} ({' or '.join(known_forms)}) to export from"
                action = f"Run the same segment command with --format {known_forms[-1]}"
                raise InputError("E042", what, where=record.image, action=action)
    return run, records


def _take_over(work: _Export, records: Sequence[ImageRecord]) -> None:
    """Make another place one of results of this run, unless it is something else."""
    before = load_run_record(work.target)
    if not work.overwrite and before is not None and before.key != work.run.key:
        what = f"holds results of another run ({before.command})"
        action = "Choose another folder with -o, or replace them with --overwrite"
        raise UsageError("E044", what, where=work.target.url, action=action)
    if not work.overwrite and before is None:
        for first in (first for record in records for first in work.to_do(record).values()):
            if work.target.exists(first):
                raise UsageError(
                    "E033",
                    "exists and was not made by cellfleet in this folder",
                    where=child(work.target.url, first),
                    action="Choose another folder with -o, or replace it with --overwrite",
                )
    write_run_record(work.target, work.run.model_copy(update={"images": ()}))


def _work_off(work: _Export, records: Sequence[ImageRecord], tell: Tell, stop: threading.Event) -> Exported:
    todo = [(record, forms) for record in records if (forms := work.to_do(record))]
    began, done, failed, objects = time.perf_counter(), 0, 0, 0
    try:
        for record, forms in todo:
            finished = _one(work, record, forms, stop)
            if finished is None:
                break
            done, failed = done + 1, failed + (finished.status == "failed")
            objects += finished.objects
            tell(ImageFinished(finished, done, failed, len(todo), objects, time.perf_counter() - began))
    finally:
        images = tuple(sorted(load_records(work.target).values(), key=lambda image: image.image))
        summary.write_summary(work.target, work.run.model_copy(update={"images": images}))
    return Exported(len(records), len(records) - len(todo), failed, stopped=done < len(todo))


def _one(work: _Export, record: ImageRecord, forms: dict[Output, str], stop: threading.Event) -> ImageRecord | None:
    """Export one image; None after a stop. The record that is returned tells what happened now, not before."""
    written, told = _before(work, record), []
    try:
        result = _labelled(work, record)
        for form, first in forms.items():
            if stop.is_set():
                return None
            notices = [_told(notice, record.image) for notice in write_format(work.target, form, first, result)]
            told += notices
            new = tuple(notice for notice in notices if notice not in written.notices)
            outputs = {**written.outputs, form: first}
            written = written.model_copy(update={"outputs": outputs, "notices": (*written.notices, *new)})
            write_image_record(work.target, written)
    except CellfleetError as error:
        if error.code == DISK_FULL:
            raise
        return record.model_copy(update={"status": "failed", "notices": tuple(told), "error": _failure(error, record)})
    return written.model_copy(update={"notices": tuple(told)})


def _before(work: _Export, record: ImageRecord) -> ImageRecord:
    """Return what is recorded of an image in the target; what stands there of another content goes."""
    known = work.known.get(record.image)
    if known is not None and (known.key, known.input) == (record.key, record.input):
        return known
    for name in recorded_files(known.outputs if known else {}):
        work.target.remove(name)
    thumbnail = work.source.read(record.thumbnail) if record.thumbnail else None
    if thumbnail:
        work.target.write(record.thumbnail, thumbnail)
    return record.model_copy(update={"outputs": {}})


def _labelled(work: _Export, record: ImageRecord) -> Labelled:
    label_form, table_form = (
        next(form for form in forms if form in record.outputs) for forms in (LABEL_FORMATS, TABLE_FORMATS)
    )
    asked = work.run.spec.compartment
    cells = _objects(work, record, label_form, table_form)
    return Labelled(
        name=record.image,
        labels=cells.labels,
        rows=cells.rows,
        key=record.key,
        model=f"{work.run.model.name}:{work.run.model.version}",
        compartment=asked if asked == "nuclear" else work.run.manifest.get("compartment", "nuclear"),
        microns_per_pixel=record.microns_per_pixel,
        source=record.input.path if record.input else "",
        nuclei=_objects(work, record, label_form, table_form, nuclei=True) if record.nuclei else None,
    )


def _objects(
    work: _Export, record: ImageRecord, label_form: Format, table_form: Format, *, nuclei: bool = False
) -> Objects:
    """Open the labels and the table of the objects, or of their nuclei."""
    outputs = [(formats.nuclei_output(form) if nuclei else form) or form for form in (label_form, table_form)]
    labels, table = (record.outputs.get(output, output) for output in outputs)
    for name in (labels, table):
        if not work.source.exists(name):
            action = "Run cellfleet segment again: what is missing is done anew"
            raise InputError("E043", f"the result {name} that was there is gone", where=record.image, action=action)
    return Objects(
        open_labels(label_form, _address(work.source, labels), record, nuclei=nuclei),
        open_rows(table_form, lambda: _opened(work.source, table), record, nuclei=nuclei),
    )


def _address(place: Place, name: str) -> str:
    return str(place.local(name)) if isinstance(place, FolderPlace) else child(place.url, name)


def _opened(place: Place, name: str) -> BinaryIO:
    return open(place.local(name), "rb") if isinstance(place, FolderPlace) else open_remote(child(place.url, name))


def _stem(record: ImageRecord) -> str:
    """Return what the names of the image's results begin with."""
    form = next(form for form in LABEL_FORMATS if form in record.outputs)
    return record.outputs[form].removesuffix(formats.outputs_of(form)[0].rstrip("/"))


def _told(notice: Notice, image: str) -> Told:
    return Told(code=notice.code, what=portable_text(notice.text), where=image)


def _failure(error: CellfleetError, record: ImageRecord) -> Told:
    return Told(
        code=error.code,
        what=portable_text(error.what),
        where=portable_text(error.where) or record.image,
        action=portable_text(error.action),
    )
