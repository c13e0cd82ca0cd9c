"""Cells and nuclei of one image: how much of each nucleus lies in which cell, and which nucleus is whose.

A nucleus belongs to the cell that holds most of its pixels, so that a nucleus wholly inside a cell belongs to it. What
meets no cell, and cells without a nucleus, are kept. Knows label images and numbers; no blocks and no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BAND = 256
"""Rows that are counted at a time: a pair of labels takes 8 bytes per pixel."""

Overlaps = NDArray[np.int64]
"""(k, 3): nucleus, cell or 0 where there is none, and how many pixels they have in common. A pair may come in several
rows; over all rows of a nucleus the pixels sum up to its area."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Which nucleus is whose. Position 0 of every array stands for background and holds 0."""

    cell: NDArray[np.uint32]
    """(nuclei + 1,) the cell of each nucleus; 0: none."""
    nucleus: NDArray[np.uint32]
    """(cells + 1,) the largest nucleus of each cell, the first of those; 0: none."""
    number: NDArray[np.uint32]
    """(nuclei + 1,) the final number of each nucleus: that of its cell for those in `nucleus`. The others go on behind
    the last cell in their order."""


def overlaps(nuclei: NDArray[np.uint32], cells: NDArray[np.uint32]) -> Overlaps:
    """Count the pixels of every pair of labels.

    Args:
        nuclei: (Y, X), 0 = background, which is left out.
        cells: (Y, X), 0 = background, which is not.

    Returns:
        Each pair once, ascending.
    """
    found = [np.empty((0, 3), np.int64)]
    for y in range(0, len(nuclei), _BAND):
        its, around = nuclei[y : y + _BAND], cells[y : y + _BAND]
        inside = its > 0
        pairs = (its[inside].astype(np.uint64) << np.uint64(32)) | around[inside]
        # Neighbours along a row are mostly equal: so there is little to sort.
        starts = np.flatnonzero(np.diff(pairs, prepend=~pairs[:1]))
        lengths = np.diff(starts, append=len(pairs))
        found.append(np.column_stack([pairs[starts] >> np.uint64(32), pairs[starts] & np.uint64(0xFFFFFFFF), lengths]))
    return _summed(np.concatenate(found, dtype=np.int64, casting="unsafe"))


def match(counted: Overlaps, nuclei: int, cells: int) -> Matches:
    """Find the cell of every nucleus, and number the nuclei.

    The best cell is that with most pixels of the nucleus, of several the one with the lowest number.

    Args:
        counted: Of the whole image.
        nuclei: How many there are: they count from 1.
        cells: Likewise.
    """
    nucleus, cell, pixels = _summed(counted).T
    areas = np.zeros(nuclei + 1, np.int64)
    np.add.at(areas, nucleus, pixels)
    met = cell > 0
    cell_of = np.zeros(nuclei + 1, np.uint32)
    best = _best_of_each(nucleus[met], (cell[met], -pixels[met]))
    cell_of[nucleus[met][best]] = cell[met][best]
    owned = np.flatnonzero(cell_of)
    largest = owned[_best_of_each(cell_of[owned], (owned, -areas[owned]))]
    nucleus_of = np.zeros(cells + 1, np.uint32)
    nucleus_of[cell_of[largest]] = largest
    number = np.zeros(nuclei + 1, np.uint32)
    number[largest] = cell_of[largest]
    others = 1 + np.flatnonzero(number[1:] == 0)
    number[others] = cells + 1 + np.arange(len(others))
    return Matches(cell_of, nucleus_of, number)


def _summed(counted: Overlaps) -> Overlaps:
    """Return each pair once, ascending."""
    if not len(counted):
        return counted
    ordered = counted[np.lexsort((counted[:, 1], counted[:, 0]))]
    starts = np.flatnonzero(np.any(np.diff(ordered[:, :2], axis=0, prepend=-1), axis=1))
    return np.column_stack([ordered[starts, :2], np.add.reduceat(ordered[:, 2], starts)])


def _best_of_each(group: NDArray[np.generic], by: tuple[NDArray[np.generic], ...]) -> NDArray[np.intp]:
    """Return for each group the position of its first item in the order of `by`, whose last key counts most."""
    order = np.lexsort((*by, group))
    _, first = np.unique(group[order], return_index=True)
    return order[first]
