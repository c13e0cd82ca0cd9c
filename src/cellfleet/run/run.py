"""A data set through the pipeline: several images in flight, each in a thread of its own, in a folder of results.

The images are independent, so they run at the same time and end in any order; the summary lists them by name. What is
done is what stands in the output folder: a repeated run skips it. Knows no option parser and no screen.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from cellfleet.errors import OutputError, UsageError
from cellfleet.images.find import find_images
from cellfleet.inference.threads import usable_threads
from cellfleet.models import load_model
from cellfleet.results.atomic import sweep
from cellfleet.results.record import write_run_record
from cellfleet.run import summary
from cellfleet.run.events import ImageFinished, RunFinished, RunStarted, Tell
from cellfleet.run.lock import locked
from cellfleet.run.plan import Plan, Task, make_plan
from cellfleet.run.resources import MemoryBudget
from cellfleet.run.worker import StoppedError, Work, process
from cellfleet.spec.record import ImageRecord, RunRecord
from cellfleet.spec.segment import RunOptions, SegmentSpec

_WAKE_SECONDS = 0.2
"""How often the waiting thread looks up, so that Windows can deliver Ctrl-C."""


def run(
    inputs: Sequence[Path],
    out: Path,
    spec: SegmentSpec,
    options: RunOptions,
    *,
    tell: Tell = lambda event: None,
    stop: threading.Event | None = None,
) -> RunRecord:
    """Segment every image of `inputs` into the folder `out`.

    Args:
        inputs: Files and folders.
        out: Folder of results, made where it is missing.
        spec: What to find.
        options: How to go about it.
        tell: Called with every event.
        stop: Set it to stop: images under way are given up between two steps.

    Returns:
        The run's record as in ``run.json``; failed images are in it, they raise nothing.

    Raises:
        InputError: E1xx, nothing to do.
        UsageError: E03x, something would be overwritten.
        ModelError, DeviceError: The model cannot be used.
        OutputError: The folder cannot be written, or the disk is full.
    """
    _refuse_own_input(inputs, out)
    sources = find_images(inputs)
    threads = options.threads or usable_threads()
    model = load_model(spec.model, device=options.device, threads=_threads_each(threads, len(sources)))
    key = spec.digest(model.sha256)
    if not (out / ".cellfleet").exists():
        # Asked before the lock, too, so that a refused run leaves no trace in a folder that is not ours.
        make_plan(sources, out, key, options.formats, overwrite=options.overwrite)
    with locked(out):
        plan = make_plan(sources, out, key, options.formats, overwrite=options.overwrite)
        if _threads_each(threads, len(plan.to_do)) > _threads_each(threads, len(sources)):
            # Fewer images are left than there are threads: each gets several, which work on its tiles.
            each = _threads_each(threads, len(plan.to_do))
            model = load_model(spec.model, device=options.device, threads=each)
        tell(
            RunStarted(
                total=len(plan.tasks),
                already_done=len(plan.done),
                changed=plan.changed,
                model=f"{model.manifest.name} {model.manifest.version}",
                device=model.device,
                threads=threads,
            )
        )
        sweep(out)
        record = summary.begin(inputs, out, spec, options, model, threads)
        write_run_record(out, record)
        work = Work(out, spec, key, model, MemoryBudget.of_this_machine(), stop or threading.Event())
        record = _work_off(plan, work, record, tell)
    tell(RunFinished(record, already_done=len(plan.done)))
    return record


def _threads_each(threads: int, images: int) -> int:
    """Return the threads that one image may use when `images` are to do."""
    return max(1, threads // max(1, images))


def _refuse_own_input(inputs: Sequence[Path], out: Path) -> None:
    for path in inputs:
        if path.is_dir() and path.resolve() == out.resolve():
            raise UsageError(
                "E035",
                "is the folder of the images; results need a folder of their own",
                where=str(out),
                action=f"Choose another one, for example -o {out / 'results'}",
            )


def _work_off(plan: Plan, work: Work, record: RunRecord, tell: Tell) -> RunRecord:
    """Process what is to do, and write the summary whatever happens."""
    began = time.perf_counter()
    worked: list[ImageRecord] = []
    objects = failed = 0

    def summed_up() -> RunRecord:
        images = sorted((*plan.done.values(), *worked), key=lambda image: image.image)
        seconds = time.perf_counter() - began
        ended = summary.finish(record, images, worked, seconds, stopped=len(images) < len(plan.tasks))
        summary.write_summary(work.out, ended)
        return ended

    try:
        for finished in _in_parallel(plan.to_do, work, min(record.threads, len(plan.to_do))):
            worked.append(finished)
            objects += finished.objects
            failed += finished.status == "failed"
            seconds = time.perf_counter() - began
            tell(ImageFinished(finished, len(worked), failed, len(plan.to_do), objects, seconds))
    except BaseException:
        # On a full disk the summary fails like the image did: the first error says it.
        with contextlib.suppress(OutputError):
            summed_up()
        raise
    return summed_up()


def _in_parallel(tasks: Sequence[Task], work: Work, at_once: int) -> Iterator[ImageRecord]:
    """Yield records as they are finished; on an error no further image is begun."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(max(1, at_once), thread_name_prefix="image") as pool:
        try:
            # One more than there are threads, so that none waits for this one to wake up.
            pending = {pool.submit(process, task, work) for task in islice(waiting, at_once + 1)}
            while pending:
                finished, pending = wait(pending, timeout=_WAKE_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    if not work.stop.is_set():
                        pending |= {pool.submit(process, task, work) for task in islice(waiting, 1)}
                    yield from _unless_stopped(future)
        except BaseException:
            work.stop.set()
            raise


def _unless_stopped(future: Future[ImageRecord]) -> Iterator[ImageRecord]:
    try:
        yield future.result()
    except StoppedError:
        return
