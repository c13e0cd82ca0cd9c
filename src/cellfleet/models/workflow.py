"""Workflows: which models one is made of, and what its content is. Knows no folder, store or runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cellfleet.errors import ModelError
from cellfleet.models.package import Package
from cellfleet.spec.model import ModelManifest, TranslatorManifest, WorkflowManifest

Step = TypeVar("Step")
_UNKNOWN = "E401"


def steps_of(workflow: Package, find: Callable[[str], Step], package_of: Callable[[Step], Package]) -> list[Step]:
    """Return the models of a workflow in order; a workflow in the last place gives its own.

    Args:
        workflow: What declares them.
        find: Returns what a step's name means; raises `ModelError` E401 where it means nothing.
        package_of: What it describes.

    Raises:
        ModelError: E413 a step is not there, E414 the workflow contains itself, E415 its steps do not go together.
    """
    steps = list(_flat(workflow, find, package_of, ()))
    declared = [package_of(step).declared for step in steps]
    for number, (before, after) in enumerate(zip(declared, [*declared[1:], None], strict=True), start=1):
        wanted = ModelManifest if after is None else TranslatorManifest
        if not isinstance(before, wanted):
            raise _does_not_fit(workflow, number, before.name, last=after is None)
    return steps


def workflow_sha256(workflow: Package, steps: Sequence[str]) -> str:
    """Return the hash of a workflow whose steps have these hashes."""
    return hashlib.sha256("".join((workflow.sha256, *steps)).encode()).hexdigest()


def _flat(
    workflow: Package, find: Callable[[str], Step], package_of: Callable[[Step], Package], path: tuple[str, ...]
) -> Iterator[Step]:
    declared = workflow.declared
    assert isinstance(declared, WorkflowManifest), "the caller looked"
    path = (*path, f"{declared.name}:{declared.version}")
    for number, name in enumerate(declared.steps, start=1):
        step = named_step(name, find, path[0])
        package = package_of(step)
        if not isinstance(package.declared, WorkflowManifest):
            yield step
        elif f"{package.declared.name}:{package.declared.version}" in path:
            raise _cycle((*path, name))
        elif number < len(declared.steps):
            # Refused here already: workflows of workflows would otherwise grow without bound.
            raise _does_not_fit(workflow, number, name, last=False)
        else:
            yield from _flat(package, find, package_of, path)


def named_step(name: str, find: Callable[[str], Step], workflow: str) -> Step:
    """Return what the name of a step means to `find`, which raises E401. Raises `ModelError` E413: nothing."""
    try:
        return find(name)
    except ModelError as error:
        if error.code != _UNKNOWN:
            raise
        raise ModelError(
            "E413",
            f"needs the model {name!r}, which is not there",
            where=workflow,
            action="Put its package beside that of the workflow, or correct the steps in its rdf.yaml",
        ) from error


def _cycle(path: Sequence[str]) -> ModelError:
    return ModelError(
        "E414",
        f"the workflow contains itself: {' → '.join(path)}",
        where=path[0],
        action="Correct the steps in its rdf.yaml",
    )


def _does_not_fit(workflow: Package, number: int, name: str, *, last: bool) -> ModelError:
    wanted = "the last step has to find objects" if last else "all steps but the last have to predict images"
    return ModelError(
        "E415",
        f"step {number} is {name}, and {wanted}",
        where=f"{workflow.declared.name}:{workflow.declared.version}",
        action="Correct the steps in its rdf.yaml: translation models first, then one that segments",
    )
