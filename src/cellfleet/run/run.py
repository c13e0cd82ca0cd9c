"""A data set through the pipeline: several images in flight, in a place of results.

The images are independent, so they run at the same time and end in any order; the summary lists them by name. What is
done is what stands in the place of results: a repeated run skips it. Knows no option parser and no screen.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from cellfleet.errors import OutputError, UsageError
from cellfleet.images.find import find_images
from cellfleet.inference.threads import usable_threads
from cellfleet.models import AnyModel, LoadedModel, load_classifier, load_model
from cellfleet.pipeline.clock import Clock
from cellfleet.results.formats import require_libraries, require_prediction
from cellfleet.results.record import FOLDER, write_run_record
from cellfleet.run import summary
from cellfleet.run.events import BlockFinished, ImageFinished, RunFinished, RunStarted, Tell
from cellfleet.run.plan import Plan, Task, make_plan
from cellfleet.run.pools import Pools, in_parallel
from cellfleet.run.process import StoppedError, Work, finds_nuclei_of_cells, process
from cellfleet.run.resources import fair_share
from cellfleet.run.shard import by_images, share_of_blocks, share_of_images
from cellfleet.run.shard_records import begin_shard, end_shard
from cellfleet.run.speed_log import keep_speed
from cellfleet.spec.record import ImageRecord, RunRecord
from cellfleet.spec.segment import RunOptions, SegmentSpec, Shard
from cellfleet.stores.place import FolderPlace, Place, open_place

Given = str | Path
"""A path or an address."""


def run(
    inputs: Sequence[Given],
    out: Given,
    spec: SegmentSpec,
    options: RunOptions,
    *,
    tell: Tell = lambda event: None,
    stop: threading.Event | None = None,
) -> RunRecord:
    """Segment every image of `inputs` into `out`, or classify it.

    Args:
        inputs: Files, folders, patterns, archives and addresses.
        out: Folder or address of the results, made where it is missing.
        spec: What to find; with `top`, what images show is told.
        options: How to go about it.
        tell: Called with every event.
        stop: Set it to stop: images under way are given up between two steps, their finished blocks are kept.

    Returns:
        The run's record as in ``run.json``; failed images are in it, they raise nothing.

    Raises:
        InputError: E1xx, nothing to do.
        UsageError: E03x, something would be overwritten.
        ModelError, DeviceError: The model cannot be used.
        OutputError: The folder cannot be written, or the disk is full.
    """
    place = open_place(out)
    refuse_own_input(inputs, place)
    require_libraries(options.formats)
    sources = find_images(inputs)
    threads = options.threads or usable_threads()
    model, load_seconds = _loaded(spec, options)
    memory = options.memory_bytes or fair_share()
    key = spec.digest(model.sha256)
    _require_prediction(options, model)
    nuclei = finds_nuclei_of_cells(model, spec)
    planned = partial(make_plan, sources, place, key, options.formats, overwrite=options.overwrite, nuclei=nuclei)
    if isinstance(place, FolderPlace) and not place.exists(FOLDER):
        # Asked before the lock, too, so that a refused run leaves no trace in a folder that is not ours.
        planned()
    with Pools(threads, model, memory) as pools, _alone(place, options.shard):
        plan = _share(planned(), options.shard)
        shown = f"{model.manifest.name} {model.manifest.version}"
        tell(RunStarted(len(plan.tasks), len(plan.done), plan.changed, shown, model.device, threads))
        record = summary.begin([str(given) for given in inputs], place, spec, options, model, threads, memory)
        if options.shard:
            begin_shard(place, record, options.shard)
        else:
            place.sweep()
            write_run_record(place, record)
        flow = _Flow(tell, len(plan.to_do), load_seconds, counts=not spec.top)
        shard = _of_blocks(plan, options)
        work = Work(
            place,
            spec,
            key,
            model,
            pools,
            stop=stop or threading.Event(),
            tell=flow.block_finished,
            shard=shard,
            share=lambda jobs, image: share_of_blocks(jobs, shard, image),
        )
        record = _work_off(plan, work, record, flow)
    tell(RunFinished(record, already_done=len(plan.done)))
    return record


def _loaded(spec: SegmentSpec, options: RunOptions) -> tuple[AnyModel, float]:
    """Return the model, and the seconds that loading it took."""
    began = time.perf_counter()
    load = load_classifier if spec.top else load_model
    model = load(spec.model, device=options.device)
    return model, time.perf_counter() - began


def _require_prediction(options: RunOptions, model: AnyModel) -> None:
    predicts = isinstance(model, LoadedModel) and bool(model.before)
    require_prediction(options.formats, model.manifest.name, predicts=predicts)


def _alone(place: Place, shard: Shard | None) -> contextlib.AbstractContextManager[None]:
    """Shards write beside each other; nobody else does."""
    return place.lock() if shard is None else contextlib.nullcontext()


def _share(plan: Plan, shard: Shard | None) -> Plan:
    """Leave the images that this machine has to do with."""
    if shard is None or not by_images(len(plan.tasks), shard):
        return plan
    tasks = tuple(share_of_images(plan.tasks, shard))
    names = {task.name for task in tasks}
    return Plan(
        tasks,
        {name: record for name, record in plan.done.items() if name in names},
        tuple(name for name in plan.changed if name in names),
        by_blocks=False,
    )


def _of_blocks(plan: Plan, options: RunOptions) -> Shard | None:
    """Return the shard where it means a share of the blocks of every image."""
    return options.shard if plan.by_blocks else None


def refuse_own_input(inputs: Sequence[Given], out: Place) -> None:
    """Raise `UsageError` E035 where results would go into the folder of the images."""
    for path in inputs:
        if isinstance(out, FolderPlace) and Path(path).is_dir() and Path(path).resolve() == out.path.resolve():
            raise UsageError(
                "E035",
                "is the folder of the images; results need a folder of their own",
                where=str(out.path),
                action=f"Choose another one, for example -o {out.path / 'results'}",
            )


class _Flow:
    """Turns what happens in many threads into events, told one after the other by the thread that waits."""

    def __init__(self, tell: Tell, to_do: int, load_seconds: float, *, counts: bool) -> None:
        self.tell, self._to_do, self.load_seconds, self._counts = tell, to_do, load_seconds, counts
        self._began = time.perf_counter()
        self._blocks: queue.SimpleQueue[BlockFinished] = queue.SimpleQueue()
        self._objects = self._failed = self._done = 0

    @property
    def seconds(self) -> float:
        """Since the first image was begun."""
        return time.perf_counter() - self._began

    def block_finished(self, image: str, done: int, total: int) -> None:
        """Remember it; called from any thread."""
        self._blocks.put(BlockFinished(image, done, total))

    def pass_on(self) -> None:
        """Tell the blocks that were finished since."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.tell(self._blocks.get_nowait())

    def image_finished(self, record: ImageRecord) -> None:
        """Tell it."""
        self.pass_on()
        self._done += 1
        self._objects += record.objects
        self._failed += record.status == "failed"
        objects = self._objects if self._counts else None
        self.tell(ImageFinished(record, self._done, self._failed, self._to_do, objects, self.seconds))


def _work_off(plan: Plan, work: Work, record: RunRecord, flow: _Flow) -> RunRecord:
    """Process what is to do, and write the summary whatever happens."""
    worked: list[ImageRecord | Clock] = []

    def summed_up() -> RunRecord:
        finished = (image for image in worked if isinstance(image, ImageRecord))
        images = sorted((*plan.done.values(), *finished), key=lambda image: image.image)
        stopped = len(plan.done) + len(worked) < len(plan.tasks)
        ended = summary.finish(record, images, worked, flow.seconds, stopped=stopped)
        if ended.shard:
            end_shard(work.out, ended)
        else:
            summary.write_summary(work.out, ended)
        return ended

    try:
        for finished in _in_parallel(plan.to_do, work, flow.pass_on):
            worked.append(finished)
            if isinstance(finished, ImageRecord):
                flow.image_finished(finished)
    except BaseException:
        # On a full disk the summary fails like the image did: the first error says it.
        with contextlib.suppress(OutputError):
            summed_up()
        raise
    if work.shard is None:
        images = [image for image in worked if isinstance(image, ImageRecord)]
        keep_speed(work.model, work.pools.threads, images, flow.seconds, flow.load_seconds)
    return summed_up()


def _in_parallel(tasks: Sequence[Task], work: Work, look_up: Callable[[], None]) -> Iterator[ImageRecord | Clock]:
    """Yield records as they are finished; for an image of which only a share is done here, its times."""

    def attempt(task: Task) -> ImageRecord | Clock | None:
        try:
            return process(task, work)
        except StoppedError:
            return None

    # One image more than there are threads, so that none waits for this thread to wake up.
    at_once = min(work.pools.threads, max(1, len(tasks)))
    with ThreadPoolExecutor(at_once, thread_name_prefix="image") as pool:
        for result in in_parallel(pool, attempt, tasks, at_once + 1, look_up=look_up, give_up=work.stop.set):
            if result is not None:
                yield result
