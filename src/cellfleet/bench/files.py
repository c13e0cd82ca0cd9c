"""Tables, numbers and figures of a benchmark → files in a folder. Knows no benchmark."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cellfleet
from cellfleet.errors import OutputError
from cellfleet.planning.paper import Table, csv_text
from cellfleet.planning.paper_style import Form, file_content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = Literal["both", "svg", "png", "none"]
_FORMS: Mapping[Figures, tuple[Form, ...]] = {"both": ("svg", "png"), "svg": ("svg",), "png": ("png",), "none": ()}


def write_bench(
    out: Path,
    name: str,
    tables: Sequence[Table],
    summary: Mapping[str, Any],
    drawings: Sequence[tuple[str, Callable[[Table], Figure], Table]],
    figures: Figures,
) -> None:
    """Write ``NAME.json`` and a CSV file per table, then the figures, which need a library.

    Raises:
        OutputError: E767, the folder cannot be written.
        UsageError: E745, matplotlib is not installed; all else is written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for content in tables:
            (out / f"{content.name}.csv").write_text(csv_text(content), encoding="utf-8", newline="")
        rows = {content.name: content.where() for content in tables}
        whole = json.dumps({"machine": this_machine(), **summary, "tables": rows}, indent=1, allow_nan=False)
        (out / f"{name}.json").write_text(whole + "\n", encoding="utf-8")
        for file, drawer, content in drawings:
            for form in _FORMS[figures]:
                (out / f"{file}.{form}").write_bytes(file_content(drawer, content, form))
    except OSError as error:
        raise OutputError(
            "E767", f"cannot be written ({error.strerror or error})", where=str(out), action="Choose another folder"
        ) from error


def this_machine() -> dict[str, Any]:
    """Return where and when this is, and how busy the machine is otherwise."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cellfleet": cellfleet.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "load": load,
    }


def aligned(content: Table, words: Callable[[Any], str]) -> str:
    """Return a table for the terminal."""
    rows = [content.columns, *(tuple(words(cell) for cell in row) for row in content.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(content.columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
