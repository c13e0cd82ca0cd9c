"""The promise of blocks: whatever their size and order, labels and every column of the table are those of one block.

A small filter stands in for the network, and the first halo is made small, so that objects and prominences reach far
beyond it on images that take milliseconds (`tests/block_cases.py`). Real networks and real images follow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from numpy.typing import NDArray
from tests.block_cases import FAR, WHOLE, Case, Cut, Filter, assert_same, cases, check, cuts, segmented

from cellfleet.errors import DeviceError
from cellfleet.images.read import image_from_array
from cellfleet.models import load_model
from cellfleet.pipeline.block import BlockResult, segment_block
from cellfleet.pipeline.heads import PlaneHeads
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.resources import BLOCK_BYTES_PER_PIXEL, MemoryBudget
from cellfleet.run.segment_image import How, segment_image
from cellfleet.spec.model import Tile
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.box import Box

VALIDATION = Path(__file__).parents[2] / "data" / "nuclear" / "val" / "images"


# --- the promise -------------------------------------------------------------------------------------------------


def test_blocks_of_every_size_in_any_order_give_what_one_block_gives() -> None:
    seen = Counter[str]()

    # More than the sums below need: Hypothesis draws otherwise whenever the program changes.
    @settings(max_examples=240)
    @given(cases(), cuts)
    def holds(case: Case, cut: Cut) -> None:
        found = check(case, cut)
        seen.update(cut=found.blocks > 1, objects=found.labels.count > 1)
        seen.update(redone=found.redone > 0, far=found.redone > 0 and case.kind in FAR)

    holds()
    assert seen["cut"] > 75 and seen["objects"] > 40, "hardly anything was tried"
    assert seen["redone"] > 30 and seen["far"] > 10, "no object reached beyond its first halo"


@pytest.mark.slow
@settings(max_examples=700)
@given(cases(largest=90), cuts)
def test_blocks_of_every_size_in_any_order_give_what_one_block_gives_at_length(case: Case, cut: Cut) -> None:
    check(case, cut)


@settings(max_examples=30)
@given(cases(), cuts)
def test_threads_give_what_one_gives(case: Case, cut: Cut) -> None:
    check(case, replace(cut, threads=3))


@settings(max_examples=60)
@given(cases(plain=True))
def test_one_block_is_the_watershed_of_the_whole_plane(case: Case) -> None:
    """What the blocks are compared with is itself held to the definition, without any code for blocks."""
    manifest = case.model.manifest.model_copy(update={"tile": Tile(largest=512)})
    found = segmented(replace(case, model=replace(case.model, manifest=manifest)), WHOLE)
    heads = Filter().predict(case.pixels[np.newaxis].astype(np.float32), found.contrast)
    post = manifest.postprocess
    fields = [heads[manifest.heads.index(head)] for head in (post.maxima_head, post.interior_head)]
    expected = deep_watershed(fields[0], fields[1], post) * (np.ptp(case.pixels) > 0)
    np.testing.assert_array_equal(read_all(found.labels), expected)


def test_an_object_that_is_larger_than_the_memory_is_told_with_its_place() -> None:
    pixels = np.zeros((700, 900), np.uint8)
    pixels[400:404, 20:880] = 200
    pixels[100:110, 100:110] = 200
    model = load_model("otsu")
    with Pools(1, model) as pools:
        pools.budget = MemoryBudget(8 << 20)
        with pytest.raises(DeviceError) as caught:
            segment_image(image_from_array(pixels), SegmentSpec(model="otsu"), model, How(pools, block=64))
    assert caught.value.code == "E512" and caught.value.action
    words = caught.value.what.replace(",", "").split()
    assert abs(int(words[words.index("row") + 1]) - 402) <= 32
    assert 20 <= int(words[words.index("column") + 1]) <= 880


def test_memory_is_held_for_all_that_a_block_reads() -> None:
    pixels = np.zeros((700, 900), np.uint8)
    pixels[400:404, 20:880] = 200
    model, seen = load_model("otsu"), Counter[int]()

    def watched(heads: PlaneHeads, box: Box, region: Box, *rest: Any) -> BlockResult | None:
        held = region.shape[0] * region.shape[1] * BLOCK_BYTES_PER_PIXEL
        assert pools.budget._used >= held, "more is read than was asked for"
        seen[held] += 1
        return segment_block(heads, box, region, *rest)

    with Pools(1, model) as pools, patch("cellfleet.run.segment_image.segment_block", watched):
        pools.budget = MemoryBudget(1 << 30)
        segment_image(image_from_array(pixels), SegmentSpec(model="otsu"), model, How(pools, block=64))
        assert pools.budget._used == 0
    assert max(seen) > 4 * min(seen), "no block needed a larger halo"


# --- real models and images --------------------------------------------------------------------------------------


def montage(rows: int, columns: int, side: int) -> NDArray[np.uint16]:
    """Corners of validation images side by side: seams, other scales and contrasts among them."""
    paths = sorted(VALIDATION.iterdir())[: rows * columns]
    canvas = np.zeros((rows * side, columns * side), np.uint16)
    for number, path in enumerate(paths):
        y, x = number // columns * side, number % columns * side
        pixels = tifffile.imread(path)[:side, :side]
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return canvas


@pytest.mark.slow
@pytest.mark.parametrize(("name", "diameter"), [("nuclei", None), ("nuclei", 55), ("nuclei", 9), ("otsu", None)])
def test_real_images_and_models(name: str, diameter: float | None) -> None:
    model = load_model(name, device="cpu")
    pixels = montage(3, 4, 256)
    case = Case(pixels, "YX", SegmentSpec(model=name, diameter_px=diameter), model, "real")
    expected = segmented(case, WHOLE)
    assert expected.labels.count > 100
    redone = 0
    for side, threads, order in ((64, 1, None), (150, 3, 5), (256, 1, 6), (500, 2, None)):
        with patch("cellfleet.pipeline.block._HALO_PX", 16):
            found = segmented(case, side, threads, order)
        assert_same(found, expected)
        redone += found.redone
    assert redone > 0
