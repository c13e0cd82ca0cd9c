"""Which nucleus belongs to which cell: held against the words of the definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cellfleet.pipeline.nuclei import Matches, match, overlaps

Labels = NDArray[np.uint32]
SIDE = 12


def labels(most: int) -> st.SearchStrategy[Labels]:
    """Draw a label image in which every number up to its largest is somewhere."""
    drawn = hnp.arrays(np.uint32, (SIDE, SIDE), elements=st.integers(0, most))
    return drawn.map(lambda one: np.unique(np.append(np.uint32(0), one), return_inverse=True)[1][1:]).map(
        lambda one: one.astype(np.uint32).reshape(SIDE, SIDE)
    )


def matched(nuclei: Labels, cells: Labels) -> Matches:
    return match(overlaps(nuclei, cells), int(nuclei.max()), int(cells.max()))


def shared(nuclei: Labels, cells: Labels, nucleus: int) -> dict[int, int]:
    """Return cell → pixels that the nucleus has in it."""
    inside = cells[nuclei == nucleus]
    return {int(cell): int((inside == cell).sum()) for cell in np.unique(inside[inside > 0])}


@given(labels(7), labels(5))
def test_every_pair_is_counted_once_with_its_pixels(nuclei: Labels, cells: Labels) -> None:
    expected = [
        [n, c, int(((nuclei == n) & (cells == c)).sum())]
        for n in range(1, int(nuclei.max()) + 1)
        for c in range(int(cells.max()) + 1)
    ]
    assert overlaps(nuclei, cells).tolist() == [row for row in expected if row[2]]


def test_pairs_are_counted_over_many_rows() -> None:
    rng = np.random.default_rng(0)
    nuclei, cells = (rng.integers(0, 4, (1000, 3)).astype(np.uint32) for _ in range(2))
    found = overlaps(nuclei, cells)
    assert len(found) == 12 and found[:, 2].sum() == np.count_nonzero(nuclei)
    assert found[0].tolist() == [1, 0, int(((nuclei == 1) & (cells == 0)).sum())]


@given(labels(7), labels(5))
def test_a_nucleus_wholly_inside_a_cell_belongs_to_it(nuclei: Labels, cells: Labels) -> None:
    found = matched(nuclei, cells)
    for nucleus in range(1, int(nuclei.max()) + 1):
        around = np.unique(cells[nuclei == nucleus])
        if len(around) == 1:
            assert found.cell[nucleus] == around[0]


@given(labels(7), labels(5))
def test_another_belongs_to_the_cell_that_holds_most_of_it_and_of_equal_ones_to_the_first(
    nuclei: Labels, cells: Labels
) -> None:
    found = matched(nuclei, cells)
    for nucleus in range(1, int(nuclei.max()) + 1):
        pixels = shared(nuclei, cells, nucleus)
        best = min(pixels, key=lambda cell: (-pixels[cell], cell)) if pixels else 0
        assert found.cell[nucleus] == best


@given(labels(7), labels(5))
def test_of_several_nuclei_the_largest_has_the_cells_number_and_of_equal_ones_the_first(
    nuclei: Labels, cells: Labels
) -> None:
    found = matched(nuclei, cells)
    areas = np.bincount(nuclei.ravel(), minlength=2)
    for cell in range(1, int(cells.max()) + 1):
        its = [n for n in range(1, int(nuclei.max()) + 1) if found.cell[n] == cell]
        first = min(its, key=lambda n: (-areas[n], n)) if its else 0
        assert found.nucleus[cell] == first
        assert not first or found.number[first] == cell


@given(labels(7), labels(5))
def test_all_others_are_kept_with_numbers_behind_the_last_cell_in_their_order(nuclei: Labels, cells: Labels) -> None:
    found, last = matched(nuclei, cells), int(cells.max())
    numbers = found.number[1:]
    assert len(set(numbers.tolist())) == nuclei.max() and (numbers > 0).all()
    assert numbers[numbers > last].tolist() == list(range(last + 1, last + 1 + int((numbers > last).sum())))
    assert (found.cell[0], found.nucleus[0], found.number[0]) == (0, 0, 0)


@settings(max_examples=30)
@given(labels(7), labels(5), st.lists(st.integers(0, SIDE), max_size=3), st.randoms(use_true_random=False))
def test_what_blocks_count_by_themselves_adds_up(nuclei: Labels, cells: Labels, cuts: list[int], rng: object) -> None:
    parts = [
        overlaps(nuclei[y0:y1], cells[y0:y1]) for y0, y1 in zip([0, *sorted(cuts)], [*sorted(cuts), SIDE], strict=True)
    ]
    rng.shuffle(parts)  # type: ignore[attr-defined]
    found = match(np.concatenate(parts), int(nuclei.max()), int(cells.max()))
    expected = matched(nuclei, cells)
    for name in ("cell", "nucleus", "number"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(("nuclei", "cells"), [(0, 0), (0, 3), (3, 0)])
def test_one_compartment_may_be_empty(nuclei: int, cells: int) -> None:
    rows = np.array([[number, 0, 5] for number in range(1, nuclei + 1)], np.int64).reshape(-1, 3)
    found = match(rows, nuclei, cells)
    assert found.number.tolist() == [0, *range(cells + 1, cells + 1 + nuclei)]
    assert not found.cell.any() and not found.nucleus.any()
