"""Heads to labels: the deep watershed.

A seed is a prominent peak of the maxima head; every pixel of the interior head above a threshold goes to the seed
that a flood from the seeds reaches it from. What is exact, what happens on ties, what the parameters mean, and why a
block of an image gets the labels of the whole stands in docs/reference/watershed.md. The work is done in C (native/),
in time linear in the pixels and without the interpreter lock. This module knows no model, no scale and no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet import _native
from cellfleet.spec.postprocess import DeepWatershed

Labels = NDArray[np.uint32]
Margins = tuple[int | None, int | None, int | None, int | None]
"""Top, left, bottom, right."""

UNKNOWN = 0xFFFFFFFF
"""Label of pixels of a block whose truth may depend on what lies outside the block."""
_WHOLE: Margins = (None, None, None, None)


@dataclass(frozen=True, eq=False)
class BlockLabels:
    """What is known from a block about the labels of the whole image."""

    labels: Labels
    """(Y, X) of the block: 0 = background in the whole image, 1…n in raster order of each object's first pixel here,
    UNKNOWN = perhaps another. Pixels with one label belong to one object of the whole image."""
    seeds: NDArray[np.uint32]
    """(n,) linear index ``y * X + x`` in the block of each object's seed."""
    complete: NDArray[np.bool_]
    """(n,) whether all pixels that the object has in the whole image are labelled here."""


def deep_watershed(maxima: NDArray[Any], interior: NDArray[Any], spec: DeepWatershed) -> Labels:
    """Label the objects that two heads describe.

    Args:
        maxima: (Y, X), uint8 (255 stands for 1) or float32 (0…1): peaks mark objects. What is not finite counts as 0.
        interior: (Y, X), the same types: high inside objects, low between them.
        spec: Parameters, px at the heads' scale.

    Returns:
        Labels (Y, X): 0 = background, 1…n in raster order of each object's first pixel. Every object is 4-connected.

    Raises:
        ValueError: The heads differ in shape, or have more than 2³² − 2 pixels.
        TypeError: A head is neither uint8 nor float32.
    """
    return deep_watershed_block(maxima, interior, spec, _WHOLE).labels


def deep_watershed_with_seeds(
    maxima: NDArray[Any], interior: NDArray[Any], spec: DeepWatershed
) -> tuple[Labels, NDArray[np.uint32]]:
    """Label as `deep_watershed` does and also return each object's seed.

    Returns:
        Labels (Y, X), and for label k the linear index ``y * X + x`` of its seed at position k − 1.
    """
    whole = deep_watershed_block(maxima, interior, spec, _WHOLE)
    return whole.labels, whole.seeds


def deep_watershed_block(
    maxima: NDArray[Any], interior: NDArray[Any], spec: DeepWatershed, margins: Margins
) -> BlockLabels:
    """Label the objects of one block of an image as `deep_watershed` labels the whole image, as far as can be known.

    Args:
        maxima: (Y, X) of the block, as for `deep_watershed`.
        interior: (Y, X), likewise.
        spec: Parameters, px at the heads' scale.
        margins: Per side: None where the image ends, else how many px of the block from there inwards are read only
            for the sake of the others: `context_px` at least, more where the heads themselves are not exact.

    Raises:
        ValueError: As `deep_watershed`, or a margin is less than `context_px`.
        TypeError: A head is neither uint8 nor float32.
    """
    given = [margin for margin in margins if margin is not None]
    if given and min(given) < context_px(spec):
        raise ValueError(f"margins of {margins} px are less than the {context_px(spec)} px that smoothing looks around")
    labels = np.empty(maxima.shape, np.uint32)
    seeds, complete = _native.deep_watershed(
        np.ascontiguousarray(maxima),
        np.ascontiguousarray(interior),
        labels,
        spec.maxima_threshold,
        spec.maxima_smooth,
        spec.interior_threshold,
        spec.interior_smooth,
        spec.radius,
        spec.pixel_expansion,
        math.ceil(spec.small_objects_threshold),
        math.floor(spec.fill_holes_threshold),
        *(0 if margin is None else margin for margin in margins),
    )
    return BlockLabels(labels, np.frombuffer(seeds, np.uint32), np.frombuffer(complete, np.bool_))


def context_px(spec: DeepWatershed) -> int:
    """Return how far from a side where the image goes on a block's smoothed heads are not those of the whole image.

    At least 1: a pixel is known only together with its neighbours.
    """
    # As in native/smooth.c: the Gaussian is truncated at 4 sigma.
    maxima = int(4 * spec.maxima_smooth + 0.5)
    interior = int(4 * spec.interior_smooth + 0.5) + spec.pixel_expansion
    return max(1, maxima, interior)
