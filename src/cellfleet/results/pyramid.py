"""A label image at its own size and at half, a quarter …: every block of every level is made once, level by level up.

Levels take every second pixel of the level below: labels cannot be averaged. Knows no file format.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellfleet.results.labelled import LabelImage, plane_count
from cellfleet.tiling.box import Box

_SMALLEST = 512
"""Longest side of the last level, px: what a viewer reads at once for a first look."""


class Piece(NamedTuple):
    """One block of one level."""

    plane: int
    level: int
    box: Box
    """Where it stands, in pixels of its level."""
    labels: NDArray[np.uint32]


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return height and width of every level of an image whose last two lengths are Y and X, the largest first."""
    shapes = [(shape[-2], shape[-1])]
    while max(shapes[-1]) > _SMALLEST:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


def pieces(labels: LabelImage, side: int) -> Iterator[Piece]:
    """Yield every block of every level once.

    The blocks come as in a walk through a tree: a block follows its four children in the level below, each of which
    left it a quarter of its pixels. So no level is read back, and no more is held than one block for each level.

    Args:
        labels: Read in boxes of `side` × `side`, each once.
        side: Of the blocks, px; even, and at least 512, so that the smallest level is one block.
    """
    shapes = level_shapes(labels.shape)

    def walk(plane: int, level: int, row: int, column: int) -> Generator[Piece, None, NDArray[np.uint32]]:
        tile = Box(row * side, column * side, (row + 1) * side, (column + 1) * side)
        box = tile.common(Box.whole(shapes[level]))
        if level == 0:
            pixels = labels.read(plane, box)
        else:
            pixels = np.empty(box.shape, np.uint32)
            for y, x in product((0, side // 2), (0, side // 2)):
                if y < box.shape[0] and x < box.shape[1]:
                    half = yield from walk(plane, level - 1, 2 * row + (y > 0), 2 * column + (x > 0))
                    pixels[y : y + half.shape[0], x : x + half.shape[1]] = half
        yield Piece(plane, level, box, pixels)
        return pixels[::2, ::2]

    for plane in range(plane_count(labels)):
        yield from walk(plane, len(shapes) - 1, 0, 0)
