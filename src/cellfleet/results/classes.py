"""The tables of a run that classifies: a row per plane of every image, and how many planes show each class.

``classes.csv`` for people and ``classes.parquet`` for programs hold the same rows, ``class_counts.csv`` their sums.
Made from the records as they pass by, so memory does not grow with the number of images.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa
from pyarrow import parquet

from cellfleet.results.tables import csv_line, portable_text
from cellfleet.spec.record import ImageRecord, PlaneClasses
from cellfleet.stores.place import Place

CLASSES_CSV: Final = "classes.csv"
CLASSES_PARQUET: Final = "classes.parquet"
CLASS_COUNTS: Final = "class_counts.csv"
CLASS_TABLES: Final = (CLASSES_CSV, CLASSES_PARQUET, CLASS_COUNTS)
_ROW_GROUP: Final = 1 << 16


def with_class_tables(out: Place, records: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Yield the records again; when all have passed, the three tables stand in `out`.

    The columns are ``image``, ``t`` and ``z`` (planes from 0; empty where the image has no such axis), ``class`` and
    ``score`` of the best class, then ``class_2``, ``score_2`` and so on. Images that failed have no row.

    Args:
        out: Where the results are.
        records: Of a run that classifies, in the order of the rows.

    Raises:
        OutputError: E301–E308, E32x; the tables of before are left.
    """
    counts: Counter[str] = Counter()
    with (
        out.replacing(CLASSES_CSV) as plain,
        out.replacing(CLASSES_PARQUET) as packed,
        _tables(plain, packed) as tables,
    ):
        for record in records:
            for plane in record.classes:
                tables.add(record.image, plane)
                counts[plane.top[0].name] += 1
            yield record
    lines = [csv_line(("class", "planes")), *(csv_line((name, str(planes))) for name, planes in counts.most_common())]
    out.write(CLASS_COUNTS, "".join(lines).encode())


def read_class_counts(out: Place) -> dict[str, int]:
    """Return how many planes show each class, the most frequent first; nothing where no table is there."""
    content = io.StringIO((out.read(CLASS_COUNTS) or b"").decode(), newline="")
    return {row["class"]: int(row["planes"]) for row in csv.DictReader(content)}


class _Tables:
    """Both files of rows; how many classes a row tells shows with the first."""

    def __init__(self, plain: TextIO, packed: Path) -> None:
        self._plain, self._packed = plain, packed
        self._writer: parquet.ParquetWriter | None = None
        self._schema = pa.schema([])
        self._rows: list[dict[str, Any]] = []

    def add(self, image: str, plane: PlaneClasses) -> None:
        if self._writer is None:
            self._begin(len(plane.top))
        row: dict[str, Any] = {"image": portable_text(image), "t": plane.t, "z": plane.z}
        for number, one in enumerate(plane.top, start=1):
            row |= dict(zip(_columns(number), (portable_text(one.name), one.score), strict=True))
        self._plain.write(csv_line("" if row.get(name) is None else str(row[name]) for name in self._schema.names))
        self._rows.append(row)
        if len(self._rows) == _ROW_GROUP:
            self._flush()

    def end(self) -> None:
        if self._writer is None:
            self._begin(1)
        self._flush()
        assert self._writer, "it was begun"
        self._writer.close()

    def _begin(self, top: int) -> None:
        scored = [name for number in range(1, top + 1) for name in _columns(number)]
        types = dict.fromkeys(scored[::2], pa.string()) | dict.fromkeys(scored[1::2], pa.float32())
        fields = [
            ("image", pa.string()),
            ("t", pa.int32()),
            ("z", pa.int32()),
            *((name, types[name]) for name in scored),
        ]
        self._schema = pa.schema(fields)
        # A relative path with a colon would be taken for an address.
        self._writer = parquet.ParquetWriter(self._packed.absolute(), self._schema, compression="zstd")
        self._plain.write(csv_line(self._schema.names))

    def _flush(self) -> None:
        assert self._writer, "it was begun"
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


@contextlib.contextmanager
def _tables(plain: Path, packed: Path) -> Iterator[_Tables]:
    with open(plain, "w", encoding="utf-8", newline="") as file:
        tables = _Tables(file, packed)
        try:
            yield tables
        finally:
            tables.end()


def _columns(number: int) -> tuple[str, str]:
    return ("class", "score") if number == 1 else (f"class_{number}", f"score_{number}")
