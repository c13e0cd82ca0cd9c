"""`cellfleet bench paper`: the papers' figures, simulated. Words and files only; `planning` reckons and draws them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cellfleet.cli.session import EXIT_DONE

if TYPE_CHECKING:
    from cellfleet.planning.paper import Table
    from cellfleet.planning.paper_figures import Everything
    from cellfleet.planning.paper_style import Form


def paper(
    *,
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="Folder for tables and figures. [default: none are written]")
    ] = None,
    figures: Annotated[
        Literal["both", "svg", "png", "none"], Parameter(help="Kinds of figures to write beside the tables.")
    ] = "both",
    prices: Annotated[
        str | None, Parameter(help="Price table for today, as of 'cellfleet plan'. [default: the newest]")
    ] = None,
) -> int:
    """Simulate the papers' runs; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.planning.paper_figures import everything
    from cellfleet.planning.prices import KIOSK, load_prices

    today = load_prices(prices)
    sys.stderr.write("Simulating the papers' runs: about 20 seconds.\n")
    found = everything(load_prices(KIOSK), today)
    if out is not None:
        _write(found, out, figures)
    sys.stdout.write(_aligned(found.numbers))
    return EXIT_DONE


def _write(found: Everything, out: Path, figures: Literal["both", "svg", "png", "none"]) -> None:
    """Write tables first: they need nothing that may not be installed.

    Raises:
        OutputError: E746, the folder cannot be written.
        UsageError: E745, matplotlib is not installed.
    """
    from cellfleet.errors import OutputError
    from cellfleet.planning.paper import csv_text
    from cellfleet.planning.paper_style import file_content

    forms: dict[str, tuple[Form, ...]] = {"both": ("svg", "png"), "svg": ("svg",), "png": ("png",), "none": ()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for content in (*found.tables, found.numbers):
            (out / f"{content.name}.csv").write_text(csv_text(content), encoding="utf-8", newline="")
        for drawing in found.drawings:
            for form in forms[figures]:
                picture = file_content(drawing.drawer, drawing.content, form)
                (out / f"{drawing.name}.{form}").write_bytes(picture)
    except OSError as error:
        raise OutputError(
            "E746", f"the figures cannot be written ({error})", where=str(out), action="Choose another folder with -o"
        ) from error
    sys.stderr.write(
        f"Done: {len(found.tables) + 1} tables and {len(found.drawings) * len(forms[figures])} figures in {out}\n"
    )


def _aligned(content: Table) -> str:
    from cellfleet.planning.paper import said

    rows = [content.columns, *([said(cell) for cell in row] for row in content.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(content.columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
