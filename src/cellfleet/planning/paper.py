"""Tables that the papers' figures are drawn from: a name, columns, rows. As CSV and as Markdown. Draws nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float
"""What stands in a table."""


@dataclass(frozen=True)
class Table:
    """One figure's numbers."""

    name: str
    """Of its files, without ending."""
    title: str
    columns: tuple[str, ...]
    """With units."""
    rows: tuple[tuple[Cell, ...], ...]

    def where(self, **wanted: Cell) -> list[dict[str, Any]]:
        """Return the rows in which the columns have these values, as dictionaries."""
        named = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return [row for row in named if all(row[column] == value for column, value in wanted.items())]


def table(name: str, title: str, rows: Sequence[Mapping[str, Cell]]) -> Table:
    """Return a table of rows that all have the same columns."""
    columns = tuple(rows[0])
    return Table(name, title, columns, tuple(tuple(row[column] for column in columns) for row in rows))


def csv_text(content: Table) -> str:
    """Return the table as CSV, numbers with six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(content.columns)
    writer.writerows([[_plain(cell) for cell in row] for row in content.rows])
    return out.getvalue()


def _plain(cell: Cell) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def markdown(content: Table) -> str:
    """Return the table in Markdown, numbers with three significant digits."""
    lines = [content.columns, ["---"] * len(content.columns), *([said(cell) for cell in row] for row in content.rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def said(cell: Cell) -> str:
    """Return a cell as people read it: three significant digits, no exponent."""
    if not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 100:
        return f"{cell:.0f}"
    return f"{cell:.3g}"
