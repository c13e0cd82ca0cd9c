"""Blocks become one result: numbers beyond 2³¹, planes of gigapixels, and machines that do not agree."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests import small_blocks
from tests.support import discs, results, rows, segment

from cellfleet.cli import main
from cellfleet.errors import OutputError
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.models import load_model
from cellfleet.pipeline.block import BlockResult, regions, segment_block
from cellfleet.pipeline.clock import Clock
from cellfleet.pipeline.heads import PlaneHeads, TilePool
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.survey import survey
from cellfleet.results.labelled import all_columns
from cellfleet.run import process
from cellfleet.run.parts import MemoryParts
from cellfleet.run.stitch import Layout, Stitched, StitchedRows
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.blocks import block_at, blocks
from cellfleet.tiling.box import Box

# --- planes whose pixels cannot be counted in 32 bits ------------------------------------------------------------

SIDE = 70_000
SPOTS = [(69_990, 69_985), (69_630, 69_632), (69_200, 69_500), (0, 0), (300, 69_900)]
"""Middles of objects, in the far corner and elsewhere: the second lies on a corner of four blocks."""


def drawn(box: Box, channels: Sequence[int]) -> NDArray[np.uint8]:
    """Make the pixels of a region: discs of 9 px radius at the spots."""
    pixels = np.full(box.shape, 10, np.uint8)
    for y, x in SPOTS:
        around = Box(y - 9, x - 9, y + 10, x + 10).common(box)
        rows, columns = np.ogrid[around.y, around.x]
        pixels[around.within(box)][(rows - y) ** 2 + (columns - x) ** 2 <= 81] = 200
    return np.broadcast_to(pixels, (len(channels), *box.shape))


@pytest.mark.slow
def test_objects_in_the_far_corner_of_a_gigapixel_plane_have_their_places() -> None:
    model = load_model("otsu")
    manifest = model.manifest.model_copy(update={"tile": model.manifest.tile.model_copy(update={"largest": 1024})})
    plane = Plane((SIDE, SIDE), 1, drawn, ((0,),))
    found = survey(plane, SegmentSpec(model="otsu"), None, manifest, model.predictor)
    found = replace(found, contrast=np.array([[10, 200]], np.float32), predictor=OtsuPredictor(0.5))
    parts, side = MemoryParts(), 512
    wanted = {block_at(y, x, plane.shape, side) for y, x in SPOTS}
    corner = block_at(69_630, 69_632, plane.shape, side)
    wanted |= {box for box in blocks(plane.shape, side) if corner.grown(1, plane.shape).common(box).shape > (0, 0)}
    tiles = TilePool(1, 1 << 28)
    try:
        heads = PlaneHeads(plane, found, manifest, tiles, ("image", 0), Clock())
        done = {box: _done(heads, box) for box in wanted}
    finally:
        tiles.close()
    for box in blocks(plane.shape, side):
        parts.save(0, done.get(box, _nothing(box, done[corner])))
    labels = Stitched(Layout("YX", plane.shape, side), parts)
    assert labels.count == len(SPOTS)
    table = all_columns(StitchedRows(labels))
    # Numbered by their first pixel, in raster order.
    expected = sorted(SPOTS, key=lambda spot: (max(spot[0] - 9, 0), spot[1]))
    assert table["label"].tolist() == list(range(1, len(SPOTS) + 1))
    for number, (y, x) in enumerate(expected, start=1):
        assert labels.read(0, Box(y, x, y + 1, x + 1)).item() == number
        if 0 < y < SIDE - 20:
            assert (table["y_px"][number - 1], table["x_px"][number - 1]) == pytest.approx((y, x), abs=0.6)
    around = Box(69_600, 69_600, 69_660, 69_660)
    number = 1 + expected.index((69_630, 69_632))
    assert set(np.unique(labels.read(0, around))) == {0, number}, "an object on a corner of four blocks is whole"
    for block in done.values():
        assert block.seeds.dtype == block.first.dtype == block.met.dtype == np.int64
    last = max(done, key=lambda box: (box.y0, box.x0))
    assert done[last].first.max() > 2**32


def _done(heads: PlaneHeads, box: Box) -> BlockResult:
    attempts = (segment_block(heads, box, region, ("",), None) for region in regions(heads, box))
    return next(block for block in attempts if block)


def _nothing(box: Box, like: BlockResult) -> BlockResult:
    none = np.zeros(0, np.int64)
    table = {name: values[:0] for name, values in like.table.items()}
    # Nobody looks at its labels, and those of 19 000 blocks would not fit.
    return BlockResult(box, np.zeros((1, 1), np.uint32), none, none, none, table)


# --- more objects than 31 bits can number ------------------------------------------------------------------------


class FakeParts:
    """One block per plane, each with one object."""

    def load(self, plane: int, box: Box) -> Any:
        return self

    met = seeds = first = np.array([7], np.int64)
    unusable = redone = surplus = 0
    blank = False

    def rows(self, y0: int, y1: int) -> NDArray[np.uint32]:
        labels = np.zeros((8, 8), np.uint32)
        labels[0, 7] = 1
        return labels[y0:y1]

    def columns(self) -> Mapping[str, NDArray[Any]]:
        return {"label": np.array([1], np.uint32), "area_px": np.array([1])}


def numbered_from(before: int) -> Stitched:
    """Return the second of two planes' labels, of which the first has `before` objects."""
    labels = Stitched(Layout("ZYX", (2, 8, 8), 8), FakeParts())  # type: ignore[arg-type]
    labels._offsets = np.array([0, before, before + 1], np.int64)
    return labels


@pytest.mark.parametrize("before", [2**31 - 1, 2**31, 2**32 - 3])
def test_labels_beyond_31_bits_are_right_in_image_and_table(before: int) -> None:
    labels = numbered_from(before)
    assert labels.count == before + 1
    pixels = labels.read(1, Box(0, 0, 8, 8))
    assert pixels.dtype == np.uint32 and pixels[0, 7] == before + 1 and np.count_nonzero(pixels) == 1
    *_, last = StitchedRows(labels).batches()
    assert last["label"].dtype == np.uint32 and last["label"].tolist() == [before + 1] and last["z"].tolist() == [1]


def test_more_objects_than_labels_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellfleet.run.stitch._LARGEST_LABEL", 1)
    with pytest.raises(OutputError, match="2 objects") as caught:
        Stitched(Layout("ZYX", (2, 8, 8), 8), FakeParts())  # type: ignore[arg-type]
    assert caught.value.code == "E513" and caught.value.action


# --- machines that round differently -----------------------------------------------------------------------------


def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any) -> tuple[Path, Path]:
    """Segment one image in two shards, of which the second sees heads as `change` makes them."""
    image, out = tmp_path / "a.tif", tmp_path / "out"
    # Rolled, so that discs lie on the borders of blocks.
    tifffile.imwrite(image, np.roll(np.tile(discs(), (12, 10)), 15, axis=(0, 1)))
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=small_blocks.SIDE))
    assert segment(image, "-o", out, "--shard", "1/2") == 0
    original = PlaneHeads.read
    with monkeypatch.context() as other_machine:
        other_machine.setattr(PlaneHeads, "read", lambda self, box: change(original(self, box), box))
        assert segment(image, "-o", out, "--shard", "2/2") == 0
    return image, out


def moved_by_a_pixel(heads: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    return np.roll(heads, 1, axis=2)


def test_shards_that_found_different_objects_are_told_and_one_machine_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = shared(tmp_path, monkeypatch, moved_by_a_pixel)
    assert main(["merge", str(out)]) == 3
    (failure,) = rows(out / "failures.csv")
    assert (failure["image"], failure["code"]) == ("a.tif", "E516") and "without --shard" in failure["action"]
    assert not results(out)
    assert segment(image, "-o", out) == 0
    assert segment(image, "-o", tmp_path / "whole") == 0
    assert results(out) == results(tmp_path / "whole")


def test_heads_that_differ_in_the_last_digit_give_whole_objects_or_e516(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)

    def last_digit(heads: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        return (heads.astype(int) + rng.integers(-1, 2, heads.shape)).clip(0, 255).astype(np.uint8)

    _, out = shared(tmp_path, monkeypatch, last_digit)
    code = main(["merge", str(out)])
    if code == 0:
        labels = tifffile.imread(out / "a_labels.tif")
        told = [int(row["label"]) for row in rows(out / "a_cells.csv")]
        assert told == np.unique(labels[labels > 0]).tolist() == list(range(1, len(told) + 1))
    else:
        assert code == 3 and [row["code"] for row in rows(out / "failures.csv")] == ["E516"]


def test_an_object_that_two_machines_count_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed lies on either side of the border, by whom one asks: neither block refers to the other's."""
    parts, blocks_of = MemoryParts(), blocks((8, 16), 8)
    labels = np.ones((8, 8), np.uint32)
    for box, seed in zip(blocks_of, (7, 8), strict=True):
        table = {"label": np.array([1], np.uint32), "area_px": np.array([128], np.uint32)}
        place = np.array([seed], np.int64)
        parts.save(0, BlockResult(box, labels, place, place, place, table))
    with pytest.raises(OutputError, match="E516"):
        Stitched(Layout("YX", (8, 16), 8), parts)


def test_two_blocks_that_claim_one_pixel_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="E516"):
        Stitched(Layout("YX", (8, 16), 8), FakeParts())  # type: ignore[arg-type]
