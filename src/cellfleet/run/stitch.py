"""From blocks to one result: every object gets its final number, and labels and table can be read from the parts.

Objects are numbered from 1 in raster order of their first pixel, plane after plane: the numbers that a single run over
the whole plane gives. Nothing but the places of the first pixels is held for the whole image (8 bytes per object).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import OutputError
from cellfleet.results.labelled import Columns
from cellfleet.run.parts import Part, PartObjects, Parts
from cellfleet.tiling.blocks import block_at, blocks
from cellfleet.tiling.box import Box

PARTS_DISAGREE = "E516"
_LARGEST_LABEL = 2**32 - 2
_PARTS_HELD = 192
"""Packed parts that are kept: three rows of blocks of a plane 130 000 px wide."""
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Layout:
    """The planes of an image and how they are cut."""

    axes: str
    """Of the image without C."""
    shape: tuple[int, ...]
    block: int
    """Side of the blocks, px."""

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.shape[-2], self.shape[-1]

    @property
    def planes(self) -> int:
        """Number of planes."""
        return int(np.prod(self.shape[:-2], dtype=np.int64))

    @property
    def boxes(self) -> list[Box]:
        """Blocks of each plane, in the order of work."""
        return blocks(self.plane_shape, self.block)

    def positions(self, plane: int) -> dict[str, int]:
        """Return ``t`` and ``z`` of a plane, of those axes that the image has."""
        letters = self.axes[:-2].lower()
        indices = np.unravel_index(plane, self.shape[:-2]) if letters else ()
        return {letter: int(index) for letter, index in zip(letters, indices, strict=True)}


class HeldParts:
    """Blocks that are done and read again and again: the newest are kept."""

    def __init__(self, parts: Parts) -> None:
        """Take parts of which none is missing."""
        self._parts = parts
        self._held: OrderedDict[tuple[int, Box], Part] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, plane: int, box: Box) -> Part:
        """Return a block."""
        with self._lock:
            part = self._held.get((plane, box))
            if part is not None:
                self._held.move_to_end((plane, box))
                return part
        part = self._parts.load(plane, box)
        with self._lock:
            remember(self._held, (plane, box), part, _PARTS_HELD)
        return part


class Loader(Protocol):
    """Who has the objects of one compartment, block by block."""

    def load(self, plane: int, box: Box) -> PartObjects:
        """Return those of a block."""
        ...


class Stitched:
    """The labels of an image that was done in blocks (a `LabelImage`), and the numbers of its objects."""

    def __init__(self, layout: Layout, parts: Loader) -> None:
        """Take parts of which none is missing.

        Raises:
            OutputError: E513, there are more objects than numbers; E516, machines that shared the image disagree.
        """
        self.layout, self._parts = layout, parts
        self._firsts = [self._first_pixels(plane) for plane in range(layout.planes)]
        self._offsets = np.cumsum([0, *(len(first) for first in self._firsts)])
        require_numbers(self.count)
        self._numbers: OrderedDict[tuple[int, Box], NDArray[np.uint32]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def axes(self) -> str:
        """Of the image without C."""
        return self.layout.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """One length per letter of `axes`."""
        return self.layout.shape

    @property
    def count(self) -> int:
        """Number of objects."""
        return int(self._offsets[-1])

    @property
    def block(self) -> int:
        """Side of the blocks, px."""
        return self.layout.block

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        """Return the labels of a region."""
        labels = np.empty(box.shape, np.uint32)
        for block in self._meeting(box):
            common = block.common(box)
            part, numbers = self._numbered(plane, block)
            rows = part.rows(common.y0 - block.y0, common.y1 - block.y0)
            found = rows[:, common.x0 - block.x0 : common.x1 - block.x0]
            np.take(numbers, found, out=labels[common.within(box)], mode="clip")
        return labels

    def numbers(self, plane: int, first: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the labels of objects of a plane by their first pixels."""
        rank = np.searchsorted(self._firsts[plane], first)
        labels: NDArray[np.uint32] = (self._offsets[plane] + rank + 1).astype(np.uint32)
        return labels

    def _first_pixels(self, plane: int) -> NDArray[np.int64]:
        parts, surplus = [], 0
        for box in self.layout.boxes:
            part = self._parts.load(plane, box)
            parts.append(part.first)
            surplus += part.surplus
        found = np.sort(np.concatenate(parts))
        if surplus or (found[1:] == found[:-1]).any():
            # An object is in the labels and not in the table, or twice in it.
            raise _disagreement()
        return found

    def _meeting(self, box: Box) -> Iterator[Box]:
        y = box.y0
        while y < box.y1:
            x = box.x0
            while x < box.x1:
                block = block_at(y, x, self.layout.plane_shape, self.layout.block)
                yield block
                x = block.x1
            y = block.y1

    def _numbered(self, plane: int, box: Box) -> tuple[PartObjects, NDArray[np.uint32]]:
        """Return a part, and the label of each value of its labels."""
        with self._lock:
            numbered = self._numbers.get((plane, box))
        part = self.part(plane, box)
        if numbered is None:
            numbered = np.zeros(len(part.met) + 1, np.uint32)
            numbered[1:] = self.numbers(plane, self._first_of(plane, part.met))
            with self._lock:
                remember(self._numbers, (plane, box), numbered, _PARTS_HELD)
        return part, numbered

    def numbers_met(self, plane: int, box: Box) -> NDArray[np.uint32]:
        """Return the label of each value of a block's own labels, 0 of 0."""
        return self._numbered(plane, box)[1]

    def part(self, plane: int, box: Box) -> PartObjects:
        """Return a block."""
        return self._parts.load(plane, box)

    def _first_of(self, plane: int, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first pixels of objects by their seeds: asked of the blocks that own them.

        Raises:
            OutputError: E516, the owner does not know the object.
        """
        rows, columns = np.divmod(seeds, self.layout.plane_shape[1])
        first = np.empty(len(seeds), np.int64)
        left = np.ones(len(seeds), bool)
        while left.any():
            index = int(np.argmax(left))
            owner = block_at(int(rows[index]), int(columns[index]), self.layout.plane_shape, self.layout.block)
            its = (rows >= owner.y0) & (rows < owner.y1) & (columns >= owner.x0) & (columns < owner.x1)
            part = self.part(plane, owner)
            if not np.isin(seeds[its], part.seeds).all():
                raise _disagreement()
            order = np.argsort(part.seeds)
            first[its] = part.first[order[np.searchsorted(part.seeds, seeds[its], sorter=order)]]
            left &= ~its
        return first


def _disagreement() -> OutputError:
    return OutputError(
        PARTS_DISAGREE,
        "machines that shared the image found different objects where their parts meet",
        action="Run the same command once more without --shard: one machine then does this image anew",
    )


def require_numbers(count: int) -> None:
    """Raise OutputError E513 where there are more objects than a label image can number."""
    if count > _LARGEST_LABEL:
        raise OutputError(
            "E513",
            f"{count} objects are more than a label image can number",
            action="Cut the image into parts",
        )


Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(kept: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keep the newest `most` values."""
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)


@dataclass(frozen=True, eq=False)
class StitchedRows:
    """The table of an image that was done in blocks (a `results.labelled.Rows`)."""

    labels: Stitched

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.labels.count

    @property
    def types(self) -> Mapping[str, np.dtype[Any]]:
        """Name → type of each column."""
        layout = self.labels.layout
        columns = self.of_block(0, layout.boxes[0])
        return {name: values.dtype for name, values in columns.items() if name != "first"}

    def batches(self) -> Iterator[Columns]:
        """Yield all rows in the order of their labels."""
        for plane in range(self.labels.layout.planes):
            for columns in self._plane(plane):
                length = len(columns["label"])
                for start in range(0, length, _BATCH_ROWS):
                    yield {name: values[start : start + _BATCH_ROWS] for name, values in columns.items()}

    def _plane(self, plane: int) -> Iterator[Columns]:
        """Yield the rows of a plane by rows of blocks: objects may begin in the row of blocks above their own."""
        boxes = self.labels.layout.boxes
        rows = [[box for box in boxes if box.y0 == y0] for y0 in sorted({box.y0 for box in boxes})]
        earliest = [min(int(self._first(plane, box)) for box in row) for row in rows]
        pending: list[Columns] = []
        for index, row in enumerate(rows):
            pending += [self.of_block(plane, box) for box in row]
            merged = {name: np.concatenate([columns[name] for columns in pending]) for name in pending[0]}
            order = np.argsort(merged["first"], kind="stable")
            ready = int(np.searchsorted(merged["first"][order], min(earliest[index + 1 :], default=2**63 - 1)))
            yield {name: values[order[:ready]] for name, values in merged.items() if name != "first"}
            pending = [{name: values[order[ready:]] for name, values in merged.items()}]

    def _first(self, plane: int, box: Box) -> int:
        first = self.labels.part(plane, box).first
        return int(first[0]) if len(first) else 2**63 - 1

    def of_block(self, plane: int, box: Box) -> dict[str, NDArray[Any]]:
        """Return the table of a block with final labels, the position of the plane, and the objects' first pixels."""
        part = self.labels.part(plane, box)
        found = part.columns()
        count = len(part.first)
        positions = self.labels.layout.positions(plane)
        return {
            "label": self.labels.numbers(plane, part.first),
            **{letter: np.full(count, at, np.int32) for letter, at in positions.items()},
            **{name: values for name, values in found.items() if name != "label"},
            "first": part.first,
        }
