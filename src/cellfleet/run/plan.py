"""Which images, under which names, into which files; and which of them are done already.

Asks the disk, writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import get_args

from cellfleet.errors import CellfleetError, UsageError
from cellfleet.images.identity import input_path, unchanged
from cellfleet.images.source import Source
from cellfleet.results.record import load_records, load_run_record
from cellfleet.run.names import all_files, output_names, output_stems
from cellfleet.run.shard_records import load_shards, refuse_other_settings
from cellfleet.spec.choices import Format, Output
from cellfleet.spec.record import ImageRecord, RunRecord
from cellfleet.stores.place import FolderPlace, Place
from cellfleet.stores.url import is_url


@dataclass(frozen=True)
class Task:
    """One image of a run."""

    source: Source
    index: int
    """Place in the list of all images."""
    outputs: dict[Output, str]
    """Output → its first file, or its folder, relative to the place of results."""
    kept: dict[str, str] = field(default_factory=dict)
    """Results of an earlier run in formats not asked for now that still hold."""
    stale: tuple[str, ...] = ()
    """Files of such results that do not: their labels would not be those of `outputs`."""

    @property
    def name(self) -> str:
        """Unique in the run, printable, with ``/``: the image column of the tables."""
        return self.source.name


@dataclass(frozen=True)
class Plan:
    """All images of a run, in order of their names."""

    tasks: tuple[Task, ...]
    done: dict[str, ImageRecord]
    """Name → record of the images that need no work."""
    changed: tuple[str, ...]
    """Names of images with results of an older content of the file."""
    by_blocks: bool = True
    """Whether machines that share the run share each of its images."""

    @property
    def to_do(self) -> tuple[Task, ...]:
        """Images that need work."""
        return tuple(task for task in self.tasks if task.name not in self.done)


def make_plan(
    sources: Sequence[Source],
    out: Place,
    key: str,
    formats: Sequence[Format],
    *,
    overwrite: bool,
    nuclei: bool = False,
) -> Plan:
    """Compare what is asked with what stands in `out`.

    Args:
        sources: Images found.
        out: Place of results; need not exist.
        key: `SegmentSpec.digest`; results of another key are not ours to replace.
        formats: Wanted result files.
        overwrite: Redo everything, whatever stands there.
        nuclei: Whether the objects are cells whose nuclei are found, too.

    Raises:
        UsageError: E031–E034, when something would be overwritten that this run did not make.
    """
    known = load_records(out)
    run = load_run_record(out) or next(iter(load_shards(out)), None)
    tasks = _tasks(_without_results(sources, out, known, ours=run is not None), formats, nuclei=nuclei)
    _refuse_inputs(tasks, out)
    tasks = tuple(_with_earlier(task, known.get(task.name), key) for task in tasks)
    if overwrite:
        return Plan(tasks, done={}, changed=())
    if run is None:
        _refuse_foreign_files(tasks, out)
    elif not _came_to_nothing(run, known):
        refuse_other_settings(run, out, key)
    _refuse_other_images(tasks, out, known)
    stands = _standing(out)
    done, changed = {}, []
    for task in tasks:
        record = known.get(task.name)
        if record is None or record.input is None or record.status != "done":
            continue
        if not _same_input(task, record):
            changed.append(task.name)
        elif record.key == key and _complete(task, record, stands):
            done[task.name] = record
    return Plan(tasks, done, tuple(changed))


def _tasks(sources: Sequence[Source], formats: Sequence[Format], *, nuclei: bool) -> tuple[Task, ...]:
    ordered = sorted(sources, key=lambda source: source.name)
    for source in ordered:
        path = PurePosixPath(source.name)
        assert path.parts and ".." not in path.parts and not path.is_absolute(), f"unsafe name {source.name!r}"
    stems = output_stems([source.name for source in ordered])
    return tuple(
        Task(source, index, output_names(stem, formats, nuclei=nuclei))
        for index, (source, stem) in enumerate(zip(ordered, stems, strict=True))
    )


def _with_earlier(task: Task, record: ImageRecord | None, key: str) -> Task:
    if record is None or record.status != "done":
        return task
    others = {form: path for form, path in record.outputs.items() if form not in task.outputs}
    if others and not (record.key == key and _same_input(task, record)):
        return replace(task, stale=recorded_files(others))
    return replace(task, kept=others)


def recorded_files(outputs: Mapping[Output, str] | Mapping[str, str]) -> tuple[str, ...]:
    """Return all files and folders of a record's or a task's `outputs`."""
    return tuple(name for form, first in outputs.items() for name in all_files(form, first))


def _without_results(
    sources: Sequence[Source], out: Place, known: dict[str, ImageRecord], *, ours: bool
) -> list[Source]:
    """Leave out files that this folder's earlier runs made (`find_images` does so only inside folders)."""
    if not isinstance(out, FolderPlace):
        return list(sources)
    files = {source: os.path.realpath(source.path) for source in sources if not is_url(source.path)}
    own = _files_among(set(files.values()), out, _own_results(sources, known, ours=ours))
    return [source for source in sources if files.get(source) not in own]


def _own_results(sources: Sequence[Source], known: dict[str, ImageRecord], *, ours: bool) -> Iterator[str]:
    for record in known.values():
        yield from recorded_files(record.outputs)
    if ours:
        # A run that was killed may have left results that no record tells of yet.
        for stem in output_stems([source.name for source in sources]):
            yield from recorded_files(output_names(stem, get_args(Format), nuclei=True))


def _files_among(paths: Set[str], out: FolderPlace, names: Iterable[str]) -> set[str]:
    """Return those of `paths` (absolute, without links) that `names` in `out` stand for."""
    found, folders = set(), dict[str, str]()
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in folders:
            # Asked of the disk once per folder: there are more than ten names for each image.
            folders[folder] = os.path.realpath(out.local(folder))
        path = os.path.join(folders[folder], file)
        if path in paths:
            found.add(path)
    return found


def _refuse_inputs(tasks: Sequence[Task], out: Place) -> None:
    if not isinstance(out, FolderPlace):
        return
    inputs = {Path(task.source.path).resolve() for task in tasks if not is_url(task.source.path)}
    for task in tasks:
        for name in recorded_files(task.outputs):
            if out.local(name).resolve() in inputs:
                raise UsageError(
                    "E031",
                    f"the result of {task.name} would overwrite this input",
                    where=str(out.local(name)),
                    action="Choose another folder with -o",
                )


def _refuse_foreign_files(tasks: Sequence[Task], out: Place) -> None:
    stands = _standing(out)
    for name in (name for task in tasks for name in recorded_files(task.outputs)):
        if stands(name):
            raise UsageError(
                "E033",
                "exists and was not made by cellfleet in this folder",
                where=f"{out.url}/{name}",
                action="Choose another folder with -o, or replace it with --overwrite",
            )


def _came_to_nothing(run: RunRecord, known: Mapping[str, ImageRecord]) -> bool:
    """Return whether every image of a finished run failed: whoever mends the command takes nothing from anybody."""
    failed = run.status == "done-with-failures" and run.shard is None
    return failed and not any(record.status == "done" for record in known.values())


def _standing(out: Place) -> Callable[[str], bool]:
    """Return who knows whether a file or folder stands in `out`: a bucket is listed once, not asked for each."""
    if isinstance(out, FolderPlace):
        return out.exists
    names = set(out.names())
    names |= {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    return names.__contains__


def _refuse_other_images(tasks: Sequence[Task], out: Place, known: dict[str, ImageRecord]) -> None:
    for task in tasks:
        record = known.get(task.name)
        if record is None or record.input is None or record.status != "done":
            continue
        if record.input.path != input_path(task.source) and not _same_input(task, record):
            raise UsageError(
                "E034",
                f"results of another image of this name ({record.input.path}) stand in {out.url}",
                where=task.name,
                action="Choose another folder with -o, or replace them with --overwrite",
            )


def _same_input(task: Task, record: ImageRecord) -> bool:
    try:
        return record.input is not None and unchanged(task.source, record.input)
    except (OSError, CellfleetError):
        return False


def _complete(task: Task, record: ImageRecord, stands: Callable[[str], bool]) -> bool:
    return all(
        record.outputs.get(form) == first and all(map(stands, all_files(form, first)))
        for form, first in task.outputs.items()
    )
