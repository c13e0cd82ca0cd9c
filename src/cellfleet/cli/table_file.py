"""A table as a file of its user's choice, by the end of its name. Knows no content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellfleet.errors import UsageError

if TYPE_CHECKING:
    import pyarrow


def save_table(table: pyarrow.Table, where: str) -> None:
    """Write a table as CSV or Parquet.

    Raises:
        UsageError: E970, the name ends neither in .csv nor in .parquet.
        OutputError: E301–E308, it cannot be written.
    """
    from pyarrow import csv, parquet

    from cellfleet.stores.atomic import replacing

    writers = {".csv": csv.write_csv, ".parquet": parquet.write_table}
    write = writers.get(Path(where).suffix.lower())
    if write is None:
        raise UsageError("E970", "is no table that can be written", where=where, action="Name it .csv or .parquet")
    with replacing(Path(where)) as temporary:
        write(table, temporary)
