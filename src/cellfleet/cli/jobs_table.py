"""Jobs as tables and sentences, as lines of JSON for programs. Asks no server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from cellfleet.cli.progress import count, duration, message

if TYPE_CHECKING:
    from cellfleet.spec.http import DeadTasks, Job, JobProgress
    from cellfleet.spec.usage import Bill

_HEADS = ("id", "name", "state", "images", "failed", "cells", "left", "submitted")
_NUMBERS = frozenset({"images", "failed", "cells", "left"})
_COLOURS = {"running": "cyan", "done": "green", "failed": "red", "paused": "yellow"}
_NAME = 32


def write_json(jobs: Sequence[Job], stream: TextIO) -> None:
    """Write one job per line, as the HTTP API tells it."""
    stream.writelines(f"{job.model_dump_json()}\n" for job in jobs)


def write_table(jobs: Sequence[Job], stream: TextIO) -> None:
    """Write one line per job: with colours on a terminal, plain elsewhere."""
    rows = [_row(job) for job in jobs]
    if not stream.isatty():
        widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
        for row in (_HEADS, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            stream.write("  ".join(cells).rstrip() + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in _HEADS:
        table.add_column(head, justify="right" if head in _NUMBERS else "left", no_wrap=head in {"id", "submitted"})
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "") if i == 2 else "") for i, cell in enumerate(row)))
    Console(file=stream).print(table)


def write_job(job: Job, bill: Bill, dead: DeadTasks, way: str, stream: TextIO) -> None:
    """Write all that a user wants to know about one job.

    Args:
        job: Which.
        bill: What it cost.
        dead: What was given up.
        way: Words that lead a command to the same server.
        stream: Where to.
    """
    seen = job.progress
    lines = [
        ("job", job.id),
        ("name", job.name),
        ("owner", job.owner),
        ("state", job.state),
        ("model", f"{job.model.name} {job.model.version}"),
        ("inputs", _few(job.inputs)),
        ("formats", ", ".join(job.formats)),
        ("results", job.out or "on the server"),
        ("submitted", _moment(seen.submitted_ms)),
        ("took", _took(seen)),
        ("images", f"{_images(seen)} done, {seen.images_failed} failed"),
        ("cells", count(seen.objects)),
        ("left", "" if seen.seconds_left is None else duration(seen.seconds_left)),
        ("cost", cost(bill)),
    ]
    stream.writelines(f"{name:<10} {value}\n" for name, value in lines if value)
    if job.problem:
        stream.write(f"{message(job.problem)}\n")
    _write_dead(dead, stream)
    stream.writelines(f"{line}\n" for line in _advice(job, way))


def cost(bill: Bill) -> str:
    """Return what a job cost, and the machine time that it follows from."""
    if not bill.lines:
        return ""
    gpu_seconds = sum(line.gpu_seconds for line in bill.lines)
    gpus = f", {duration(gpu_seconds)} of GPUs" if gpu_seconds else ""
    took = f"{duration(sum(line.seconds for line in bill.lines))} of machines{gpus}"
    if bill.usd is None:
        return f"{took}; their price is not known (`cellfleet worker --machine`)"
    return f"{usd(bill.usd)} ({took}; prices of {bill.prices})"


def usd(amount: float) -> str:
    """Return an amount with so many digits that a small one is not nothing."""
    if 0 < amount < 1e-4:
        return "less than $0.0001"
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def _write_dead(dead: DeadTasks, stream: TextIO) -> None:
    if dead.tasks:
        stream.write("\nGiven up:\n")
    for one in dead.tasks:
        names = _few([image.name for image in one.task.images])
        code = f"  [{one.code}]" if one.code else ""
        said = one.reason if one.reason.startswith(names) else f"{names}: {one.reason}"
        stream.write(f"  {said}{code}\n")
    if dead.more:
        stream.write("  … and more; failures.csv of the results has all\n")


def _advice(job: Job, way: str) -> list[str]:
    words = {
        "queued": [f"cellfleet jobs watch {job.id}{way}"],
        "running": [f"cellfleet jobs watch {job.id}{way}"],
        "paused": [f"cellfleet jobs resume {job.id}{way}"],
        "failed": [f"cellfleet jobs retry {job.id}{way}"],
    }.get(job.state, [])
    if job.out is None and job.progress.images_done:
        words = [*words, f"cellfleet jobs fetch {job.id} -o results{way}"]
    return ["", *(f"  {line}" for line in words)] if words else []


def _row(job: Job) -> tuple[str, ...]:
    seen = job.progress
    name = job.name if len(job.name) <= _NAME else f"{job.name[: _NAME - 1]}…"
    left = "" if seen.seconds_left is None else duration(seen.seconds_left)
    failed = str(seen.images_failed or "")
    return (job.id, name, job.state, _images(seen), failed, count(seen.objects), left, _moment(seen.submitted_ms))


def _images(seen: JobProgress) -> str:
    of = count(seen.images) if seen.listed else f"{count(seen.images)}+"
    return f"{count(seen.images_done)}/{of}"


def _took(seen: JobProgress) -> str:
    if seen.started_ms is None or seen.finished_ms is None:
        return ""
    return duration((seen.finished_ms - seen.started_ms) / 1000)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _moment(at_ms: int) -> str:
    """Return a time as the clock on the wall shows it."""
    return f"{datetime.fromtimestamp(at_ms / 1000):%Y-%m-%d %H:%M}"
