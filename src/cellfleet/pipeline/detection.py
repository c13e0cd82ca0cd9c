"""Detections to labels, of any part of a plane exactly as of the whole.

Which detections count, and which pixels they get, is settled by rules that look no farther than a few of the largest
objects (docs/reference/detection.md), so that a part of a plane that is read with `reach_px` more around it has the
labels of the whole plane. Everything is computed from the places in the plane, in float64, object by object: no bit
depends on the part. Knows no model, no tile and no file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellfleet.inference.detections import MASK_PX, Detections
from cellfleet.pipeline.measure import first_pixels, relabelled
from cellfleet.pipeline.postprocess import BlockLabels
from cellfleet.spec.postprocess import Detection
from cellfleet.tiling.box import Box

_PAIRS = 1 << 20
"""Pairs of boxes that are compared at once: bounds memory."""


class Reach(NamedTuple):
    """How far from a box its labels depend on what there is, px of the image."""

    pixels: int
    """To the last pixel of objects that have pixels in the box."""
    middles: int
    """To the middles of the boxes of detections that decide about them."""


def reach(spec: Detection, zoom: float) -> Reach:
    """Return how far to look around what is written, in an image that was enlarged by `zoom` for the model.

    An object with pixels in a box ends within the largest length L around it. What covers these pixels has its middle
    within L/2 of them, and what could displace that has its own within another L.
    """
    largest = int(np.ceil(spec.largest_px / zoom)) + 1
    return Reach(largest, 3 * largest)


def labels_of(
    found: Detections, spec: Detection, zoom: float, shape: tuple[int, int], box: Box, region: Box
) -> BlockLabels:
    """Label the objects that have pixels in a box.

    Args:
        found: At least those with their middles within `Reach.middles` of the box; boxes in px of the plane.
        spec: Lengths and areas at model scale.
        zoom: Model scale ÷ image scale.
        shape: (Y, X) of the plane.
        box: What is written.
        region: What is labelled: at least `Reach.pixels` more than the box, but no more than the plane.

    Returns:
        Labels (Y, X) of the region: objects with pixels in `box`, all of them whole. Each is one 4-connected piece, and
        its seed is its first pixel in raster order.
    """
    kept = _kept(found, spec, zoom)
    windows = _windows(kept["box"], spec.mask_margin)
    meeting = _meets(windows, region)
    labels, areas = _painted(kept[meeting], windows[meeting], spec.mask_threshold, shape, region)
    least = np.maximum(areas * spec.visible_share, spec.small_objects_threshold / zoom**2)
    labels = _largest_pieces(labels, least)
    return _of_box(labels, len(areas), box, region)


def sizes_of(found: Detections, spec: Detection) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return area (px) and score, at model scale, of the detections that hold pixels and count."""
    kept = _kept(found, spec, 1)
    height, width = _sides(_windows(kept["box"], spec.mask_margin))
    areas = height * width * (kept["mask"] > 255 * spec.mask_threshold).mean(axis=(1, 2))
    return areas[areas > 0], kept["score"][areas > 0]


def _kept(found: Detections, spec: Detection, zoom: float) -> Detections:
    """Return the detections that no better one displaces, best first; equal ones by their place."""
    height, width = _sides(found["box"])
    fits = np.maximum(height, width) * (1 + 2 * spec.mask_margin) <= spec.largest_px / zoom
    found = found[fits & (found["score"] >= spec.score_threshold) & (height > 0) & (width > 0)]
    y0, x0, y1, x1 = found["box"].T
    found = found[np.lexsort((x1, y1, x0, y0, -found["score"]))]
    return found[~_displaced(found["box"], spec.overlap_threshold)]


def _displaced(boxes: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Say of boxes (n, 4), best first, which one some better box overlaps by an IoU above the threshold."""
    displaced = np.zeros(len(boxes), bool)
    order = np.argsort(boxes[:, 0], kind="stable")
    y0, x0, y1, x1 = boxes[order].T
    areas = (y1 - y0) * (x1 - x0)
    # Of boxes in the order of their tops, those that begin before another one's end stand right behind it.
    ends = np.searchsorted(y0, y1)
    counts = ends - np.arange(len(boxes)) - 1
    start = 0
    while start < len(boxes):
        stop = max(start + 1, int(np.searchsorted(np.cumsum(counts[start:]), _PAIRS)) + start)
        one = np.repeat(np.arange(start, stop), counts[start:stop])
        before = np.repeat(np.cumsum(counts[start:stop]) - counts[start:stop], counts[start:stop])
        other = one + 1 + np.arange(len(one)) - before
        height = np.minimum(y1[one], y1[other]) - np.maximum(y0[one], y0[other])
        width = np.minimum(x1[one], x1[other]) - np.maximum(x0[one], x0[other])
        shared = np.maximum(height, 0) * np.maximum(width, 0)
        clash = shared > threshold * (areas[one] + areas[other] - shared)
        displaced[np.maximum(order[one[clash]], order[other[clash]])] = True
        start = stop
    return displaced


def _sides(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def _windows(boxes: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Return what the masks of boxes cover, (n, 4)."""
    height, width = _sides(boxes)
    return boxes + margin * np.stack([-height, -width, height, width], axis=1)


def _meets(windows: NDArray[np.float64], region: Box) -> NDArray[np.bool_]:
    y0, x0, y1, x1 = windows.T
    meets: NDArray[np.bool_] = (y0 < region.y1) & (y1 > region.y0) & (x0 < region.x1) & (x1 > region.x0)
    return meets


def _painted(
    found: Detections, windows: NDArray[np.float64], threshold: float, shape: tuple[int, int], region: Box
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Give every pixel of a region to the first of the detections whose mask holds it.

    Returns:
        Labels (Y, X), 1 + place of the detection; and how many pixels each mask has in the plane.
    """
    labels = np.zeros(region.shape, np.uint32)
    areas = np.zeros(len(found), np.int64)
    for index, (mask, window) in enumerate(zip(found["mask"], windows, strict=True)):
        place, inside = _enlarged(mask, window, threshold, shape)
        areas[index] = np.count_nonzero(inside)
        seen = place.common(region)
        if not all(seen.shape):
            continue
        part = labels[seen.within(region)]
        part[inside[seen.within(place)] & (part == 0)] = index + 1
    return labels, areas


def _enlarged(
    mask: NDArray[np.uint8], window: NDArray[np.float64], threshold: float, shape: tuple[int, int]
) -> tuple[Box, NDArray[np.bool_]]:
    """Return where in the plane a mask stands, and which of the pixels there it holds: by linear interpolation."""
    y0, x0 = (max(0, int(np.floor(window[axis]))) for axis in (0, 1))
    y1, x1 = (min(shape[axis], int(np.ceil(window[axis + 2]))) for axis in (0, 1))
    place = Box(y0, x0, max(y0, y1), max(x0, x1))
    rows, row_weight = _sampled(np.arange(place.y0, place.y1), window[0], window[2])
    columns, column_weight = _sampled(np.arange(place.x0, place.x1), window[1], window[3])
    levels = mask.astype(np.float64)
    along = levels[rows] * (1 - row_weight)[:, None] + levels[rows + 1] * row_weight[:, None]
    values = along[:, columns] * (1 - column_weight) + along[:, columns + 1] * column_weight
    return place, values > 255 * threshold


def _sampled(pixels: NDArray[np.int64], start: float, stop: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cell of a mask before the middle of each pixel, and the weight of the cell behind it."""
    at = np.clip((pixels + 0.5 - start) / (stop - start) * MASK_PX - 0.5, 0, MASK_PX - 1)
    before = np.minimum(at.astype(np.int64), MASK_PX - 2)
    return before, at - before


def _largest_pieces(labels: NDArray[np.uint32], least: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Keep of each label its largest 4-connected piece (of equal ones the first), if it has at least so many pixels."""
    run, owner, lengths = _runs(labels)
    piece = _joined(run, labels, len(owner))
    sizes = np.bincount(piece, lengths, minlength=len(owner)).astype(np.int64)
    roots = np.flatnonzero(piece == np.arange(len(owner)))
    order = np.lexsort((roots, -sizes[roots], owner[roots]))
    names, place = np.unique(owner[roots][order], return_index=True)
    best = roots[order][place]
    enough = sizes[best] >= np.append(np.inf, least)[names]
    numbers = np.zeros(len(owner), np.uint32)
    numbers[best[enough]] = names[enough]
    return numbers[piece][run]


def _runs(labels: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.uint32], NDArray[np.intp]]:
    """Cut rows into runs of one label: the run (Y, X) of each pixel, and label and length of each run."""
    starts = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    run = (np.cumsum(starts) - 1).reshape(labels.shape)
    return run, labels[starts], np.bincount(run.ravel())


def _joined(run: NDArray[np.intp], labels: NDArray[np.uint32], count: int) -> NDArray[np.intp]:
    """Return the first run of the piece that each run belongs to.

    Connected components by hooking and pointer jumping (Shiloach & Vishkin, J. Algorithms 3, 1982).
    """
    touching = (labels[1:] == labels[:-1]) & (labels[1:] > 0)
    upper, lower = run[:-1][touching], run[1:][touching]
    piece = np.arange(count)
    while True:
        one, other = piece[upper], piece[lower]
        apart = one != other
        if not apart.any():
            return piece
        upper, lower = upper[apart], lower[apart]
        np.minimum.at(piece, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        while not np.array_equal(piece, piece[piece]):
            piece = piece[piece]


def _of_box(labels: NDArray[np.uint32], count: int, box: Box, region: Box) -> BlockLabels:
    """Keep the objects with pixels in a box, numbered from 1 in the order of their first pixels in the region."""
    first = first_pixels(labels, count)
    there = np.flatnonzero((first >= 0) & (first_pixels(labels[box.within(region)], count) >= 0))
    there = there[np.argsort(first[there])]
    numbers = np.zeros(count + 1, np.uint32)
    numbers[there + 1] = np.arange(1, len(there) + 1)
    labels = relabelled(labels, numbers)
    return BlockLabels(labels, first[there].astype(np.uint32), np.ones(len(there), np.bool_))
