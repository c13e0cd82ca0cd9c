"""A plane cut into blocks: the units of work, of memory and of resume. Pure geometry; knows no pixels.

Blocks start at multiples of the block size, so that they never share a chunk or shard of a result, and the last one of
an axis takes in a remainder that is too small to stand alone. Tiles (`grid.py`) are cut independently of them.
"""

from __future__ import annotations

from cellfleet.tiling.box import Box

BLOCK = 2048
"""Side of a block, px: with its halo about 5 megapixels of working memory, a thousand tasks per 4 gigapixels."""

_WIDE = 4
"""From this ratio of width to height on, a plane is worked off column by column."""


def blocks(shape: tuple[int, int], side: int = BLOCK) -> list[Box]:
    """Partition a plane (Y, X) into blocks of `side` px, the last of an axis between half and one and a half as long.

    They come in the order of work: row by row, as most files are stored; of a plane that is much wider than high
    column by column, so that few tiles lie between the blocks that are done and those that are not.
    """
    height, width = shape
    rows, columns = _cuts(height, side), _cuts(width, side)
    if width <= _WIDE * height:
        return [Box(y0, x0, y1, x1) for y0, y1 in rows for x0, x1 in columns]
    return [Box(y0, x0, y1, x1) for x0, x1 in columns for y0, y1 in rows]


def block_at(y: int, x: int, shape: tuple[int, int], side: int = BLOCK) -> Box:
    """Return the block that holds a pixel."""
    (y0, y1), (x0, x1) = _cut_at(y, shape[0], side), _cut_at(x, shape[1], side)
    return Box(y0, x0, y1, x1)


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    starts = range(0, _last_start(length, side) + 1, side)
    return [(start, _stop(start, length, side)) for start in starts]


def _cut_at(position: int, length: int, side: int) -> tuple[int, int]:
    start = min(position // side * side, _last_start(length, side))
    return start, _stop(start, length, side)


def _last_start(length: int, side: int) -> int:
    """A remainder under half a block belongs to the block before."""
    return max(0, (length - side // 2 - 1) // side * side) if length > side else 0


def _stop(start: int, length: int, side: int) -> int:
    return length if start == _last_start(length, side) else start + side
