"""Results of an earlier run read back: labels by regions, the table by batches, as their writers were given them.

For results in further formats without segmenting again. Knows the label formats and tables of this package, by the
name that `spec/choices.py` gives them; where they stand is the caller's business.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray
from pyarrow import parquet

from cellfleet.errors import InputError
from cellfleet.images.border import decoding
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.results.labelled import Columns
from cellfleet.spec.choices import Format
from cellfleet.spec.record import ImageRecord
from cellfleet.stores.client import asking
from cellfleet.stores.remote import is_url, zarr_store
from cellfleet.tiling.box import Box

LABEL_FORMATS: tuple[Format, ...] = ("ome-zarr", "ome-zarr-0.4", "labels-tiff")
"""Formats that labels are read back from; those that are quicker to read by regions first."""
TABLE_FORMATS: tuple[Format, ...] = ("parquet", "csv")
"""Formats that tables are read back from; the one that keeps the types first."""

_BATCH_ROWS = 1 << 15
_COUNTED: dict[str, type[np.generic]] = {
    "label": np.uint32,
    "cell": np.uint32,
    "t": np.int32,
    "z": np.int32,
    "nuclei": np.int64,
}
"""Types of columns, as *measure* and the run make them; the others hold float64."""
_PIXELS = ("y_min_px", "x_min_px", "y_max_px", "x_max_px", "area_px")
_WHOLE = ("min_", "max_", "sum_")
"""Whole numbers where the pixels are."""


@dataclass(frozen=True, eq=False)
class FileLabels:
    """The labels of a file (a `results.labelled.LabelImage`)."""

    axes: str
    shape: tuple[int, ...]
    count: int
    reader: Callable[[int, Box], NDArray[Any]]
    block: int = 2048

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        """Return the labels of a region."""
        return self.reader(plane, box).astype(np.uint32, copy=False)


def open_labels(form: Format, address: str, record: ImageRecord, *, nuclei: bool = False) -> FileLabels:
    """Open the label image of a run.

    Args:
        form: One of `LABEL_FORMATS`.
        address: Path or address of its file or folder.
        record: Of the image, from the same run.
        nuclei: Whether they are those of the cells' nuclei.

    Raises:
        InputError: E1xx, it cannot be read; E043, it is not the one that the record tells of.
    """
    lengths = record.labelled_lengths
    axes, shape = "".join(lengths), tuple(lengths.values())
    reader = (
        _tiff_reader(address, lengths, record.image)
        if form == "labels-tiff"
        else _zarr_reader(address, shape, record.image)
    )
    count = record.nuclei.numbers if nuclei and record.nuclei else record.objects
    return FileLabels(axes, shape, count, reader)


def _tiff_reader(address: str, lengths: Mapping[str, int], name: str) -> Callable[[int, Box], NDArray[Any]]:
    image = open_image(Source(address, name))
    if image.dtype.kind != "u" or any(image.length(axis) != lengths.get(axis, 1) for axis in "TCZYX"):
        raise _not_these_labels(f"{image.axes} {image.shape} {image.dtype}", address)

    def read(plane: int, box: Box) -> NDArray[Any]:
        t, z = divmod(plane, image.length("Z"))
        pixels: NDArray[Any] = image.read(t, z, y=box.y, x=box.x)[0]
        return pixels

    return read


def _zarr_reader(address: str, shape: tuple[int, ...], name: str) -> Callable[[int, Box], NDArray[Any]]:
    import zarr  # noqa: PLC0415 (0.3 s that other formats need not wait for)
    from zarr.errors import NodeNotFoundError  # noqa: PLC0415 (as zarr)

    with _zarr_errors(address, name):
        try:
            array = zarr.open_array(zarr_store(address), path="0", mode="r")
        except NodeNotFoundError as error:
            raise _not_these_labels("no array 0", address) from error
    if array.shape != shape or array.dtype.kind != "u":
        raise _not_these_labels(f"{array.shape} {array.dtype}", address)

    def read(plane: int, box: Box) -> NDArray[Any]:
        at = [int(index) for index in np.unravel_index(plane, shape[:-2])] if len(shape) > 2 else []
        index: tuple[int | slice, ...] = (*at, box.y, box.x)
        with _zarr_errors(address, name):
            return np.asarray(array[index])

    return read


@contextlib.contextmanager
def _zarr_errors(address: str, name: str) -> Iterator[None]:
    """Say in our words what damaged files and servers make of zarr."""
    of_server = asking(address) if is_url(address) else contextlib.nullcontext()
    with decoding(address, name, "OME-Zarr", part="pixels"), of_server:
        yield


def _not_these_labels(found: str, address: str) -> InputError:
    return _not_of_this_run(f"holds {found}, not the labels of this image", address)


def open_rows(form: Format, opened: Callable[[], BinaryIO], record: ImageRecord, *, nuclei: bool = False) -> FileRows:
    """Return the table of a run.

    Args:
        form: One of `TABLE_FORMATS`.
        opened: Opens its file, seekable.
        record: Of the image, from the same run.
        nuclei: Whether it is that of the cells' nuclei.

    Raises:
        InputError: E043, it is damaged or not the one that the record tells of; also while it is read.
    """
    with _reading(record), opened() as file:
        types = _parquet_types(file) if form == "parquet" else _csv_types(file, record)
    count = record.nuclei.objects if nuclei and record.nuclei else record.objects
    return FileRows(form, opened, record, types, count)


@dataclass(frozen=True, eq=False)
class FileRows:
    """The table of a file (a `results.labelled.Rows`)."""

    form: Format
    opened: Callable[[], BinaryIO]
    record: ImageRecord
    types: Mapping[str, np.dtype[Any]]
    count: int
    """Number of rows."""

    def batches(self) -> Iterator[Columns]:
        """Yield the rows."""
        rows = 0
        with _reading(self.record), self.opened() as file:
            for batch in _parquet_batches(file) if self.form == "parquet" else _csv_batches(file, self.types):
                rows += batch.num_rows
                yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in self.types}
        if rows != self.count:
            raise _not_of_this_run(f"the table has {rows} rows, not {self.count}", self.record.image)


def _parquet_types(file: BinaryIO) -> dict[str, np.dtype[Any]]:
    schema = parquet.read_schema(file)
    return {field.name: np.dtype(field.type.to_pandas_dtype()) for field in schema if field.name != "image"}


def _parquet_batches(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    yield from parquet.ParquetFile(file).iter_batches(_BATCH_ROWS)


def _csv_types(file: BinaryIO, record: ImageRecord) -> dict[str, np.dtype[Any]]:
    """Return the types that the columns had before they became text."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    names = next(csv.reader(text), ["image"])
    text.detach()
    counts = np.dtype(record.dtype).kind in "ui"

    def type_of(name: str) -> np.dtype[Any]:
        whole = name in _PIXELS or (counts and name.startswith(_WHOLE))
        return np.dtype(_COUNTED.get(name, np.int64 if whole else np.float64))

    return {name: type_of(name) for name in names if name != "image"}


def _csv_batches(file: BinaryIO, types: Mapping[str, np.dtype[Any]]) -> Iterator[pa.RecordBatch]:
    columns = {name: pa.from_numpy_dtype(kind) for name, kind in types.items()}
    # Names may hold line ends, in quotes.
    parsing = arrow_csv.ParseOptions(newlines_in_values=True)
    converting = arrow_csv.ConvertOptions(column_types=columns, include_columns=list(columns))
    yield from arrow_csv.open_csv(file, parse_options=parsing, convert_options=converting)


@contextlib.contextmanager
def _reading(record: ImageRecord) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError, csv.Error) as error:
        raise _not_of_this_run(f"the table cannot be read ({' '.join(str(error).split())})", record.image) from error


def _not_of_this_run(what: str, where: str) -> InputError:
    return InputError("E043", what, where=where, action="Run cellfleet segment again, with --overwrite")
