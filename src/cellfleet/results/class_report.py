"""What the report says of a run that classifies: how many images show each class, and a table of them. Knows no arrays.

The counts are those of the tables of classes, which have every image also where ``run.json`` has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from cellfleet.results.classes import CLASSES_CSV
from cellfleet.results.figures import grouped, short
from cellfleet.results.tables import portable_text
from cellfleet.spec.record import ImageRecord, PlaneClasses

_MOST_ROWS: Final = 1000
"""Of the table of images; the others stand in `CLASSES_CSV`."""
_MOST_CLASSES: Final = 100


def class_tiles(counts: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """Return kind, name and value of what is said first."""
    best = next(iter(counts), "")
    return [("", "Classes found", grouped(len(counts))), ("", "Most frequent", _text(best) or "–")]


def class_sections(done: Sequence[ImageRecord], counts: Mapping[str, int]) -> str:
    """Return the counts per class, and the images with their classes.

    Args:
        done: The images that have a result, as far as the run's record has them.
        counts: Class → planes, of all images; the most frequent first.
    """
    if not counts:
        return '<section><h2>Classes</h2><p class="lead">No image was classified.</p></section>'
    return _counts(counts) + _images(done)


def _counts(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{grouped(count)}</td><td>{count / total:.1%}</td></tr>'
        for name, count in list(counts.items())[:_MOST_CLASSES]
    )
    note = "Of the best class of each image; of a stack, of each plane."
    if len(counts) > _MOST_CLASSES:
        note += f" The {_MOST_CLASSES} most frequent of {grouped(len(counts))} classes."
    return (
        f'<section><h2>Classes</h2><p class="note">{note}</p><table class="numbers"><thead><tr>'
        '<th scope="col">Class</th><th scope="col">Images</th><th scope="col">Share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _images(done: Sequence[ImageRecord]) -> str:
    planes = [(record, plane) for record in done for plane in record.classes]
    rows = "".join(
        f'<tr><th scope="row">{_text(record.image)}{_place(plane)}</th><td>{_text(plane.top[0].name)}</td>'
        f"<td>{short(plane.top[0].score)}</td><td>{_others(plane)}</td></tr>"
        for record, plane in planes[:_MOST_ROWS]
    )
    note = f"All scores stand in {CLASSES_CSV}."
    if len(planes) > _MOST_ROWS:
        note = f"The first {grouped(_MOST_ROWS)} of {grouped(len(planes))}. {note}"
    return (
        f'<section><h2>Images</h2><p class="note">{note}</p><div class="scroll"><table class="images"><thead><tr>'
        '<th scope="col">Image</th><th scope="col">Class</th><th scope="col">Score</th>'
        f'<th scope="col">Next best</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _place(plane: PlaneClasses) -> str:
    return "".join(f" {axis}={index}" for axis, index in (("t", plane.t), ("z", plane.z)) if index is not None)


def _others(plane: PlaneClasses) -> str:
    return ", ".join(f"{_text(one.name)} {short(one.score)}" for one in plane.top[1:3])


def _text(text: str) -> str:
    return escape(portable_text(text))
