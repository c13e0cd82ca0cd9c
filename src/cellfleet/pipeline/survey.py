"""The first, cheap look at an image: contrast per role and the zoom to the model's scale. Once per image.

An unknown scale is estimated by segmenting small copies of the image, coarse to fine: the first copy in which the
objects have a size that the model knows tells their diameter (docs/decisions/0003-scale.md). Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.inference.predictor import Predictor
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.pipeline.preprocess import contrast, resampled
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec

_ZOOM_LIMITS = (1 / 16, 8.0)


@dataclass(frozen=True, eq=False)
class Survey:
    """What holds for every block and plane of one image."""

    contrast: NDArray[np.float32]
    """(R, 2): raw values that become 0 and 1."""
    scale: Scale
    notices: tuple[Notice, ...] = ()


def survey(
    pixels: NDArray[Any],
    request: SegmentSpec,
    microns_per_pixel: float | None,
    manifest: ModelManifest,
    predictor: Predictor,
) -> Survey:
    """Find contrast and zoom.

    Args:
        pixels: (R, Y, X), one channel per role of the model.
        request: `diameter_px` overrides pixel size and estimate.
        microns_per_pixel: Pixel size of the image, µm; None where unknown.
        manifest: The model's own scale.
        predictor: Used where the scale has to be estimated.
    """
    found = contrast(pixels)
    if request.diameter_px and manifest.diameter_px:
        zoom = _limited(manifest.diameter_px / request.diameter_px)
        return Survey(found, Scale(zoom=zoom, source="diameter", diameter_px=request.diameter_px))
    if microns_per_pixel and manifest.microns_per_pixel:
        return Survey(found, Scale(zoom=_limited(microns_per_pixel / manifest.microns_per_pixel), source="pixel-size"))
    if not manifest.diameter_px or not manifest.diameter_range_px:
        return Survey(found, Scale(zoom=1, source="unscaled"))
    return Survey(found, *_estimated(pixels, found, manifest, predictor))
