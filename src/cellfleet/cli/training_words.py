"""Training runs as lines and tables for people, as lines of JSON for programs. Asks no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from cellfleet.cli.progress import duration, message

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cellfleet.spec.training_http import Comparison, Scores, TrainingRun

_HEADS = ("id", "model", "state", "done", "F1", "begun")


def point_line(entry: Mapping[str, Any]) -> str:
    """Return a point of the curves as a line: step, seconds, loss, and the scores of the validation images."""
    nuclei = f"  nuclei F1 {_number(entry['nuclei_f1'])}" if "nuclei_f1" in entry else ""
    return (
        f"  step {entry['step']:6d}  {entry['seconds'] / 60:6.1f} min  loss {_number(entry['loss'])}  "
        f"F1 {_number(entry['f1'])}  AP {_number(entry['ap'])}  mean AP {_number(entry['mean_ap'])}{nuclei}\n"
    )


def score_lines(scores: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield the scores of a package, a line per data set."""
    for data, values in scores.items():
        yield (
            f"  {data.capitalize()}: F1 {values['f1']:.3f}, AP {values['ap']:.3f} at IoU 0.5, "
            f"mean AP {values['mean_ap']:.3f}\n"
        )


def write_json(found: Sequence[BaseModel], stream: TextIO) -> None:
    """Write one object per line, as the HTTP API tells it."""
    stream.writelines(f"{one.model_dump_json()}\n" for one in found)


def write_runs(runs: Sequence[TrainingRun], stream: TextIO) -> None:
    """Write one line per run."""
    rows = [_HEADS, *(_row(run) for run in runs)]
    stream.writelines(_aligned(rows))


def write_run(run: TrainingRun, stream: TextIO) -> None:
    """Write all that a user wants to know about one run."""
    asked = run.request
    budget = ", ".join(f"{value:g} {word}" for word, value in asked.budget.items())
    data = run.data
    lines = [
        ("run", run.id),
        ("model", asked.name),
        ("owner", run.owner),
        ("state", run.state + (f" ({run.phase})" if run.phase else "")),
        ("data set", asked.dataset),
        ("images", f"{data.train_images} to train, {data.validation_images} to validate" if data else ""),
        ("network", f"{asked.network}, recipe {asked.recipe}, {budget}"),
        ("begun", _moment(run.created_ms)),
        ("done", f"{run.share:.0%}"),
        ("left", "" if run.seconds_left is None else duration(run.seconds_left)),
        ("published", ", ".join(run.published)),
    ]
    stream.writelines(f"{name:<10} {value}\n" for name, value in lines if value)
    if run.latest:
        latest = run.latest
        stream.write(point_line({"step": latest.step, "seconds": latest.seconds, "loss": latest.loss, **latest.scores}))
    stream.writelines(score_lines(run.scores))
    if run.problem:
        stream.write(f"{message(run.problem)}\n")


def write_comparison(found: Comparison, name: str, stream: TextIO) -> None:
    """Write how the model `name` of a run compares with a published one: over all images, and image by image."""
    present = f"{found.present.name} {found.present.version}"
    for kind in found.results:
        heads = (kind.compartment, "objects", f"F1 {name}", f"F1 {present}", f"AP {name}", f"AP {present}")
        objects = sum(image.objects for image in kind.images)
        rows = [heads, ("all images", f"{objects}", *_pair(kind.new, kind.present))]
        rows += [(image.image, f"{image.objects}", *_pair(image.new, image.present)) for image in kind.images]
        stream.writelines(_aligned(rows))


def _row(run: TrainingRun) -> tuple[str, ...]:
    f1 = run.latest.scores.get("f1") if run.latest else None
    return (run.id, run.request.name, run.state, f"{run.share:.0%}", _number(f1), _moment(run.created_ms))


def _pair(new: Scores, present: Scores) -> tuple[str, ...]:
    return (_number(new.f1), _number(present.f1), _number(new.ap), _number(present.ap))


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%Y-%m-%d %H:%M}"
