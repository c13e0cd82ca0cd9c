"""Which images, under which names, into which files; and which of them are done already.

Asks the disk, writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from cellfleet import __version__
from cellfleet.errors import UsageError
from cellfleet.images.find import Source
from cellfleet.results.record import load_records, load_run_record
from cellfleet.results.tables import portable_text
from cellfleet.run.fingerprint import unchanged
from cellfleet.run.names import ENDINGS, output_names, output_stems
from cellfleet.spec.choices import Format
from cellfleet.spec.record import ImageRecord, RunRecord


@dataclass(frozen=True)
class Task:
    """One image of a run."""

    source: Path
    name: str
    """Unique in the run, printable, with ``/``: the image column of the tables."""
    outputs: dict[Format, str]
    """Format → path relative to the output folder."""
    kept: dict[str, str] = field(default_factory=dict)
    """Results of an earlier run in formats not asked for now that still hold."""
    stale: tuple[str, ...] = ()
    """Such results that do not: their labels would not be those of `outputs`."""


@dataclass(frozen=True)
class Plan:
    """All images of a run, in order of their names."""

    tasks: tuple[Task, ...]
    done: dict[str, ImageRecord]
    """Name → record of the images that need no work."""
    changed: tuple[str, ...]
    """Names of images with results of an older content of the file."""

    @property
    def to_do(self) -> tuple[Task, ...]:
        """Images that need work."""
        return tuple(task for task in self.tasks if task.name not in self.done)


def make_plan(sources: Sequence[Source], out: Path, key: str, formats: Sequence[Format], *, overwrite: bool) -> Plan:
    """Compare what is asked with what stands in `out`.

    Args:
        sources: Images found.
        out: Output folder; need not exist.
        key: `SegmentSpec.digest`; results of another key are not ours to replace.
        formats: Wanted result files.
        overwrite: Redo everything, whatever stands there.

    Raises:
        UsageError: E031–E034, when something would be overwritten that this run did not make.
    """
    known, run = load_records(out), load_run_record(out)
    tasks = _tasks(_without_results(sources, out, known, ours=run is not None), formats)
    _refuse_inputs(tasks, out)
    tasks = tuple(_with_earlier(task, known.get(task.name), key) for task in tasks)
    if overwrite:
        return Plan(tasks, done={}, changed=())
    if run is None:
        _refuse_foreign_files(tasks, out)
    else:
        _refuse_other_settings(run, out, key)
    _refuse_other_images(tasks, out, known)
    done, changed = {}, []
    for task in tasks:
        record = known.get(task.name)
        if record is None or record.input is None or record.status != "done":
            continue
        if not _same_input(task, record):
            changed.append(task.name)
        elif record.key == key and _complete(task, record, out):
            done[task.name] = record
    return Plan(tasks, done, tuple(changed))


def _tasks(sources: Sequence[Source], formats: Sequence[Format]) -> tuple[Task, ...]:
    ordered = sorted(sources, key=lambda source: source.name)
    for source in ordered:
        path = PurePosixPath(source.name)
        assert path.parts and ".." not in path.parts and not path.is_absolute(), f"unsafe name {source.name!r}"
    stems = output_stems([source.name for source in ordered])
    return tuple(
        Task(source.path, source.name, output_names(stem, formats)) for source, stem in zip(ordered, stems, strict=True)
    )


def _with_earlier(task: Task, record: ImageRecord | None, key: str) -> Task:
    if record is None or record.status != "done":
        return task
    others = {form: path for form, path in record.outputs.items() if form not in task.outputs}
    if others and not (record.key == key and _same_input(task, record)):
        return replace(task, stale=tuple(others.values()))
    return replace(task, kept=others)


def _without_results(
    sources: Sequence[Source], out: Path, known: dict[str, ImageRecord], *, ours: bool
) -> list[Source]:
    """Leave out files that this folder's earlier runs made (`find_images` does so only inside folders)."""
    own = {(out / path).resolve() for record in known.values() for path in record.outputs.values()}
    if ours:
        stems = output_stems([source.name for source in sources])
        # A run that was killed may have left results that no record tells of yet.
        own |= {(out / path).resolve() for stem in stems for path in output_names(stem, ENDINGS).values()}
    return [source for source in sources if source.path.resolve() not in own]


def _refuse_inputs(tasks: Sequence[Task], out: Path) -> None:
    inputs = {task.source.resolve() for task in tasks}
    for task in tasks:
        for path in task.outputs.values():
            if (out / path).resolve() in inputs:
                raise UsageError(
                    "E031",
                    f"the result of {task.name} would overwrite this input",
                    where=str(out / path),
                    action="Choose another folder with -o",
                )


def _refuse_other_settings(run: RunRecord, out: Path, key: str) -> None:
    action = "Choose another folder with -o, or replace them with --overwrite"
    if run.cellfleet != __version__:
        what = f"holds results of cellfleet {run.cellfleet}; those of {__version__} could differ"
        raise UsageError("E036", what, where=str(out), action=action)
    if run.key != key:
        what = f"holds results that were made with other settings ({run.command})"
        raise UsageError("E032", what, where=str(out), action=action)


def _refuse_foreign_files(tasks: Sequence[Task], out: Path) -> None:
    for path in (out / path for task in tasks for path in task.outputs.values()):
        if path.exists():
            raise UsageError(
                "E033",
                "exists and was not made by cellfleet in this folder",
                where=str(path),
                action="Choose another folder with -o, or replace it with --overwrite",
            )


def _refuse_other_images(tasks: Sequence[Task], out: Path, known: dict[str, ImageRecord]) -> None:
    for task in tasks:
        record = known.get(task.name)
        if record is None or record.input is None or record.status != "done":
            continue
        if record.input.path != portable_text(str(task.source.absolute())) and not _same_input(task, record):
            raise UsageError(
                "E034",
                f"results of another image of this name ({record.input.path}) stand in {out}",
                where=task.name,
                action="Choose another folder with -o, or replace them with --overwrite",
            )


def _same_input(task: Task, record: ImageRecord) -> bool:
    try:
        return record.input is not None and unchanged(task.source, record.input)
    except OSError:
        return False


def _complete(task: Task, record: ImageRecord, out: Path) -> bool:
    return all(record.outputs.get(form) == path and (out / path).is_file() for form, path in task.outputs.items())
