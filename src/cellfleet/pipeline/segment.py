"""One plane through preprocess → predict → postprocess, in memory. Knows no files, axes or time points."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.models import LoadedModel
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.pipeline.preprocess import resampled, scaled_shape
from cellfleet.pipeline.survey import Survey, survey
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """Labels of one plane and how they came about."""

    labels: NDArray[np.uint32]
    """(Y, X) of the plane that was given, 0 = background, 1…n in raster order of the first pixel."""
    survey: Survey
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds: preprocess, predict, postprocess."""
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """Processor seconds of the calling thread."""

    @property
    def contrast(self) -> NDArray[np.float32]:
        """(R, 2) raw values that became 0 and 1."""
        return self.survey.contrast

    @property
    def scale(self) -> Scale:
        """How the plane was brought to the model's scale."""
        return self.survey.scale

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know."""
        return self.survey.notices


def segment_plane(
    channels: NDArray[Any],
    roles: Mapping[str, tuple[int, ...]],
    request: SegmentSpec,
    microns_per_pixel: float | None,
    model: LoadedModel,
    known: Survey | None = None,
) -> PlaneResult:
    """Find the objects of one plane.

    Args:
        channels: (C, Y, X), any real dtype, finite.
        roles: Role → channels that are summed, counted from 0.
        request: What was asked.
        microns_per_pixel: Pixel size, µm; None where unknown.
        model: Who predicts.
        known: Contrast and scale of the image, where another plane or block has found them.

    Returns:
        Labels at the size and position of `channels`.
    """
    watch = _Watch()
    pixels = role_planes(channels, [roles[role] for role in model.manifest.roles])
    if known is None:
        known = survey(pixels, request, microns_per_pixel, model.manifest, model.predictor)
    shape = (pixels.shape[1], pixels.shape[2])
    zoom = known.scale.zoom
    scaled = pixels if zoom == 1 else resampled(pixels, scaled_shape(shape, zoom))
    watch.lap("preprocess")
    heads = model.predictor.predict(scaled, known.contrast)
    watch.lap("predict")
    labels = labels_of(heads, shape, zoom, model)
    watch.lap("postprocess")
    return PlaneResult(labels, known, watch.seconds, watch.cpu_seconds)


def role_planes(channels: NDArray[Any], chosen: list[tuple[int, ...]]) -> NDArray[np.float32]:
    """Sum the channels of each role: (C, Y, X) → float32 (R, Y, X)."""
    planes = np.empty((len(chosen), *channels.shape[1:]), np.float32)
    for plane, indices in zip(planes, chosen, strict=True):
        np.copyto(plane, channels[indices[0]])
        for index in indices[1:]:
            plane += channels[index]
    return planes


def labels_of(heads: NDArray[np.uint8], shape: tuple[int, int], zoom: float, model: LoadedModel) -> NDArray[np.uint32]:
    """Bring two heads back to the image's own pixels and flood them there.

    Flooding at image scale keeps outlines smooth where the image was shrunk, and exact where it was enlarged.
    """
    spec = model.manifest.postprocess
    names = model.manifest.heads
    fields: NDArray[Any] = heads[[names.index(spec.maxima_head), names.index(spec.interior_head)]]
    if zoom != 1:
        fields = np.clip(resampled(fields, shape) / 255, 0, 1)
        spec = spec.scaled(1 / zoom)
    return deep_watershed(fields[0], fields[1], spec)


class _Watch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._began = time.perf_counter(), time.thread_time()

    def lap(self, stage: str) -> None:
        now = time.perf_counter(), time.thread_time()
        self.seconds[stage] = now[0] - self._began[0]
        self.cpu_seconds[stage] = now[1] - self._began[1]
        self._began = now
