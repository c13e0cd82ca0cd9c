"""The table of an image, a row per object: CSV for people, Parquet for programs, the same values in both.

Knows Arrow; takes the columns as *measure* made them and adds only the image's name. The integer in `label` is the
pixel value of the object in the label image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from cellfleet.results.atomic import replacing
from cellfleet.results.columns import describe

Columns = Mapping[str, np.ndarray]
"""Name → 1-d array, one item per object, in the order in which the columns are written."""


def write_csv(path: Path, image: str, columns: Columns) -> None:
    """Write one row per object: ``image,label,…``; UTF-8, LF, decimal point.

    Numbers have the fewest digits that give the same float32 or float64 back. NaN is an empty field (a missing value
    in R, pandas and Excel alike), infinity is ``inf``. A file without objects has the header alone.

    Raises:
        OutputError: E301–E308.
    """
    table = arrow_table(image, columns)
    with replacing(path, needed_bytes=table.nbytes * 2) as temporary, open(temporary, "wb") as file:
        # Arrow would put quotes around every name of the header.
        file.write(csv_line(table.column_names).encode())
        arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(include_header=False, quoting_style="needed"))


def write_parquet(
    path: Path, image: str, columns: Columns, *, model: str = "", microns_per_pixel: float | None = None
) -> None:
    """Write the same rows as `write_csv` with their types; NaN stays NaN.

    The file's metadata holds ``cellfleet``: JSON with `image`, `model` and `microns_per_pixel`; each column's field
    holds its ``description``.

    Raises:
        OutputError: E301–E308.
    """
    table = arrow_table(image, columns, nan_is_missing=False)
    told = {"image": portable_text(image), "model": model, "microns_per_pixel": microns_per_pixel}
    table = table.replace_schema_metadata({"cellfleet": json.dumps(told)})
    with replacing(path, needed_bytes=table.nbytes) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def arrow_table(image: str, columns: Columns, *, nan_is_missing: bool = True) -> pa.Table:
    """Return the columns as an Arrow table with `image` in front; NaN becomes null where `nan_is_missing`."""
    rows = len(next(iter(columns.values()))) if columns else 0
    arrays = {"image": pa.repeat(pa.scalar(portable_text(image), pa.string()), rows)}
    arrays |= {
        portable_text(name): pa.array(np.asarray(values), from_pandas=nan_is_missing)
        for name, values in columns.items()
    }
    fields = [pa.field(name, array.type, metadata={"description": describe(name)}) for name, array in arrays.items()]
    return pa.table(list(arrays.values()), schema=pa.schema(fields))


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
