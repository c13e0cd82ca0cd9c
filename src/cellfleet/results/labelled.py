"""What every result file is made from: a label image that is read by regions, and the table by batches.

A small result stands in memory, a large one on the disk; writers see these two interfaces and never the whole. The
same integer names the same object in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.image import Image
from cellfleet.spec.model import Compartment
from cellfleet.tiling.box import Box

Columns = Mapping[str, NDArray[Any]]
"""Name → 1-d array, one item per object, in the order in which the columns are written."""


class LabelImage(Protocol):
    """Labels of all planes of one image: 0 = background, else one object each."""

    @property
    def axes(self) -> str:
        """Of the image without C: subset of ``TZYX`` in that order that ends in ``YX``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """One length per letter of `axes`."""
        ...

    @property
    def count(self) -> int:
        """Largest label: number of objects, unless these are nuclei, where cells that lack one leave gaps."""
        ...

    @property
    def block(self) -> int:
        """Side of the blocks, px, anchored at the origin, that are cheapest to read; strips of them come next."""
        ...

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        """Return the labels of a region (height, width). Planes count from 0 over T, then Z."""
        ...


class Rows(Protocol):
    """The table of one image, ascending label."""

    @property
    def count(self) -> int:
        """Number of rows."""
        ...

    @property
    def types(self) -> Mapping[str, np.dtype[Any]]:
        """Name → type of each column, in order; the first is ``label``."""
        ...

    def batches(self) -> Iterator[Columns]:
        """Yield all rows from the first on, at most some ten thousand at a time. May be called again."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayLabels:
    """Labels that stand in memory."""

    array: NDArray[np.uint32]
    axes: str
    count: int
    block: int = 2048

    @property
    def shape(self) -> tuple[int, ...]:
        """One length per letter of `axes`."""
        return self.array.shape

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        """Return a view of a region."""
        return self.array.reshape(-1, *self.array.shape[-2:])[plane, box.y, box.x]


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """A table that stands in memory."""

    columns: Columns

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def types(self) -> Mapping[str, np.dtype[Any]]:
        """Name → type of each column."""
        return {name: values.dtype for name, values in self.columns.items()}

    def batches(self) -> Iterator[Columns]:
        """Yield the whole table."""
        yield self.columns


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one compartment."""

    labels: LabelImage
    rows: Rows


@dataclass(frozen=True, eq=False)
class Labelled:
    """One segmented image: all that a writer of results may know."""

    name: str
    """Of the image: unique in the run, printable, with ``/``; the `image` column of the tables."""
    labels: LabelImage
    rows: Rows
    key: str
    """Of the run (`SegmentSpec.digest`): equal keys and names mean the same objects."""
    model: str = ""
    """``name:version``."""
    compartment: Compartment = "nuclear"
    """What an object is."""
    microns_per_pixel: float | None = None
    source: str = ""
    """Path or address of the image, absolute, as the user gave it."""
    link: str | None = None
    """Path from the labels to the image where both are OME-Zarr; None: not told."""
    nuclei: Objects | None = None
    """Where the objects are cells and their nuclei were found, too. A nucleus has the number of its cell; further ones
    of a cell, and those without one, have numbers behind the last cell. Its table has the column ``cell``, and that of
    the cells the columns ``nucleus_…``."""

    predicted: Image | None = None
    """What a workflow predicted, and objects were found in."""

    def of_nuclei(self) -> Labelled:
        """Return the nuclei as a result of their own."""
        assert self.nuclei, "the caller looked"
        its = self.nuclei
        return replace(self, labels=its.labels, rows=its.rows, compartment="nuclear", nuclei=None)


def plane_count(labels: LabelImage) -> int:
    """Return the number of planes (T × Z)."""
    return int(np.prod(labels.shape[:-2], dtype=np.int64))


def read_all(labels: LabelImage) -> NDArray[np.uint32]:
    """Return all planes as one array with the axes of `labels`. Only for formats that cannot be written piecewise."""
    array = np.empty((plane_count(labels), *labels.shape[-2:]), np.uint32)
    for plane, pixels in enumerate(array):
        for y in range(0, labels.shape[-2], labels.block):
            box = Box(y, 0, min(y + labels.block, labels.shape[-2]), labels.shape[-1])
            pixels[box.y] = labels.read(plane, box)
    return array.reshape(labels.shape)


def all_columns(rows: Rows) -> dict[str, NDArray[Any]]:
    """Return the whole table. Only for those who want it in memory, and formats that cannot be written piecewise."""
    batches = list(rows.batches())
    return {
        name: np.concatenate([np.zeros(0, dtype), *(batch[name] for batch in batches)])
        for name, dtype in rows.types.items()
    }
