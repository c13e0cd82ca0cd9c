"""`cellfleet models list`: which models there are here, or on a server."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from cellfleet.spec.http import ModelInfo

_HEADINGS = ("name", "version", "finds", "channels", "pixel size (µm)", "F1", "licence", "from")
_WORDS = {"classification": "classes of images", "translation": "images from images"}
_COMPARTMENTS = {"nuclear": "nuclei", "whole-cell": "whole cells"}


def list(
    *,
    on: Annotated[
        str | None, Parameter(metavar="SERVER", help="A server's, by its address or name. [default: those here]")
    ] = None,
    json: Annotated[bool, Parameter(show_default=False, help="One JSON object per model and line.")] = False,
) -> int:
    """List models; the text of its help stands in `cellfleet.cli.help`."""
    models = _there(on) if on else _here()
    if json:
        sys.stdout.writelines(f"{model.model_dump_json()}\n" for model in models)
    else:
        write_table([_HEADINGS, *(_row(model, on or "yours") for model in models)])
    return 0


def _here() -> Iterable[ModelInfo]:
    from cellfleet.models.own import local_models

    return [entry.info for entry in local_models()]


def _there(server: str) -> Iterable[ModelInfo]:
    from cellfleet.client.client import Client

    with Client(server) as client:
        return client.models()


def _row(model: ModelInfo, place: str) -> tuple[str, ...]:
    scale = f"{model.microns_per_pixel:g}" if model.microns_per_pixel else "any"
    # A package states the scores of its validation set first.
    best = next(iter(model.scores.values()), None)
    return (
        model.name,
        model.version,
        finds(model),
        ", ".join(model.roles),
        scale,
        "" if best is None else f"{best:.3f}",
        model.licence[:20],
        "cellfleet" if model.bundled else place,
    )


def finds(model: ModelInfo) -> str:
    """Return in words what a model finds."""
    if model.compartments:
        return " and ".join(_COMPARTMENTS[compartment] for compartment in model.compartments)
    return _WORDS.get(model.task, model.task)


def write_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Write rows with their columns below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
