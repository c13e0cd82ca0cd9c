"""Detections to labels: the rules, as plain loops state them; a part of a plane has the labels of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from cellfleet.images.read import image_from_array
from cellfleet.inference.detections import MASK_PX, Detections, detections, none
from cellfleet.models import LoadedModel
from cellfleet.pipeline.detection import labels_of, reach, sizes_of
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.spec.postprocess import Detection
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.blocks import blocks
from cellfleet.tiling.box import Box

FULL = np.full((MASK_PX, MASK_PX), 255, np.uint8)
Y, X = np.mgrid[:MASK_PX, :MASK_PX]


def whole(found: Detections, spec: Detection, shape: tuple[int, int], zoom: float = 1) -> NDArray[np.uint32]:
    box = Box.whole(shape)
    return labels_of(found, spec, zoom, shape, box, box).labels


def of(
    *boxes: tuple[float, ...], scores: Sequence[float], masks: Sequence[NDArray[np.uint8]] | None = None
) -> Detections:
    return detections(np.array(boxes), np.array(scores), np.array(masks if masks else [FULL] * len(boxes)))


def plain(**changes: Any) -> Detection:
    return Detection(method="detection", **{"score_threshold": 0, "visible_share": 0, **changes})


# --- the rules ---------------------------------------------------------------------------------------------------


def test_nothing_found_is_no_object() -> None:
    assert not whole(none(), plain(), (9, 7)).any()
    assert not whole(of((1, 1, 4, 4), scores=[0.4]), plain(score_threshold=0.5), (9, 7)).any()


def test_the_better_object_has_the_pixels_that_two_share() -> None:
    found = of((0, 0, 6, 6), (3, 0, 9, 6), scores=[0.7, 0.9])
    labels = whole(found, plain(), (10, 8))
    assert (labels[3:9, :6] == 2).all() and (labels[:3, :6] == 1).all() and np.count_nonzero(labels) == 54


def test_an_object_whose_box_a_better_one_overlaps_too_much_is_left_out() -> None:
    found = of((0, 0, 6, 6), (1, 0, 7, 6), (0, 7, 6, 13), scores=[0.7, 0.9, 0.6])
    labels = whole(found, plain(overlap_threshold=0.7), (10, 14))
    assert labels.max() == 2 and not labels[0, :6].any() and labels[0, 7]


def test_of_equal_scores_the_one_above_and_to_the_left_is_better() -> None:
    for first, second in [((0, 0, 6, 6), (1, 0, 7, 6)), ((0, 0, 6, 6), (0, 1, 6, 7))]:
        for boxes in [(first, second), (second, first)]:
            labels = whole(of(*boxes, scores=[0.5, 0.5]), plain(), (8, 8))
            assert labels[0, 0] == 1 and labels.max() == 1


def test_a_mask_is_drawn_over_its_box_and_margin() -> None:
    left = np.where(X < MASK_PX // 2, 255, 0).astype(np.uint8)
    labels = whole(of((4, 4, 12, 12), scores=[1], masks=[left]), plain(), (20, 20))
    assert labels[4:12, 4:8].all() and np.count_nonzero(labels) == 32
    wide = whole(of((4, 4, 12, 12), scores=[1], masks=[left]), plain(mask_margin=0.25), (20, 20))
    assert wide[2:14, 2:8].all() and np.count_nonzero(wide) == 72


def test_of_several_pieces_the_largest_is_the_object_if_it_shows_enough_of_it() -> None:
    cut = of((4, 0, 8, 10), (0, 2, 12, 5), scores=[0.5, 0.9])
    labels = whole(cut, plain(), (14, 12))
    assert not labels[4:8, :2].any() and (labels[4:8, 5:10] == 2).all(), "the piece of 8 pixels goes, that of 20 stays"
    assert whole(cut, plain(visible_share=0.51), (14, 12)).max() == 1
    assert whole(cut, plain(visible_share=0.5), (14, 12)).max() == 2


def test_small_and_very_large_objects_are_left_out() -> None:
    found = of((0, 0, 3, 3), (10, 10, 40, 40), scores=[0.5, 0.5])
    assert whole(found, plain(small_objects_threshold=10), (50, 50)).max() == 1
    assert whole(found, plain(largest_px=20), (50, 50)).max() == 1
    assert whole(found, plain(small_objects_threshold=10, largest_px=20), (50, 50)).max() == 0


def test_sizes_are_those_of_the_masks() -> None:
    disk = np.where((Y - 13.5) ** 2 + (X - 13.5) ** 2 <= 14**2, 255, 0).astype(np.uint8)
    areas, scores = sizes_of(of((0, 0, 20, 20), scores=[0.75], masks=[disk]), plain())
    assert areas == pytest.approx(np.pi * 100, rel=0.03) and scores == [0.75]
    assert not sizes_of(of((0, 0, 20, 20), scores=[0.75], masks=[0 * FULL]), plain())[0].size, "a mask of nothing"


def test_a_detector_declares_no_heads_and_no_nuclei() -> None:
    with pytest.raises(ValidationError, match="no heads"):
        ModelManifest(name="a", version="1", heads=("b",), postprocess=plain())
    assert ModelManifest(name="a", version="1", heads=(), postprocess=plain(), diameter_range_px=(9, 20)).makers == ()


def test_a_manifest_without_a_method_is_one_of_the_watershed() -> None:
    read = ModelManifest.model_validate(
        {"name": "a", "version": "1", "heads": ["h"], "postprocess": {"maxima_head": "h", "interior_head": "h"}}
    )
    assert read.detection is None and read.makers[0].maxima_head == "h"


# --- held to loops -----------------------------------------------------------------------------------------------


def by_loops(found: Detections, spec: Detection, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """What docs/reference/detection.md says, object by object and pixel by pixel."""
    better = sorted(found, key=lambda one: (-one["score"], *one["box"]))
    better = [
        one for one in better
        if one["score"] >= spec.score_threshold
        and max(one["box"][2] - one["box"][0], one["box"][3] - one["box"][1]) * (1 + 2 * spec.mask_margin)
        <= spec.largest_px
    ]  # fmt: skip
    kept = [
        one
        for place, one in enumerate(better)
        if all(iou(one["box"], other["box"]) <= spec.overlap_threshold for other in better[:place])
    ]
    owner, areas = np.zeros(shape, int), [0] * len(kept)
    for y, x in np.ndindex(shape):
        for place, one in enumerate(kept):
            if level(one, spec.mask_margin, y, x) > 255 * spec.mask_threshold:
                areas[place] += 1
                owner[y, x] = owner[y, x] or place + 1
    labels = np.zeros(shape, np.uint32)
    for place, area in enumerate(areas):
        pieces, count = ndimage.label(owner == place + 1)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        if count and sizes.max() >= max(area * spec.visible_share, spec.small_objects_threshold):
            labels[pieces == 1 + np.argmax(sizes)] = place + 1
    order = [label for label in dict.fromkeys(labels.ravel().tolist()) if label]
    return sum((np.uint32(number) * (labels == label) for number, label in enumerate(order, 1)), labels * np.uint32(0))


def iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def level(one: Any, margin: float, y: int, x: int) -> float:
    """The mask at the middle of a pixel, by linear interpolation; −1 outside its window."""
    box, mask = one["box"], one["mask"].astype(float)
    sides = box[2:] - box[:2]
    at = (np.array([y, x]) + 0.5 - (box[:2] - margin * sides)) / ((1 + 2 * margin) * sides)
    # A window counts from the first pixel that it touches to the last.
    first, last = np.floor(box[:2] - margin * sides), np.ceil(box[2:] + margin * sides)
    if (np.array([y, x]) < first).any() or (np.array([y, x]) >= last).any():
        return -1
    cell = np.clip(at * MASK_PX - 0.5, 0, MASK_PX - 1)
    low = np.minimum(cell.astype(int), MASK_PX - 2)
    (a, b), (i, j) = cell - low, low
    return float(
        (1 - a) * ((1 - b) * mask[i, j] + b * mask[i, j + 1]) + a * ((1 - b) * mask[i + 1, j] + b * mask[i + 1, j + 1])
    )


@dataclass(frozen=True)
class Case:
    found: Detections
    spec: Detection
    shape: tuple[int, int]


@st.composite
def cases(draw: st.DrawFn, longest: int, most: int) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, longest), st.integers(1, longest)))
    count = draw(st.integers(0, most))
    middles = rng.uniform(-0.05, 1.05, (count, 2)) * shape
    sides = rng.uniform(1, 14, (count, 2))
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], 1)
    # Whole px and few scores: ties, and objects that touch exactly.
    boxes = np.round(boxes) if rng.random() < 0.5 else boxes
    bumps = rng.normal(0, 90, (count, MASK_PX // 4, MASK_PX // 4)).repeat(4, 1).repeat(4, 2)
    masks = np.clip(bumps + 330 - 18 * np.hypot(Y - 13.5, X - 13.5), 0, 255).astype(np.uint8)
    spec = Detection(
        method="detection",
        score_threshold=draw(st.sampled_from([0, 0.4])),
        overlap_threshold=draw(st.sampled_from([0, 0.2, 0.5, 1])),
        mask_threshold=draw(st.sampled_from([0.3, 0.5])),
        mask_margin=draw(st.sampled_from([0, 0.125])),
        visible_share=draw(st.sampled_from([0, 0.4, 0.8])),
        small_objects_threshold=draw(st.sampled_from([0, 9])),
        largest_px=draw(st.sampled_from([9, 16])),
    )
    return Case(detections(boxes, np.round(rng.uniform(0, 1, count), 1), masks), spec, shape)


@settings(max_examples=60)
@given(cases(longest=22, most=12))
def test_labels_are_those_of_the_rules(case: Case) -> None:
    alike = np.unique(case.found[["score", "box"]], axis=0) if len(case.found) else case.found
    if len(alike) < len(case.found):
        return  # two in one place: which mask counts is left open
    np.testing.assert_array_equal(whole(case.found, case.spec, case.shape), by_loops(case.found, case.spec, case.shape))


# --- parts -------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(cases(longest=120, most=250), st.integers(5, 70), st.sampled_from([0.5, 1, 1.7]))
def test_a_part_has_the_labels_of_the_whole(case: Case, side: int, zoom: float) -> None:
    spec, shape, found = case.spec, case.shape, case.found
    labels = whole(found, spec, shape, zoom)
    middles = (found["box"][:, :2] + found["box"][:, 2:]) / 2
    around, joined, objects = reach(spec, zoom), np.zeros(shape, np.int64), 0
    for box in blocks(shape, side):
        region = box.grown(around.pixels, shape)
        near = ((middles >= np.array(box[:2]) - around.middles) & (middles < np.array(box[2:]) + around.middles)).all(1)
        part = labels_of(found[near], spec, zoom, shape, box, region)
        y, x = np.divmod(part.seeds.astype(int), region.shape[1])
        y, x = y + region.y0, x + region.x0
        joined[box.y, box.x] = np.append(0, y * shape[1] + x + 1)[part.labels[box.within(region)]]
        own = (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)
        objects += np.count_nonzero(own)
        for number in np.flatnonzero(own) + 1:
            one = np.zeros(shape, bool)
            one[region.y, region.x] = part.labels == number
            assert (one == (labels == labels[y[number - 1], x[number - 1]])).all(), "an own object is whole"
    first = np.append(0, 1 + np.unique(labels.ravel(), return_index=True)[1][np.unique(labels) > 0])
    np.testing.assert_array_equal(joined, first[labels])
    assert objects == labels.max()


class Spots:
    """Finds bright pixels: each is the middle of an object as large as its neighbour to the right is bright."""

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        return self

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> Detections:
        (low, high), plane = contrast[0], pixels[0]
        values = (plane - low) / (high - low)
        y, x = np.nonzero(values[:, :-1] > 0.8)
        sides = 2 + 12 * np.clip(values[y, x + 1], 0, 1)
        middles, half = np.stack([y, x], 1) + 0.5, np.stack([sides, sides * values[y, x]], 1) / 2
        boxes = np.concatenate([middles - half, middles + half], 1)
        disk = np.clip(900 - 60 * np.hypot(Y - 13.5, X - 13.5), 0, 255).astype(np.uint8)
        return detections(boxes, np.round(values[y, x], 1), np.broadcast_to(disk, (len(y), MASK_PX, MASK_PX)))


def spotted(pixels: NDArray[Any], tile: Tile, zoom_diameter: float | None, block: int, threads: int = 1) -> Segmented:
    spec = plain(overlap_threshold=0.3, visible_share=0.3, largest_px=20)
    manifest = ModelManifest(
        name="spots", version="1", heads=(), tile=tile, postprocess=spec, diameter_px=10, diameter_range_px=(9, 11)
    )
    model = LoadedModel(manifest, "0" * 64, Spots(), "cpu")
    request = SegmentSpec(model="spots", diameter_px=zoom_diameter or 10)
    with Pools(threads, model) as pools:
        found = segment_image(image_from_array(pixels), request, model, How(pools, block=block))
    assert isinstance(found, Segmented)
    return found


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(16, 60), st.sampled_from([16, 40]), st.sampled_from([None, 6, 20]))
def test_blocks_of_every_size_give_what_one_block_gives(
    seed: int, side: int, tile: int, diameter: float | None
) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(20, 130, 2)
    pixels = rng.integers(0, 200, shape).astype(np.uint8)
    pixels[rng.random(shape) < 0.03] = 255
    cut = Tile(multiple=4, halo=8, largest=tile)
    one = spotted(pixels, cut, diameter, 1 << 30)
    many = spotted(pixels, cut, diameter, side, threads=2)
    np.testing.assert_array_equal(read_all(one.labels), read_all(many.labels))
    expected, columns = all_columns(one.rows), all_columns(many.rows)
    assert expected.keys() == columns.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(values, columns[name], err_msg=name)
    assert many.redone == 0, "a fixed halo settles a block"
