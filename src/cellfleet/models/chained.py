"""The steps of workflows among the packages that were found. Loads nothing, and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cellfleet.errors import ModelError
from cellfleet.models.listing import Entry
from cellfleet.models.load import split_name
from cellfleet.models.versions import newness
from cellfleet.models.workflow import named_step, steps_of
from cellfleet.spec.model import WorkflowManifest

Pin = Callable[[Entry], list[str]]
"""What was remembered when a name and version were first used: the hash, and of a workflow its steps with versions."""


def with_steps(entries: Sequence[Entry], pin: Pin) -> tuple[Entry, ...]:
    """Return the same packages; workflows with their steps, or with what is wrong with them.

    A workflow that was used has the steps that it had then; before that, a step without version is the newest one.
    """
    return tuple(
        _chained(entry, entries, pin) if isinstance(entry.package.declared, WorkflowManifest) else entry
        for entry in entries
    )


def _chained(workflow: Entry, entries: Sequence[Entry], pin: Pin) -> Entry:
    def find(name: str) -> Entry:
        return _found(name, entries, pin)

    settled = pin(workflow)[1:]
    try:
        if settled:
            steps = [named_step(name, find, f"{workflow.name}:{workflow.version}") for name in settled]
        else:
            steps = steps_of(workflow.package, find, lambda entry: entry.package)
    except ModelError as error:
        return replace(workflow, trouble=error)
    return replace(workflow, steps=tuple(steps), size_bytes=sum(step.size_bytes for step in steps))


def _found(name: str, entries: Sequence[Entry], pin: Pin) -> Entry:
    """Return the newest package that a step's name can mean; of two that bear it, the one that was used first."""
    wanted = split_name(name)
    fits = [entry for entry in entries if wanted in {(entry.name, None), (entry.name, entry.version)}]
    if not fits:
        raise ModelError("E401", "there is no such model", where=name)
    version = max((entry.version for entry in fits), key=newness)
    newest = [entry for entry in fits if entry.version == version]
    used = pin(newest[0])[:1]
    return next((entry for entry in newest if [entry.package.sha256] == used), newest[0])
