"""The first, cheap look at an image: contrast per role and the zoom to the model's scale. Once per image.

An unknown scale is estimated by segmenting small copies of the image, coarse to fine: the first copy in which the
objects have a size that the model knows tells their diameter (docs/decisions/0003-scale.md). Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.inference.predictor import Predictor
from cellfleet.pipeline.detection import sizes_of
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.pipeline.preprocess import resampled, scaled_shape
from cellfleet.pipeline.sample import Sample
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.box import Box

_ZOOM_LIMITS = (1 / 16, 8.0)
_SHOWN_WHOLE_PX, _SHOWN_PX = 3072, 1024
"""Planes up to the first are shown as a whole in the report, of larger ones a part with the second as its side."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What holds for every block and plane of one image."""

    contrast: NDArray[np.float32]
    """(R, 2): raw values that become 0 and 1."""
    scale: Scale
    predictor: Predictor
    """Fitted to the image, where the model needs that."""
    shown: Box
    """The part to look at first: all of a small plane, the brightest window of a large one."""
    notices: tuple[Notice, ...] = ()


def survey(
    plane: Plane,
    request: SegmentSpec,
    microns_per_pixel: float | None,
    manifest: ModelManifest,
    predictor: Predictor,
) -> Survey:
    """Find contrast and zoom.

    Args:
        plane: The pixels; of a large plane only some windows are read.
        request: `diameter_px` overrides pixel size and estimate.
        microns_per_pixel: Pixel size of the image, µm; None where unknown.
        manifest: The model's own scale.
        predictor: Used where the scale has to be estimated.
    """
    sample = Sample.of(plane)
    found = sample.contrast()
    predictor = predictor.for_image(sample.windows, found)
    notices: tuple[Notice, ...] = ()
    if request.diameter_px and manifest.diameter_px:
        zoom = zoom_for(request.diameter_px, manifest)
        scale = Scale(zoom=zoom, source="diameter", diameter_px=request.diameter_px)
    elif microns_per_pixel and manifest.microns_per_pixel:
        scale = Scale(zoom=_limited(microns_per_pixel / manifest.microns_per_pixel), source="pixel-size")
    elif not manifest.diameter_px or not manifest.diameter_range_px:
        unused = Notice("W205", f"The model {manifest.name} takes images as they are: --diameter is not used")
        scale, notices = Scale(zoom=1, source="unscaled"), (unused,) if request.diameter_px else ()
    else:
        why = "The model knows no pixel size" if microns_per_pixel else "Pixel size is not known"
        scale, notices = _estimated(plane, sample, found, manifest, predictor, why)
    if scale.zoom in _ZOOM_LIMITS:
        text = f"Resampling ends at × {scale.zoom:g}: the scale asks for more. Check the pixel size, or give --diameter"
        notices = (*notices, Notice("W206", text))
    return Survey(found, scale, predictor, _shown(plane, sample), notices)


def _shown(plane: Plane, sample: Sample) -> Box:
    return Box.whole(plane.shape) if max(plane.shape) <= _SHOWN_WHOLE_PX else sample.brightest(plane, _SHOWN_PX)


def zoom_for(diameter_px: float, manifest: ModelManifest) -> float:
    """Return the zoom for objects of `diameter_px`, 1 where the model knows such objects.

    Others are brought half-way (in octaves) from the bound that they exceed to the model's best diameter: large objects
    keep detail that tells neighbours apart (docs/decisions/0003-scale.md has the measured scores).
    """
    assert manifest.diameter_px, "the caller looked"
    low, high = manifest.diameter_range_px or (manifest.diameter_px, manifest.diameter_px)
    if low <= diameter_px <= high:
        return 1.0
    bound = low if diameter_px < low else high
    return _limited(float(np.sqrt(bound * manifest.diameter_px)) / diameter_px)


def _limited(zoom: float) -> float:
    return float(np.clip(zoom, *_ZOOM_LIMITS))


def _estimated(
    plane: Plane,
    sample: Sample,
    low_high: NDArray[np.float32],
    manifest: ModelManifest,
    predictor: Predictor,
    why: str,
) -> tuple[Scale, tuple[Notice, ...]]:
    """Choose the zoom from an estimated diameter, and tell that and `why`."""
    diameter = estimate_diameter(plane, sample, low_high, manifest, predictor)
    if diameter is None:
        text = f"{why}, and no objects were found to judge the scale by. --diameter sets it"
        return Scale(zoom=1, source="estimated"), (Notice("W203", text),)
    zoom = zoom_for(diameter, manifest)
    text = f"{why}; objects of about {diameter:.0f} px were found"
    text += "" if zoom == 1 else f" and the image is resampled × {zoom:.2g}"
    return Scale(zoom=zoom, source="estimated", diameter_px=diameter), (Notice("W204", f"{text}. --diameter sets it"),)


_LADDER = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
_WINDOW_PX = 128
"""Side of the copy that is looked at on each rung, px at model scale: bounds the cost, whatever the image's size."""
_SMALLEST_COPY_PX = 24
_CREDIBLE_PEAK = 0.8
"""Objects at a scale that the model knows reach an outer distance near 1 at their middle; blurred specks do not."""
_CREDIBLE_SCORE = 0.7
"""So do the scores of detected ones."""
_CREDIBLE_DIAMETER_PX = 8.0
_LARGEST_CELL = 4.0
"""Diameters of its nucleus that a cell may be wide; clumps are wider."""
_POSSIBLE_PEAK = 0.5
"""Where no rung is credible, the likeliest one is taken if it reaches this."""


def estimate_diameter(
    plane: Plane, sample: Sample, low_high: NDArray[np.float32], manifest: ModelManifest, predictor: Predictor
) -> float | None:
    """Estimate the typical object diameter, px of the image; None where no rung shows objects.

    Climbs from small copies to large ones and stops at the first on which objects look right to the model; where none
    does, the likeliest is taken.

    Args:
        plane: The pixels.
        sample: What was read of them: tells where to look.
        low_high: (R, 2) contrast.
        manifest: Heads and post-processing.
        predictor: Segments the copies.
    """
    likeliest: tuple[float, float] | None = None
    credible = _CREDIBLE_SCORE if manifest.detection else _CREDIBLE_PEAK
    low_high = np.repeat(low_high, manifest.frames, axis=0)
    for zoom in _LADDER:
        copy = _copy(plane, sample, zoom)
        if zoom < 1 and min(copy.shape[1:]) < _SMALLEST_COPY_PX:
            continue
        found = [_typical(*seen) for seen in _seen(predictor.predict(copy, low_high), manifest)]
        # Of cells with nuclei both have to be seen: a copy that is too small shows clumps of cells as large cells.
        diameter, peak = found[0][0], min(peak for _, peak in found)
        if diameter > _LARGEST_CELL * found[-1][0]:
            continue
        if diameter >= _CREDIBLE_DIAMETER_PX and peak >= credible:
            return diameter / zoom
        if peak >= max(_POSSIBLE_PEAK, likeliest[1] if likeliest else 0):
            likeliest = diameter / zoom, peak
    return likeliest[0] if likeliest else None


def _seen(predicted: NDArray[Any], manifest: ModelManifest) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield, for each compartment, the area (px) of every object, and how much it looks like one (0…1)."""
    if manifest.detection:
        yield sizes_of(predicted, manifest.detection)
    for spec, head in zip(manifest.makers, manifest.scale_heads, strict=True):
        maxima, interior, outer = (
            predicted[manifest.heads.index(name)] for name in (spec.maxima_head, spec.interior_head, head)
        )
        index = deep_watershed(maxima, interior, spec).ravel()
        peaks = np.zeros(index.max() + 1, np.uint8)
        np.maximum.at(peaks, index, outer.ravel())
        yield np.bincount(index)[1:], peaks[1:] / 255


def _typical(areas: NDArray[Any], peaks: NDArray[Any]) -> tuple[float, float]:
    """Return the median diameter (px), specks not counted, and the area-weighted mean of the objects' peaks (0…1)."""
    if not areas.size:
        return 0.0, 0.0
    ordered = np.sort(areas)
    half_of_all = ordered[np.searchsorted(np.cumsum(ordered), areas.sum() / 2)]
    # Debris is numerous but small: what is under half the diameter of the object in the middle of all area is left out.
    middle = np.median(areas[areas >= half_of_all / 4])
    return float(2 * np.sqrt(middle / np.pi)), float(np.average(peaks, weights=areas))


def _copy(plane: Plane, sample: Sample, zoom: float) -> NDArray[np.float32]:
    """Return the brightest window of the image at `zoom`, at most `_WINDOW_PX` wide."""
    pixels = sample.pixels(plane, sample.brightest(plane, round(_WINDOW_PX / zoom)))
    shape = scaled_shape((pixels.shape[1], pixels.shape[2]), zoom)
    return pixels if zoom == 1 else resampled(pixels, shape)
