"""Tiles: write regions partition the image, and every pixel is predicted with its context."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.spec.model import Tile
from cellfleet.tiling.grid import spans, tiles

tile_specs = st.builds(
    Tile, multiple=st.sampled_from([1, 2, 16]), halo=st.integers(0, 70), largest=st.integers(16, 300)
)


@given(length=st.integers(1, 3000), tile=tile_specs)
def test_write_spans_partition_the_axis(length: int, tile: Tile) -> None:
    cut = spans(length, tile)
    assert cut[0].write_start == 0
    assert cut[-1].write_stop == length
    assert all(before.write_stop == after.write_start for before, after in itertools.pairwise(cut))
    assert all(span.write_start < span.write_stop for span in cut)


@given(length=st.integers(1, 3000), tile=tile_specs)
def test_every_pixel_has_its_halo_or_the_edge_of_the_image(length: int, tile: Tile) -> None:
    for span in spans(length, tile):
        assert span.read_start == 0 or span.write_start - span.read_start >= tile.halo
        assert span.read_stop == length or span.read_stop - span.write_stop >= tile.halo
        assert 0 <= span.read_start <= span.write_start < span.write_stop <= span.read_stop <= length


@given(length=st.integers(1, 3000), tile=tile_specs)
def test_spans_keep_the_phase_of_strided_layers(length: int, tile: Tile) -> None:
    for span in spans(length, tile):
        assert span.read_start % tile.multiple == 0
        assert span.write_start % tile.multiple == 0


@given(length=st.integers(1, 3000), tile=tile_specs)
def test_memory_is_bounded_by_the_tile(length: int, tile: Tile) -> None:
    longest = max(span.read_stop - span.read_start for span in spans(length, tile))
    assert longest <= tile.largest + 3 * tile.halo + 3 * tile.multiple


@given(height=st.integers(1, 90), width=st.integers(1, 90), tile=st.builds(Tile, halo=st.just(5), largest=st.just(16)))
def test_tiles_cover_each_pixel_once(height: int, width: int, tile: Tile) -> None:
    hits = np.zeros((height, width), int)
    for y, x in tiles((height, width), tile):
        hits[y.write, x.write] += 1
        assert np.arange(height)[y.read][y.inside].tolist() == list(range(y.write_start, y.write_stop))
    assert (hits == 1).all()


def test_an_image_a_little_over_the_largest_size_is_one_tile() -> None:
    tile = Tile(multiple=16, halo=64, largest=1024)
    assert len(spans(1040, tile)) == 1
    assert len(spans(1388, tile)) == 2
