"""Events of a run → what the user sees: a bar, a line now and then, JSON lines, or failures only.

Words for people go to stderr. JSON lines go to stdout, where nothing else is written, so that a program can read
them as they come.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from cellfleet.client.events import FilesSent, JobSeen, Remark, RemoteEvent
from cellfleet.run.events import BlockFinished, ImageFinished, RunFinished, RunStarted
from cellfleet.spec.choices import Progress
from cellfleet.spec.http import Job
from cellfleet.spec.record import ImageRecord, Told

_LINE_EVERY_SECONDS = 30.0
_NOTICES_OF_A_KIND = 5

Say = Callable[[str], None]
Moving = ImageFinished | BlockFinished | FilesSent | JobSeen
"""What a bar shows."""
Show = Callable[[Moving], None]


@contextlib.contextmanager
def narrator(progress: Progress, out: str, stderr: TextIO, stdout: TextIO) -> Iterator[Callable[[RemoteEvent], None]]:
    """Yield the function that takes the events of a run.

    Args:
        progress: How to tell; ``auto`` is a bar on a terminal and lines elsewhere.
        out: The results' folder, as the user wrote it.
        stderr: For people.
        stdout: For programs.
    """
    if progress == "json":
        yield lambda event: _write_json(event, stdout)
        return
    if progress == "none":
        yield lambda event: _tell_failure(event, _lines(stderr))
        return
    if progress == "bar" or (progress == "auto" and stderr.isatty()):
        with _bar(stderr) as (say, show):
            yield _story(out, say, show)
        return
    yield _story(out, _lines(stderr), _now_and_then(_lines(stderr)))


def _lines(stream: TextIO) -> Say:
    def say(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            stream.write(text + "\n")
            stream.flush()

    return say


def _now_and_then(say: Say) -> Show:
    last = time.monotonic()

    def show(event: Moving) -> None:
        nonlocal last
        if time.monotonic() - last < _LINE_EVERY_SECONDS:
            return
        done, total, status = _position(event)
        if total is None or done < total:
            last = time.monotonic()
            say(status if total is None else f"{done}/{total} images · {status}")

    return show


@contextlib.contextmanager
def _bar(stream: TextIO) -> Iterator[tuple[Say, Show]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("· {task.fields[status]}"))
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("images", total=None, status="starting")

        def say(text: str) -> None:
            bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

        def show(event: Moving) -> None:
            done, total, status = _position(event)
            if total is None:
                bar.update(task, status=status)
            else:
                bar.update(task, completed=done, total=total, status=status)

        yield say, show


def _story(out: str, say: Say, show: Show) -> Callable[[RemoteEvent], None]:
    """Return the function that tells a run from its beginning to its end."""
    notices: Counter[str] = Counter()

    def tell(event: RemoteEvent) -> None:
        if isinstance(event, RunStarted):
            lines = _opening(event, out)
        elif isinstance(event, RunFinished):
            lines = itertools.chain(_untold(notices), _closing(event, out))
        elif isinstance(event, Remark):
            lines = iter([event.text])
        elif not isinstance(event, ImageFinished):
            lines = iter(())
            show(event)
        else:
            lines = _new_notices(event, notices)
            show(event)
        for line in lines:
            say(line)
        _tell_failure(event, say)

    return tell


def _new_notices(event: ImageFinished, counts: Counter[str]) -> Iterator[str]:
    """Yield the image's notices, each kind for the first few images only: a thousand equal lines hide the others."""
    for notice in event.record.notices:
        counts[notice.code] += 1
        if counts[notice.code] <= _NOTICES_OF_A_KIND:
            yield message(notice)


def _untold(counts: Counter[str]) -> Iterator[str]:
    for code, count in counts.items():
        if count > _NOTICES_OF_A_KIND:
            yield f"{_count(count - _NOTICES_OF_A_KIND, 'more notice')} of this kind stand in the report.  [{code}]"


def _tell_failure(event: RemoteEvent, say: Say) -> None:
    if isinstance(event, ImageFinished) and event.record.error:
        say(message(event.record.error))


def message(told: Told) -> str:
    """Return *which file: what happened. What to do. [code]*, on one line."""
    action = f" {told.action}." if told.action else ""
    ending = "" if told.what.endswith(".") else "."
    return " ".join(f"{told.where}: {told.what}{ending}{action}  [{told.code}]".splitlines())


def _opening(event: RunStarted, out: str) -> Iterator[str]:
    yield f"Found {_count(event.total, 'image')}. Model {event.model}. Results: {_folder(out)}"
    if event.already_done == event.total:
        yield "All images are done with these settings."
    else:
        yield f"Using {_who(event)}."
        if event.already_done:
            yield (
                f"{event.already_done} of {_count(event.total, 'image')} are done with these settings; "
                f"{event.total - event.already_done} to go."
            )
    for name in event.changed:
        yield f"{name}: has changed since it was segmented; it is done again.  [W003]"


def _who(event: RunStarted) -> str:
    if event.server:
        return event.server
    device = "GPU" if event.device == "cuda" else event.device.upper()
    return f"{device}, {_count(event.threads, 'thread')}"


def _closing(event: RunFinished, out: str) -> Iterator[str]:
    run = event.record
    done = [image for image in run.images if image.status == "done"]
    failed = len(run.images) - len(done)
    if run.status == "stopped":
        yield f"Stopped. {len(done)} finished. Run the same command again to go on."
        return
    if run.shard:
        yield (
            f"Part {run.shard} is done, {duration(run.wall_seconds)}. When all parts are: cellfleet merge "
            f"{shlex.quote(out)}"
        )
        return
    images = f"{len(done)} of {_count(len(run.images), 'image')}" if failed else _count(len(done), "image")
    time_taken = f", {duration(run.wall_seconds)}" if event.already_done < len(run.images) else ""
    folder = _folder(out)
    if run.spec.top:
        yield f"Done: {images}{time_taken}. Classes in {folder}classes.csv, summary in {folder}report.html"
    else:
        cells = _count(sum(image.objects for image in done), "cell")
        made = f"{_what(run.formats)} in {folder}, summary" if done else "Summary"
        yield f"Done: {images}, {cells}{time_taken}. {made} in {folder}report.html"
    if failed:
        yield f"{failed} failed: see {folder}failures.csv"


def _what(formats: tuple[str, ...]) -> str:
    kinds = {form.partition("-")[0] for form in formats}
    labels, tables = bool({"labels", "ome"} & kinds), bool({"csv", "parquet"} & kinds)
    return "Labels + tables" if labels and tables else "Labels" if labels else "Tables" if tables else "Results"


def _position(event: Moving) -> tuple[int, int | None, str]:
    """Return how many images are done, of how many (None: that has not changed), and words."""
    if isinstance(event, BlockFinished):
        return 0, None, _blocks(event)
    if isinstance(event, FilesSent):
        return 0, None, _sent(event)
    if isinstance(event, JobSeen):
        return job_position(event.job)
    return event.done, event.to_do, _status(event)


def job_position(job: Job) -> tuple[int, int | None, str]:
    """Return how many images of a job have ended, of how many (None: not known yet), and words."""
    seen = job.progress
    done = seen.images_done + seen.images_failed
    if not seen.listed:
        return 0, None, f"{job.state} · {_count(seen.images, 'image')} found so far"
    left = "" if seen.seconds_left is None else f" · {duration(seen.seconds_left)} left"
    cells = "" if job.segment.top else f" · {_count(seen.objects, 'cell')}"
    return done, seen.images, f"{job.state}{left}{cells} · {seen.images_failed} failed"


def job_line(job: Job) -> str:
    """Return in one line how far a job is."""
    done, total, words = job_position(job)
    return f"{job.id}: {words}" if total is None else f"{job.id}: {count(done)}/{count(total)} images · {words}"


def _sent(event: FilesSent) -> str:
    size = f"{_megabytes(event.bytes)} of {_megabytes(event.of_bytes)} MB"
    return f"sending files: {count(event.files)} of {count(event.of_files)} · {size}"


def _megabytes(size: int) -> str:
    return count(round(size / 1e6)) if size >= 1e7 else f"{size / 1e6:.1f}"


def _blocks(event: BlockFinished) -> str:
    return f"{event.image}: {event.done} of {_count(event.total, 'block')}, {100 * event.done // event.total} %"


def _status(event: ImageFinished) -> str:
    left = f" · {duration(_seconds_left(event))} left" if event.done < event.to_do else ""
    cells = "" if event.objects is None else f" · {_count(event.objects, 'cell')}"
    return f"{_rate(event):.3g} images/s{left}{cells} · {event.failed} failed"


def _rate(event: ImageFinished) -> float:
    return event.done / max(event.seconds, 1e-9)


def _seconds_left(event: ImageFinished) -> float:
    return (event.to_do - event.done) / _rate(event)


def _write_json(event: RemoteEvent, stream: TextIO) -> None:
    # A reader that has gone away must not stop the run.
    with contextlib.suppress(BrokenPipeError):
        stream.write(json.dumps(_as_json(event)) + "\n")
        stream.flush()


def _as_json(event: RemoteEvent) -> dict[str, Any]:
    if isinstance(event, RunStarted):
        return {
            "event": "start",
            "done": 0,
            "total": event.total - event.already_done,
            "already_done": event.already_done,
            "model": event.model,
            **({"server": event.server} if event.server else {"device": event.device, "threads": event.threads}),
        }
    if isinstance(event, RunFinished):
        run = event.record
        return {
            "event": "stopped" if run.status == "stopped" else "done",
            "done": sum(image.status == "done" for image in run.images),
            "failed": sum(image.status == "failed" for image in run.images),
            "cells": sum(image.objects for image in run.images),
            "seconds": run.wall_seconds,
        }
    if isinstance(event, BlockFinished):
        return {"event": "blocks", "image": event.image, "done": event.done, "total": event.total}
    if not isinstance(event, ImageFinished):
        return _remote_as_json(event)
    return _image_as_json(event, event.record)


def _remote_as_json(event: FilesSent | JobSeen | Remark) -> dict[str, Any]:
    if isinstance(event, Remark):
        return {"event": "remark", "text": event.text}
    if isinstance(event, FilesSent):
        sizes = {"bytes": event.bytes, "of_bytes": event.of_bytes}
        return {"event": "upload", "done": event.files, "total": event.of_files, **sizes}
    return {"event": "job", **job_as_json(event.job)}


def job_as_json(job: Job) -> dict[str, Any]:
    """Return how far a job is, for programs."""
    seen = job.progress
    return {
        "job": job.id,
        "state": job.state,
        "done": seen.images_done,
        "failed": seen.images_failed,
        "total": seen.images if seen.listed else None,
        "eta": seen.seconds_left,
        "cells": seen.objects,
    }


def _image_as_json(event: ImageFinished, record: ImageRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "event": "failed" if record.status == "failed" else "image",
        "image": record.image,
        "done": event.done,
        "total": event.to_do,
        "rate": round(_rate(event), 4),
        "eta": round(_seconds_left(event), 1),
        **({"cells": record.objects, "cells_so_far": event.objects} if event.objects is not None else {}),
        **({"classes": [plane.top[0].name for plane in record.classes]} if record.classes else {}),
        "notices": [notice.model_dump() for notice in record.notices],
    }
    return line | ({"error": record.error.model_dump()} if record.error else {})


def _folder(out: str) -> str:
    return f"{out.rstrip('/')}/"


def _count(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
