"""`cellfleet bench timings`: where the time of a finished run went, image by image. Words and files only."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cellfleet.cli.session import EXIT_DONE

if TYPE_CHECKING:
    import pyarrow


def timings(
    results: Annotated[str, Parameter(name="RESULTS", help="Folder or bucket address that segment wrote with -o.")],
    /,
    *,
    out: Annotated[
        str | None, Parameter(name=("--out", "-o"), help="A row per image: .csv or .parquet. [default: not written]")
    ] = None,
) -> int:
    """Say where the time of a run went; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.table_file import save_table
    from cellfleet.results.timings import timings as collected
    from cellfleet.stores.place import open_place

    found = collected(open_place(results))
    if out is not None:
        save_table(found, out)
        sys.stderr.write(f"{found.num_rows} images are in {out}\n")
    sys.stdout.write(_summary(found))
    return EXIT_DONE


def _summary(found: pyarrow.Table) -> str:
    """Return a line per stage: all images, the middle one, the slowest, and the share of the whole."""
    from cellfleet.observe.table import STAGES

    columns = {stage: found[f"{stage}_s"].to_pylist() for stage in STAGES}
    whole = sum(map(sum, columns.values()))
    lines: list[tuple[str, ...]] = [("stage", "all, s", "median, s", "most, s", "share")]
    for stage, seconds in columns.items():
        if any(seconds):
            share = f"{100 * sum(seconds) / whole:.0f} %"
            numbers = (sum(seconds), statistics.median(seconds), max(seconds))
            lines.append((stage, *(f"{number:.3g}" for number in numbers), share))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join((line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:]))).rstrip() + "\n" for line in lines
    )
