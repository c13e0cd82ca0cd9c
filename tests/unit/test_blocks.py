"""Blocks partition a plane, start where files may be cut, and come in an order that needs few tiles at a time."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cellfleet.tiling.blocks import BLOCK, block_at, blocks

sides = st.integers(1, 40)
shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))
huge = st.integers(1, 200_000)


@given(shapes, sides)
@example((1, 1), 1)
def test_every_pixel_is_in_exactly_one_block(shape: tuple[int, int], side: int) -> None:
    # Sides that are cut alike in all rows: it is enough that both axes are partitioned, and each pair comes once.
    cut = blocks(shape, side)
    for length, spans in ((shape[0], {(b.y0, b.y1) for b in cut}), (shape[1], {(b.x0, b.x1) for b in cut})):
        ordered = sorted(spans)
        assert ordered[0][0] == 0 and ordered[-1][1] == length
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(ordered))
    assert len(set(cut)) == len(cut) == len({(b.y0, b.y1) for b in cut}) * len({(b.x0, b.x1) for b in cut})


@given(shapes, sides)
@example((30, 31), 20)
@example((3, 3), 2)
def test_blocks_start_at_multiples_and_only_the_last_has_another_size(shape: tuple[int, int], side: int) -> None:
    for box in blocks(shape, side):
        for start, stop, length in ((box.y0, box.y1, shape[0]), (box.x0, box.x1, shape[1])):
            assert start % side == 0
            if stop < length:
                assert stop - start == side
            elif start > 0:
                assert side / 2 <= stop - start <= 1.5 * side
            else:
                assert stop - start <= max(side, 1.5 * side)


@given(shapes, sides, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_the_block_of_a_pixel_is_the_one_that_holds_it(shape: tuple[int, int], side: int, v: float, u: float) -> None:
    y, x = int(v * shape[0]), int(u * shape[1])
    box = block_at(y, x, shape, side)
    assert box.y0 <= y < box.y1 and box.x0 <= x < box.x1
    assert box in blocks(shape, side)


@settings(max_examples=20)
@given(huge, huge)
def test_blocks_of_the_largest_planes_are_few_and_none_is_larger_than_planned(height: int, width: int) -> None:
    cut = blocks((height, width))
    assert len(cut) <= (height / BLOCK + 1) * (width / BLOCK + 1)
    assert all(max(box.shape) <= 1.5 * BLOCK for box in cut)


@given(shapes, sides)
@example((10, 40), 5)
@example((10, 41), 5)
def test_work_goes_row_by_row_and_column_by_column_where_a_plane_is_very_wide(
    shape: tuple[int, int], side: int
) -> None:
    """Files are stored row by row; of a very wide plane too many tiles would lie between done and not done."""
    cut = blocks(shape, side)
    wide = shape[1] > 4 * shape[0]
    assert cut == sorted(cut, key=lambda box: (box.x0, box.y0) if wide else (box.y0, box.x0))
