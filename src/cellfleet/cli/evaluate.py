"""`cellfleet evaluate`: scores of predicted label images, as a table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cellfleet.errors import UsageError
from cellfleet.spec.choices import CompartmentChoice

if TYPE_CHECKING:
    from cellfleet.evaluation.evaluate import Evaluation
    from cellfleet.evaluation.table import Rows
    from cellfleet.spec.model import Compartment

_STDOUT = "-"
_SMALLEST_STEP = 0.001


def evaluate(
    pred: Path,
    truth: Path,
    /,
    *,
    iou: list[str] | None = None,
    compartment: CompartmentChoice | None = None,
    json: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
) -> int:
    """Compare predicted label images with the truth.

    Args:
        pred: Results folder of `segment`, folder of label images (TIFF, PNG), or one label image.
        truth: Folder of true label images, data set with images/ and labels/ (cells/, nuclei/), or one label image.
        iou: IoU threshold 0.5…1, or first:last:step; repeatable. Default 0.5:0.9:0.1.
        compartment: Of a data set with cells/ and nuclei/: which. Default: both, where PRED holds both.
        json: File for all numbers; - prints them instead of the table. Default: evaluate.json in PRED, if a folder.
    """
    from cellfleet.evaluation.evaluate import evaluate as compare
    from cellfleet.evaluation.matching import IOU_THRESHOLDS

    thresholds = _thresholds(iou) if iou else IOU_THRESHOLDS
    results = {
        one: compare(pred, truth, iou_thresholds=thresholds, compartment=one)
        for one in _compartments(pred, truth, compartment)
    }
    if json is None and pred.is_dir():
        json = pred / "evaluate.json"
    _write(results, json, pred, truth)
    for result in results.values():
        _tell_problems(result)
    return 3 if any(result.failures or result.truth_only for result in results.values()) else 0


def _compartments(pred: Path, truth: Path, asked: CompartmentChoice | None) -> tuple[Compartment, ...] | tuple[None]:
    """Return what is to be compared, one after the other; None where the truth is of one kind of objects."""
    from cellfleet.evaluation.files import compartments_of, tells_nuclei_apart

    there = compartments_of(truth)
    if asked in {None, "both"}:
        if len(there) < 2 and asked is None:
            return there or (None,)
        if len(there) == 2 and tells_nuclei_apart(pred):
            return there
        raise UsageError(
            "E612",
            "cells and nuclei cannot both be compared: one side does not hold both",
            where="--compartment",
            action="Say whole-cell or nuclear",
        )
    if asked not in there:
        raise UsageError(
            "E612",
            "the truth has no folder of it beside images/",
            where=f"--compartment {asked}",
            action="Leave it out",
        )
    return ("nuclear",) if asked == "nuclear" else ("whole-cell",)


def _thresholds(texts: list[str]) -> tuple[float, ...]:
    """Read ``0.5`` and ``0.5:0.95:0.05``; sorted, each once."""
    values: set[float] = set()
    for text in texts:
        try:
            first, last, step = (float(part) for part in (text.split(":") if ":" in text else (text, text, "1")))
            count = int((last - first) / max(step, _SMALLEST_STEP) + 1.5)
            if not 1 <= count <= 1 / _SMALLEST_STEP:
                raise ValueError(f"{count} thresholds")
        except (ValueError, OverflowError) as error:
            raise UsageError(
                "E709",
                f"{text!r} is not an IoU threshold",
                where="--iou",
                action="Write for example --iou 0.5, or --iou 0.5:0.95:0.05 for first:last:step",
            ) from error
        values.update(round(first + number * max(step, _SMALLEST_STEP), 6) for number in range(count))
    return tuple(sorted(values))


def _write(results: Mapping[Compartment | None, Evaluation], json_file: Path | None, pred: Path, truth: Path) -> None:
    import json

    from cellfleet import __version__
    from cellfleet.evaluation.table import image_rows, threshold_rows
    from cellfleet.results.atomic import write_bytes

    if json_file is not None:
        head = {"cellfleet": __version__, "pred": str(pred), "truth": str(truth)}
        text = json.dumps({**head, **_as_dict(results)}, indent=1, ensure_ascii=False) + "\n"
        if str(json_file) == _STDOUT:
            sys.stdout.write(text)
            return
    # The table first: where the file cannot be written, the work is not lost.
    for compartment, result in results.items():
        if len(results) > 1:
            sys.stdout.write(f"{'Nuclei' if compartment == 'nuclear' else 'Whole cells'}\n")
        _show(image_rows(result))
        sys.stdout.write("\n")
        _show(threshold_rows(result))
        if len(results) > 1:
            sys.stdout.write("\n")
    if json_file is not None:
        write_bytes(json_file, text.encode())
        sys.stderr.write(f"All numbers: {json_file}\n")


def _as_dict(results: Mapping[Compartment | None, Evaluation]) -> dict[str, Any]:
    """Return one result as it is, and several under the names of their compartments."""
    if len(results) == 1:
        return next(iter(results.values())).as_dict()
    return {
        "format_version": 1,
        "compartments": {compartment: result.as_dict() for compartment, result in results.items()},
    }


def _show(rows: Rows) -> None:
    """Print a table; with lines and bold face only where a person reads it."""
    from cellfleet.evaluation.table import aligned

    if not sys.stdout.isatty():
        sys.stdout.write(aligned(rows) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, title in enumerate(rows[0]):
        table.add_column(title, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    Console().print(table)


def _tell_problems(result: Evaluation) -> None:
    for error in result.failures:
        sys.stderr.write(f"{error}\n")
    if result.truth_only:
        sys.stderr.write(_unpaired("true label image", "prediction", result.truth_only, "W701"))
    if result.pred_only:
        sys.stderr.write(_unpaired("prediction", "true label image", result.pred_only, "W702"))


def _unpaired(what: str, partner: str, paths: tuple[str, ...], code: str) -> str:
    some = ", ".join(Path(path).name for path in paths[:3]) + (", …" if len(paths) > 3 else "")
    plural = "s have" if len(paths) > 1 else " has"
    return f"{len(paths)} {what}{plural} no {partner} and count nowhere: {some} [{code}]\n"
