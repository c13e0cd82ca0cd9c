"""Outlines fill again to exactly the labels, are found from bounded regions, and do not depend on the batches."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize
from tests.labelled import awkward, labelled, renumbered, stack

from cellfleet.results.labelled import Columns, Labelled
from cellfleet.results.polygons import Part, Ring, outlines
from cellfleet.tiling.box import Box


def _all(result: Labelled) -> list[tuple[Part, ...]]:
    return [parts for columns in result.rows.batches() for parts in outlines(result.labels, columns)]


def _filled(outlined: list[tuple[Part, ...]], shape: tuple[int, int]) -> np.ndarray:
    shapes = [
        ({"type": "Polygon", "coordinates": [ring.tolist() for ring in (part.exterior, *part.holes)]}, label)
        for label, parts in enumerate(outlined, start=1)
        for part in parts
    ]
    return rasterize(shapes, shape, dtype=np.int32) if shapes else np.zeros(shape, np.int32)


def _area(ring: Ring) -> float:
    x, y = ring.T.astype(float)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_any_labels_are_refilled_exactly(pixels: np.ndarray) -> None:
    labels = renumbered(pixels)
    np.testing.assert_array_equal(_filled(_all(labelled(labels)), labels.shape), labels)


def test_images_that_are_traced_at_the_same_time_say_nothing() -> None:
    found = labelled(np.eye(64, dtype=np.uint32))
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            # Warnings are errors in tests.
            assert len({str(outlined) for outlined in pool.map(_all, [found] * 400)}) == 1
    finally:
        sys.setswitchinterval(usual)


def test_corners_come_in_a_fixed_order() -> None:
    ring = np.array([[0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 0]])
    ((first, second),) = _all(labelled(np.pad(ring, ((0, 0), (0, 2))) + np.pad([[1]], ((0, 3), (5, 0)))))
    assert first.exterior.tolist() == [
        *([1, 0], [4, 0], [4, 3], [3, 3], [3, 4], [2, 4], [2, 3], [1, 3], [1, 4], [0, 4], [0, 1], [1, 1]),
    ]
    assert [hole.tolist() for hole in first.holes] == [[[2, 1], [2, 2], [3, 2], [3, 1]]]
    assert second.exterior.tolist() == [[5, 0], [6, 0], [6, 1], [5, 1]] and second.holes == ()


def test_exteriors_and_holes_run_in_opposite_directions_and_neither_has_a_corner_too_many() -> None:
    for part in (part for parts in _all(labelled(awkward())) for part in parts):
        assert _area(part.exterior) > 0 and all(_area(hole) < 0 for hole in part.holes)
        for ring in (part.exterior, *part.holes):
            sideways = (np.roll(ring, -1, axis=0) == ring)[:, 1]
            assert (sideways != np.roll(sideways, 1)).all()
            assert len(np.unique(ring, axis=0)) == len(ring), "a ring that touches itself is no valid polygon"


def test_each_object_is_looked_for_in_its_own_plane() -> None:
    labels = stack(2, 3)
    outlined = iter(_all(labelled(labels, "TZYX")))
    for plane in labels.reshape(6, 37, 41):
        numbers = np.unique(plane[plane > 0])
        found = _filled([next(outlined) for _ in numbers], plane.shape)
        np.testing.assert_array_equal(found, renumbered(plane))


@dataclass(frozen=True)
class _Watched:
    """Labels that remember which regions were read."""

    labels: np.ndarray
    read_boxes: list[Box] = field(default_factory=list)
    axes = "YX"
    block = 256

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def count(self) -> int:
        return int(self.labels.max())

    def read(self, plane: int, box: Box) -> np.ndarray:
        self.read_boxes.append(box)
        return self.labels[box.y, box.x]


def _large() -> tuple[_Watched, Columns]:
    """A cell every 50 px on 5 Mpx, some on the borders of the squares that are read; two winding ones; a huge frame."""
    labels = np.zeros((2100, 2500), np.uint32)
    for y in range(20, 2080, 50):
        for x in range(20, 2480, 50):
            labels[y : y + 30, x : x + 30] = y * 2500 + x
            labels[y + 10 : y + 12, x + 10 : x + 12] = 0
    labels[1000:1003, 5:2400] = labels[1500:1503, 5:2400] = labels[1000:1500, 2397:2400] = 1
    labels[[0, -1]] = labels[:, [0, -1]] = 2
    labels = renumbered(labels)
    return _Watched(labels), next(iter(labelled(labels).rows.batches()))


def test_objects_across_many_blocks_are_whole_and_regions_stay_bounded() -> None:
    watched, columns = _large()
    outlined = outlines(watched, columns)
    np.testing.assert_array_equal(_filled(outlined, watched.shape), watched.labels)
    heights, widths = (columns[f"{side}_max_px"] - columns[f"{side}_min_px"] for side in "yx")
    of_large = {(int(h), int(w)) for h, w in zip(heights, widths, strict=True) if max(h, w) > 1024}
    assert len(of_large) == 2
    read = [box.shape for box in watched.read_boxes]
    assert sum(shape in of_large for shape in read) == 2
    assert all(shape in of_large or max(shape) <= 2048 for shape in read)


def test_how_the_rows_come_in_batches_does_not_show() -> None:
    watched, columns = _large()
    at_once = outlines(watched, columns)
    rows = np.random.default_rng(0).permutation(len(columns["label"]))
    for some in np.array_split(rows, 3):
        for row, parts in zip(some, outlines(watched, {n: v[some] for n, v in columns.items()}), strict=True):
            assert repr(parts) == repr(at_once[row])


def test_labels_beyond_31_bits_are_told_apart() -> None:
    watched = _Watched(np.array([[3_000_000_000, 0, 4_294_967_295]], np.uint32))
    columns = {
        "label": np.array([3_000_000_000, 4_294_967_295], np.uint32),
        **{f"{side}_px": np.array(values) for side, values in (("y_min", [0, 0]), ("x_min", [0, 2]))},
        **{f"{side}_px": np.array(values) for side, values in (("y_max", [1, 1]), ("x_max", [1, 3]))},
    }
    first, second = outlines(watched, columns)
    assert (first[0].exterior[0].tolist(), second[0].exterior[0].tolist()) == ([0, 0], [2, 0])
