"""The objects that a detector finds in a part of a plane: tile by tile, each asked once, then as labels.

Tiles are those of `heads`: their grid depends on the plane's size alone, and so does what each of them says. Knows no
rule by which detections become labels; those stand in `detection`.
"""

from __future__ import annotations

import functools

import numpy as np

from cellfleet.inference.detections import Detections, none
from cellfleet.pipeline.detection import labels_of, reach
from cellfleet.pipeline.heads import PlaneHeads, meeting, source_box
from cellfleet.pipeline.postprocess import BlockLabels
from cellfleet.spec.postprocess import Detection
from cellfleet.tiling.box import Box
from cellfleet.tiling.grid import Span, spans

_BESIDE_PX = 2
"""A tile keeps what has its middle this far beside its write region, too: two tiles place an object a little
differently, and neither may leave it to the other. That both find it does no harm: one of them displaces the other."""


def halo_px(heads: PlaneHeads) -> int:
    """Return how far beyond a block its objects reach, px of the image."""
    return reach(_spec(heads), heads.survey.scale.zoom).pixels


def detected_labels(heads: PlaneHeads, box: Box, region: Box) -> BlockLabels:
    """Label the objects with pixels in a block, `box`; a region that is wider by `halo_px` holds them whole."""
    spec, zoom, shape = _spec(heads), heads.survey.scale.zoom, heads.plane.shape
    found = _detections(heads, box.grown(reach(spec, zoom).middles, shape))
    with heads.clock.stage("postprocess"):
        return labels_of(found, spec, zoom, shape, box, region)


def _spec(heads: PlaneHeads) -> Detection:
    spec = heads.manifest.detection
    assert spec, "the caller looked"
    return spec


def _detections(heads: PlaneHeads, box: Box) -> Detections:
    """Return at least the detections with their middles in a box of the plane, in its px; waits for their tiles."""
    rows, columns = (spans(length, heads.manifest.tile) for length in heads.shape)
    want = source_box(box, heads.shape, heads.plane.shape)
    asked = [
        heads.tiles.ask((*heads.name, y.write_start, x.write_start), functools.partial(_of_tile, heads, y, x))
        for y in meeting(rows, want.y0, want.y1)
        for x in meeting(columns, want.x0, want.x1)
    ]
    with heads.clock.waiting("predict"):
        found = np.concatenate([none(), *(tile.result() for tile in asked)])
    by_axis = np.array(heads.plane.shape) / np.array(heads.shape)
    found["box"] *= np.concatenate([by_axis, by_axis])
    return found


def _of_tile(heads: PlaneHeads, y: Span, x: Span) -> Detections:
    """Return what a tile keeps, at model scale."""
    predicted = heads.predicted(y, x)
    if predicted is None:
        return none()
    found: Detections = predicted.copy()
    found["box"] += (y.read_start, x.read_start, y.read_start, x.read_start)
    # Beyond the plane there is nothing, and what the network sees there is padding.
    middle = (found["box"][:, :2] + found["box"][:, 2:]) / 2
    lowest = np.maximum((y.write_start - _BESIDE_PX, x.write_start - _BESIDE_PX), 0)
    highest = np.minimum((y.write_stop + _BESIDE_PX, x.write_stop + _BESIDE_PX), heads.shape)
    kept: Detections = found[((middle >= lowest) & (middle < highest)).all(axis=1)]
    return kept
