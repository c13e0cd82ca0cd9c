"""A plane that a model predicts from a stack of planes, by region: each tile once, when it is first asked for.

The tile grid depends on the plane's size alone, so a pixel's value does not depend on who asks, in which order, or how
the plane is cut into blocks. A tile is predicted by the thread that asks first, which waits for no tile: so the
threads that segment may ask. Knows no files.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.chunks import ChunkCache
from cellfleet.inference.translator import Translator
from cellfleet.pipeline.heads import source_box
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import SAMPLE_PIXELS, resampled_region, sampled, scaled_shape
from cellfleet.pipeline.sample import Sample
from cellfleet.spec.model import TranslatorManifest
from cellfleet.tiling.box import Box
from cellfleet.tiling.grid import Span, spans

_PERCENTILES = (16, 84)


@dataclass(frozen=True, eq=False)
class StackSurvey:
    """What holds for every plane that is predicted of one image."""

    contrast: NDArray[np.float32]
    """(P, 2): raw values of each plane of the stack that become 0 and 1."""
    blank: bool
    """Whether every plane that was looked at has one value only: then nothing is predicted."""
    zoom: float
    """From the image's own scale to the model's."""


def stack_contrast(values: NDArray[Any]) -> NDArray[np.float32]:
    """Find the raw values that become 0 and 1 in each plane of a stack: the 16th and the 84th percentile.

    Transmitted light is grey where there is nothing, and cells are brighter and darker. So the middle of the values is
    what holds from image to image; their ends hang on how many cells there are.

    Args:
        values: Pixels (P, n), any real dtype, finite.

    Returns:
        float32 (P, 2), high > low: where they are equal, high is low + 1, or the next larger number.
    """
    low, high = np.percentile(values, _PERCENTILES, axis=1).astype(np.float32)
    above = np.maximum(low + 1, np.nextafter(low, np.float32(np.inf)))
    return np.stack([low, np.where(high > low, high, above)], axis=1).astype(np.float32)


def survey_stack(stack: Plane, zoom: float) -> StackSurvey:
    """Look at a stack: a plane whose channels are the planes of the stack. Holds one of them at a time."""
    contrast, blank = [], True
    for channel in range(stack.channels):
        sample = Sample.of(replace(stack, roles=((channel,),)))
        values = [sampled(window, SAMPLE_PIXELS // len(sample.windows)) for window in sample.windows]
        contrast.append(stack_contrast(np.concatenate(values, axis=1)))
        blank = blank and all(float(window.min()) == float(window.max()) for window in sample.windows)
    return StackSurvey(np.concatenate(contrast), blank, zoom)


@dataclass(frozen=True, eq=False)
class PredictedPlane:
    """What a translation model makes of one stack."""

    stack: Plane
    """A plane whose channels are the planes of the stack, in the model's order."""
    survey: StackSurvey
    manifest: TranslatorManifest
    translator: Translator
    tiles: ChunkCache
    turns: AbstractContextManager[Any]
    """Held while a tile is predicted."""
    name: Hashable
    """Tells it from others in `tiles`."""

    def read(self, box: Box) -> NDArray[np.uint16]:
        """Return a region (K, height, width), in the image's own pixels. May be called by several threads at once."""
        outputs = len(self.manifest.outputs)
        if self.survey.blank:
            return np.zeros((outputs, *box.shape), np.uint16)
        shape = scaled_shape(self.stack.shape, self.survey.zoom)
        have = source_box(box, shape, self.stack.shape)
        found = np.empty((outputs, *have.shape), np.uint16)
        rows, columns = (spans(length, self.manifest.tile) for length in shape)
        for y in _meeting(rows, have.y0, have.y1):
            for x in _meeting(columns, have.x0, have.x1):
                place = Box(y.write_start, x.write_start, y.write_stop, x.write_stop)
                part = place.common(have)
                found[(slice(None), *part.within(have))] = self._tile(y, x, shape)[(slice(None), *part.within(place))]
        if shape == self.stack.shape:
            return found
        resized = resampled_region(found, have, shape, self.stack.shape, box)
        return np.clip(np.rint(resized), 0, np.iinfo(np.uint16).max).astype(np.uint16)

    def _tile(self, y: Span, x: Span, shape: tuple[int, int]) -> NDArray[np.uint16]:
        def predict() -> NDArray[Any]:
            want = Box(y.read_start, x.read_start, y.read_stop, x.read_stop)
            have = source_box(want, self.stack.shape, shape)
            pixels = self.stack.role_pixels(have)
            if shape != self.stack.shape:
                pixels = resampled_region(pixels, have, self.stack.shape, shape, want)
            with self.turns:
                image = self.translator.predict(pixels, self.survey.contrast)
            return np.ascontiguousarray(image[:, y.inside, x.inside])

        return cast(NDArray[np.uint16], self.tiles.get((self.name, y.write_start, x.write_start), predict))


def _meeting(cut: list[Span], start: int, stop: int) -> list[Span]:
    """Return the spans whose write range meets [start, stop)."""
    return [span for span in cut if span.write_start < stop and span.write_stop > start]
