"""One image from its file to its record. The record is written last: it makes the image done.

Whatever goes wrong with one image ends in its record, so that the others go on; only a full disk and a stop end the
run. The one broad catch of a run is here.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cellfleet import __version__
from cellfleet.crash import save_traceback
from cellfleet.errors import CellfleetError, InputError, Notice, OutputError
from cellfleet.images.identity import identify
from cellfleet.images.image import Image
from cellfleet.images.read import open_image
from cellfleet.models import AnyModel, LoadedClassifier, LoadedModel
from cellfleet.pipeline.clock import Clock
from cellfleet.results import formats
from cellfleet.results.labelled import Labelled
from cellfleet.results.ome_zarr import path_to_image
from cellfleet.results.picture import outline_picture
from cellfleet.results.record import parts_folder, record_name, thumbnail_name, write_image_record
from cellfleet.results.tables import portable_text
from cellfleet.run.classify_image import classify_image
from cellfleet.run.compartments import Nuclei
from cellfleet.run.names import all_files, is_tree
from cellfleet.run.parts import PlaceParts
from cellfleet.run.plan import Task
from cellfleet.run.pools import Pools
from cellfleet.run.request import asked_compartments
from cellfleet.run.resources import not_enough_memory
from cellfleet.run.segment_image import How, Job, Segmented, areas_of, segment_image
from cellfleet.run.shard import owns
from cellfleet.run.stitch import PARTS_DISAGREE
from cellfleet.run.workflow import predicted_image
from cellfleet.spec.choices import Output
from cellfleet.spec.record import ImageRecord, InputFile, NucleiFound, Predicted, Told
from cellfleet.spec.segment import SegmentSpec, Shard
from cellfleet.stores.place import FolderPlace, Place
from cellfleet.tiling.box import Box

DISK_FULL = "E301"
_NO_IMAGE_WOULD_FARE_BETTER = frozenset({DISK_FULL, "E523"})
"""The second: the model server is away."""


class StoppedError(Exception):
    """The user asked to stop; the image under way is left as if never begun."""


@dataclass(frozen=True)
class Work:
    """What all images of a run share."""

    out: Place
    spec: SegmentSpec
    key: str
    model: AnyModel
    pools: Pools
    stop: threading.Event = field(default_factory=threading.Event)
    tell: Callable[[str, int, int], None] = lambda image, done, total: None
    """Called from any thread with the blocks that are done of a large image."""
    shard: Shard | None = None
    share: Callable[[Sequence[Job], int], Sequence[Job]] = lambda jobs, image: jobs
    """Of the blocks of the image with this number, those to be done here."""
    stitches: Callable[[str], bool] = lambda image: False
    """Asked when all blocks of a shared image are done: whether it is put together here."""
    alive: Callable[[], None] = lambda: None
    """Called from any thread now and then, while an image goes on."""

    def checkpoint(self) -> None:
        """Show life. Raises `StoppedError` once a stop was asked for."""
        if self.stop.is_set():
            raise StoppedError
        self.alive()


def finds_nuclei_of_cells(model: AnyModel, spec: SegmentSpec) -> bool:
    """Say whether the objects will be cells, with their nuclei. Raises `UsageError` E050, the model finds others."""
    found = model.manifest.compartments if isinstance(model, LoadedModel) else ()
    return len(asked_compartments(spec, model.manifest.name, found)) > 1


def process(task: Task, work: Work) -> ImageRecord | Clock:
    """Segment or classify one image, write its results, then its record.

    Returns:
        The record; where others still have to do their share of the image, only the times of this machine's.

    Raises:
        StoppedError: Before anything of this image has been recorded.
        OutputError: E301, the disk is full: no other image would fare better.
    """
    work.checkpoint()
    if work.shard is None or owns(task.index, work.shard):
        remove_files(work.out, task.stale)
        work.out.remove(record_name(task.name))
    record = attempt(task, work)
    if isinstance(record, Clock):
        return record
    if record.status == "failed" and work.shard and not owns(task.index, work.shard):
        # Of a shared image one machine tells the failure; what this one could not do is tried again by the merge.
        return Clock()
    keep(record, task, work)
    return record


def keep(record: ImageRecord, task: Task, work: Work) -> None:
    """Write the record of an image, and remove what it has no more use for. Raises `OutputError`."""
    if record.status == "failed":
        # Results of an earlier content of the file would look like those of this one.
        remove_results(task, work.out)
    write_image_record(work.out, record)
    if record.error is None or record.error.code == PARTS_DISAGREE:
        # After other failures the next run goes on from the blocks that are done.
        work.out.remove(parts_folder(task.name))


def remove_results(task: Task, out: Place) -> None:
    """Remove what results of the task have left; a folder in the place of a file is not ours."""
    for form, first in task.outputs.items():
        for name in all_files(form, first):
            # What cannot be asked for or removed stays: it may be open in Excel, or behind a network that fails.
            with contextlib.suppress(OutputError):
                if is_tree(form) or out.size(name) is not None:
                    out.remove(name)


def remove_files(out: Place, names: Iterable[str]) -> None:
    """Remove files that hold no more, as far as that is possible."""
    for name in names:
        # What cannot be removed is a file that Excel holds open.
        with contextlib.suppress(OutputError):
            out.remove(name)


def attempt(task: Task, work: Work) -> ImageRecord | Clock:
    """Segment or classify one image and write its results; return what there is to record, of a failure, too.

    Raises:
        StoppedError, OutputError: As `process`.
        DeviceError: E523, the model server is away.
    """
    try:
        if isinstance(work.model, LoadedClassifier):
            return _classify(task, work, work.model)
        return _segment_and_write(task, work, work.model)
    except StoppedError:
        raise
    except CellfleetError as error:
        if error.code in _NO_IMAGE_WOULD_FARE_BETTER:
            raise
        return _failed(task, work, error)
    except MemoryError as error:
        return _failed(task, work, not_enough_memory(str(error) or "an array could not be made"))
    except OSError as error:
        return _failed(task, work, InputError("E511", f"cannot be read ({error.strerror or error})", action=_LOOK))
    except Exception as error:  # noqa: BLE001 (the task boundary: an unforeseen fault of one image must not stop the rest)
        return _failed(task, work, _bug(error))


_LOOK = "Check that the file is still there and that you may read it, then run again"


def _segment_and_write(task: Task, work: Work, model: LoadedModel) -> ImageRecord | Clock:
    reading = Clock()
    with reading.stage("read"):
        source = identify(task.source)
        image = open_image(task.source, axes=work.spec.axes, cache=work.pools.chunks)
        seen, spec = predicted_image(image, work.spec, model, work.pools)
        formats.require_size(task.outputs, [seen.length(axis) for axis in "TZYX"])
    found = segment_image(seen, spec, model, _how(task, source, work))
    if isinstance(found, Clock):
        found.add(reading)
        return found
    found.clock.add(reading)
    work.checkpoint()
    with found.clock.stage("write"):
        predicted = seen if model.before else None
        told = write_results(
            work.out,
            task.name,
            task.outputs,
            found,
            model=model,
            key=work.key,
            source=source.path,
            predicted=predicted,
        )
        work.out.write(thumbnail_name(task.name), picture_of(found))
    record = _record_of(found, [*found.notices, *told], task, work, source, image)
    return record.model_copy(update={"predicted": _told_of_predicted(seen)}) if predicted else record


def _record_of(
    found: Segmented, notices: Sequence[Notice], task: Task, work: Work, source: InputFile, image: Image
) -> ImageRecord:
    diameters = _diameters(found.areas())
    return ImageRecord(
        image=task.name,
        status="done",
        key=work.key,
        input=source,
        outputs=dict((*task.outputs.items(), *task.kept.items())),
        axes=image.axes,
        shape=image.shape,
        dtype=str(image.dtype),
        channel_names=tuple(map(portable_text, image.channel_names)),
        channels_used=_counted_from_1(found.channels_used),
        microns_per_pixel=found.microns_per_pixel,
        microns_per_pixel_source=found.microns_per_pixel_source,
        contrast=_pairs(found.contrast),
        scale=found.scale,
        objects=len(diameters),
        median_diameter_px=float(np.median(diameters)) if len(diameters) else None,
        diameter_histogram=_histogram(diameters),
        nuclei=None if found.nuclei is None else _told_of_nuclei(found.nuclei),
        thumbnail=thumbnail_name(task.name),
        notices=tuple(_told(notice, task.name) for notice in notices),
        blocks=found.blocks,
        blocks_redone=found.redone,
        seconds=dict(found.clock.seconds),
        cpu_seconds=dict(found.clock.cpu_seconds),
        waiting_seconds=dict(found.clock.waiting_seconds),
    )


def picture_of(found: Segmented) -> bytes:
    """Return a JPEG of what is shown of an image, with outlines."""
    return outline_picture(found.shown_pixels(), found.contrast, found.shown_labels(), found.shown_nuclei())


def _diameters(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    diameters: NDArray[np.float64] = np.sqrt(4 / np.pi * areas)
    return diameters


def _told_of_nuclei(nuclei: Nuclei) -> NucleiFound:
    diameters = _diameters(areas_of(nuclei.measured))
    return NucleiFound(
        objects=len(diameters),
        without_cell=nuclei.without_cell,
        cells_without=nuclei.cells_without,
        median_diameter_px=float(np.median(diameters)) if len(diameters) else None,
    )


def _classify(task: Task, work: Work, model: LoadedClassifier) -> ImageRecord | Clock:
    """An image is never shared: it is done where its only block would be."""
    if not work.share([(0, Box(0, 0, 1, 1))], task.index):
        return Clock()
    reading = Clock()
    with reading.stage("read"):
        source = identify(task.source)
        image = open_image(task.source, axes=work.spec.axes, cache=work.pools.chunks)
    found = classify_image(image, work.spec, model, work.pools, work.checkpoint)
    found.clock.add(reading)
    return ImageRecord(
        image=task.name,
        status="done",
        key=work.key,
        input=source,
        axes=image.axes,
        shape=image.shape,
        dtype=str(image.dtype),
        channel_names=tuple(map(portable_text, image.channel_names)),
        channels_used=_counted_from_1(found.channels_used),
        microns_per_pixel=image.microns_per_pixel,
        microns_per_pixel_source=image.microns_per_pixel_source,
        contrast=_pairs(found.levels),
        classes=found.planes,
        notices=tuple(_told(notice, task.name) for notice in found.notices),
        seconds=dict(found.clock.seconds),
        cpu_seconds=dict(found.clock.cpu_seconds),
        waiting_seconds=dict(found.clock.waiting_seconds),
    )


def _told_of_predicted(image: Image) -> Predicted:
    names = tuple(map(portable_text, image.channel_names))
    return Predicted(axes=image.axes, shape=image.shape, dtype=str(image.dtype), channel_names=names)


def _counted_from_1(channels_used: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {role: tuple(channel + 1 for channel in channels) for role, channels in channels_used.items()}


def _pairs(contrast: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    return tuple((float(low), float(high)) for low, high in contrast)


def _how(task: Task, source: InputFile, work: Work) -> How:
    """Blocks of equal settings, content and program are the same block; others are never taken."""
    made_by = hashlib.sha256(f"{work.key} {source.sha256} {source.size_bytes} {__version__}".encode()).hexdigest()[:32]
    folder = f"{parts_folder(task.name)}/{made_by}"
    return How(
        pools=work.pools,
        parts=lambda: PlaceParts(work.out, folder),
        share=lambda jobs: work.share(jobs, task.index),
        stitches=lambda: work.stitches(task.name),
        checkpoint=work.checkpoint,
        tell=lambda done, total: work.tell(task.name, done, total),
    )


def write_results(
    out: Place,
    name: str,
    outputs: Mapping[Output, str],
    found: Segmented,
    *,
    model: LoadedModel,
    key: str,
    source: str = "",
    predicted: Image | None = None,
) -> tuple[Notice, ...]:
    """Write the result files of one image in the order of `outputs`; return what there is to tell.

    Raises:
        OutputError: E3xx.
    """
    result = Labelled(
        name=name,
        labels=found.labels,
        rows=found.rows,
        key=key,
        model=f"{model.manifest.name}:{model.manifest.version}",
        compartment=found.compartment,
        microns_per_pixel=found.microns_per_pixel,
        source=source,
        predicted=predicted,
        nuclei=None if found.nuclei is None else found.nuclei.objects,
    )
    return tuple(notice for form, first in outputs.items() for notice in write_format(out, form, first, result))


def write_format(out: Place, form: Output, first: str, result: Labelled) -> tuple[Notice, ...]:
    """Write one output of one image: each of its files, or its folder, whole or not at all."""
    if formats.format_of(form) == "ome-zarr" and isinstance(out, FolderPlace):
        result = replace(result, link=path_to_image(out.local(first), result.source))
    with contextlib.ExitStack() as whole:
        place = out.replacing_tree if is_tree(form) else out.replacing
        targets = [whole.enter_context(place(name)) for name in all_files(form, first)]
        return formats.write(form, targets, result)


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
        input=_identity(task),
        error=Told(
            code=error.code,
            what=portable_text(error.what),
            where=portable_text(error.where) or task.name,
            action=portable_text(error.action),
        ),
    )


def _identity(task: Task) -> InputFile | None:
    try:
        return identify(task.source)
    except (OSError, CellfleetError):
        return None


def _bug(error: Exception) -> CellfleetError:
    return CellfleetError(
        "E599",
        f"this is a bug in cellfleet ({type(error).__name__}: {error})",
        action=f"Please report it with the file {save_traceback(error)}",
    )
