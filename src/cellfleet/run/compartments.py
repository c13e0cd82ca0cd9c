"""Cells and nuclei of an image that was done in blocks, put together: who belongs to whom, numbers, and both tables.

Cells keep the numbers that they have alone. A nucleus takes that of its cell; nuclei are looked up by number in the
blocks that hold them, so that tables come in batches as those of one compartment do. Held for the whole image are some
30 bytes per object, and while nuclei are matched some 100 more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.pipeline.measure import relabelled
from cellfleet.pipeline.nuclei import Matches, match
from cellfleet.results.columns import nucleus_column
from cellfleet.results.labelled import Columns, LabelImage, Objects, Rows
from cellfleet.run.parts import PartObjects, Parts
from cellfleet.run.stitch import HeldParts, Layout, Stitched, StitchedRows, remember, require_numbers
from cellfleet.tiling.box import Box

_TABLES_HELD = 32
"""Tables of blocks that are kept: some 2 MB each of dense tissue."""
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of an image whose objects are cells."""

    objects: Objects
    """As `Labelled.nuclei`."""
    measured: Rows
    """The rows in another order, without ``cell`` and the final numbers: quicker to go through."""
    without_cell: int
    """How many of them meet no cell."""
    cells_without: int
    """How many cells have none."""


def put_together(layout: Layout, parts: Parts) -> tuple[Objects, Rows, Nuclei]:
    """Return the cells with both tables, the table of the cells alone, and the nuclei.

    Args:
        layout: How the image was cut.
        parts: Of two compartments; none is missing.

    Raises:
        OutputError: As `Stitched`.
    """
    held = HeldParts(parts)
    cells, nuclei = Stitched(layout, held), Stitched(layout, _NucleiOf(held))
    matches = match(_counted(held, cells, nuclei), nuclei.count, cells.count)
    without_cell = int(np.count_nonzero(matches.cell[1:] == 0))
    cells_without = int(np.count_nonzero(matches.nucleus[1:] == 0))
    # The numbers of all cells, and behind them those of the nuclei that do not have the number of one.
    numbers = nuclei.count + cells_without
    require_numbers(numbers)
    rows, found = StitchedRows(cells), _ByNumber(nuclei)
    its = Objects(_Renumbered(nuclei, matches.number, numbers), _NucleusRows(found, matches))
    return Objects(cells, _CellRows(rows, found, matches)), rows, Nuclei(its, found.rows, without_cell, cells_without)


@dataclass(frozen=True, eq=False)
class _NucleiOf:
    parts: HeldParts

    def load(self, plane: int, box: Box) -> PartObjects:
        nuclei = self.parts.load(plane, box).nuclei
        assert nuclei is not None, "the model finds them"
        return nuclei


def _counted(parts: HeldParts, cells: Stitched, nuclei: Stitched) -> NDArray[np.int64]:
    """Return how many pixels nuclei and cells have in common, by their numbers in the image."""
    found = [np.empty((0, 3), np.int64)]
    for plane in range(cells.layout.planes):
        for box in cells.layout.boxes:
            counted = parts.load(plane, box).overlaps
            assert counted is not None, "the model finds them"
            nucleus, cell, pixels = counted.T
            found.append(
                np.column_stack([nuclei.numbers_met(plane, box)[nucleus], cells.numbers_met(plane, box)[cell], pixels])
            )
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Renumbered:
    """A label image with other numbers (a `LabelImage`)."""

    labels: LabelImage
    numbers: NDArray[np.uint32]
    """New label of each label."""
    count: int

    @property
    def axes(self) -> str:
        return self.labels.axes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def block(self) -> int:
        return self.labels.block

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        return relabelled(self.labels.read(plane, box), self.numbers)


class _ByNumber:
    """Rows of an image that was done in blocks, by the numbers of their objects."""

    def __init__(self, labels: Stitched) -> None:
        """Find out which block has which row."""
        self.rows = StitchedRows(labels)
        self.types = dict(self.rows.types)
        self._blocks = [(plane, box) for plane in range(labels.layout.planes) for box in labels.layout.boxes]
        self._owner = np.zeros(labels.count + 1, np.int32)
        for index, (plane, box) in enumerate(self._blocks):
            self._owner[labels.numbers(plane, labels.part(plane, box).first)] = index
        self._held: OrderedDict[int, Columns] = OrderedDict()

    def take(self, numbers: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Return the rows of these objects, in this order."""
        found = {name: np.empty(len(numbers), kind) for name, kind in self.types.items()}
        owners = self._owner[numbers]
        for index in np.unique(owners):
            its = np.flatnonzero(owners == index)
            columns = self._of_block(int(index))
            at = np.searchsorted(columns["label"], numbers[its])
            for name, values in found.items():
                values[its] = columns[name][at]
        return found

    def _of_block(self, index: int) -> Columns:
        columns = self._held.pop(index, None)
        if columns is None:
            columns = self.rows.of_block(*self._blocks[index])
        remember(self._held, index, columns, _TABLES_HELD)
        return columns


@dataclass(frozen=True, eq=False)
class _CellRows:
    """The table of the cells with columns of their nuclei (a `results.labelled.Rows`)."""

    cells: Rows
    nuclei: _ByNumber
    matches: Matches

    @property
    def count(self) -> int:
        return self.cells.count

    @property
    def types(self) -> Mapping[str, np.dtype[Any]]:
        # A cell without a nucleus has no such whole number.
        its = {name: np.dtype(np.float64) for name in map(nucleus_column, self.nuclei.types) if name}
        return {**self.cells.types, "nuclei": np.dtype(np.int64), **its}

    def batches(self) -> Iterator[Columns]:
        counts = np.bincount(self.matches.cell[1:], minlength=len(self.matches.nucleus))
        for columns in self.cells.batches():
            its = self.matches.nucleus[columns["label"]]
            has = its > 0
            beside = {}
            for name, values in self.nuclei.take(its[has]).items():
                if column := nucleus_column(name):
                    beside[column] = np.full(len(its), np.nan)
                    beside[column][has] = values
            yield {**columns, "nuclei": counts[columns["label"]].astype(np.int64), **beside}


@dataclass(frozen=True, eq=False)
class _NucleusRows:
    """The table of the nuclei, ascending number (a `results.labelled.Rows`)."""

    found: _ByNumber
    matches: Matches

    @property
    def count(self) -> int:
        return self.found.rows.count

    @property
    def types(self) -> Mapping[str, np.dtype[Any]]:
        number = np.dtype(np.uint32)
        return {"label": number, "cell": number, **{n: k for n, k in self.found.types.items() if n != "label"}}

    def batches(self) -> Iterator[Columns]:
        order = 1 + np.argsort(self.matches.number[1:], kind="stable")
        for start in range(0, len(order), _BATCH_ROWS):
            its = order[start : start + _BATCH_ROWS]
            rest = {name: values for name, values in self.found.take(its).items() if name != "label"}
            yield {"label": self.matches.number[its], "cell": self.matches.cell[its], **rest}
