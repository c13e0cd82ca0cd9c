"""The table of an image, a row per object: CSV for people, Parquet for programs, the same values in both.

Knows Arrow; takes the columns as *measure* made them, batch by batch, and adds only the image's name. The integer in
`label` is the pixel value of the object in the label image. How the rows come in batches does not show in a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from cellfleet.results.columns import describe
from cellfleet.results.labelled import Columns, Rows

_ROW_GROUP = 1 << 16
"""Rows of a Parquet row group: 0.5 MB for each column, which compresses well and is soon read by column."""


def write_csv(path: Path, image: str, rows: Rows) -> None:
    """Write one row per object: ``image,label,…``; UTF-8, LF, decimal point.

    Numbers have the fewest digits that give the same float32 or float64 back. NaN is an empty field (a missing value
    in R, pandas and Excel alike), infinity is ``inf``. A file without objects has the header alone.
    """
    with open(path, "wb") as file:
        # Arrow would put quotes around every name of the header.
        file.write(csv_line(["image", *rows.types]).encode())
        for table in arrow_batches(image, rows):
            arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(include_header=False, quoting_style="needed"))


def write_parquet(
    path: Path, image: str, rows: Rows, *, model: str = "", microns_per_pixel: float | None = None
) -> None:
    """Write the same rows as `write_csv` with their types; NaN stays NaN.

    The file's metadata holds ``cellfleet``: JSON with `image`, `model` and `microns_per_pixel`; each column's field
    holds its ``description``.
    """
    told = {"image": portable_text(image), "model": model, "microns_per_pixel": microns_per_pixel}
    schema = arrow_schema(rows.types).with_metadata({"cellfleet": json.dumps(told)})
    # A relative path with a colon would be taken for an address.
    with parquet.ParquetWriter(path.absolute(), schema, compression="zstd") as writer:
        for table in _row_groups(arrow_batches(image, rows, nan_is_missing=False), schema):
            writer.write_table(table, row_group_size=_ROW_GROUP)


def _row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of `tables` again, `_ROW_GROUP` at a time; one empty table where there are none."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table.cast(schema)])
        while waiting.num_rows > _ROW_GROUP:
            yield waiting.slice(0, _ROW_GROUP).combine_chunks()
            waiting = waiting.slice(_ROW_GROUP)
    yield waiting.combine_chunks()


def arrow_batches(image: str, rows: Rows, *, nan_is_missing: bool = True) -> Iterator[pa.Table]:
    """Yield the rows as Arrow tables, one per batch, each as `arrow_table` makes it."""
    for columns in rows.batches():
        yield arrow_table(image, columns, nan_is_missing=nan_is_missing)


def arrow_table(image: str, columns: Columns, *, nan_is_missing: bool = True) -> pa.Table:
    """Return the columns as an Arrow table with `image` in front; NaN becomes null where `nan_is_missing`."""
    rows = len(next(iter(columns.values()), ()))
    names = pa.repeat(pa.scalar(portable_text(image), pa.string()), rows)
    values = [pa.array(column, from_pandas=nan_is_missing) for column in columns.values()]
    return pa.table([names, *values], schema=arrow_schema({name: column.dtype for name, column in columns.items()}))


def arrow_schema(types: Mapping[str, np.dtype[Any]]) -> pa.Schema:
    """Return the schema of a table with columns of `types`: `image` in front, each field with its description."""
    fields = {"image": pa.string()} | {portable_text(name): pa.from_numpy_dtype(kind) for name, kind in types.items()}
    return pa.schema([pa.field(name, kind, metadata={"description": describe(name)}) for name, kind in fields.items()])


def csv_line(fields: Iterable[str]) -> str:
    """Return one line of a CSV file. Python's own writer leaves a lone carriage return without quotes."""
    quoted = ('"' + f.replace('"', '""') + '"' if re.search('[",\r\n]', f) else f for f in map(portable_text, fields))
    return ",".join(quoted) + "\n"


def portable_text(text: str) -> str:
    r"""Return `text` as it can stand in a UTF-8 file.

    File names on Linux may hold bytes that are no UTF-8; Python keeps them as lone surrogates, which no UTF-8 file
    can hold. They become ``\udcXX``.
    """
    return text.encode("utf-8", "backslashreplace").decode()
