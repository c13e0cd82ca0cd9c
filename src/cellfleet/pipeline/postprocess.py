"""Heads to labels: the deep watershed.

A seed is a prominent peak of the maxima head; every pixel of the interior head above a threshold goes to the seed
that a flood from the seeds reaches it from. What is exact, what happens on ties, and what the parameters mean stands
in docs/reference/watershed.md. The work is done in C (native/), in time linear in the pixels and without the
interpreter lock. This module knows no model, no scale and no file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet import _native
from cellfleet.spec.postprocess import DeepWatershed

Labels = NDArray[np.uint32]


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
    return deep_watershed_with_seeds(maxima, interior, spec)[0]


def deep_watershed_with_seeds(
    maxima: NDArray[Any], interior: NDArray[Any], spec: DeepWatershed
) -> tuple[Labels, NDArray[np.uint32]]:
    """Label as `deep_watershed` does and also return each object's seed.

    Returns:
        Labels (Y, X), and for label k the linear index ``y * X + x`` of its seed at position k − 1.
    """
    labels = np.empty(maxima.shape, np.uint32)
    seeds = _native.deep_watershed(
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
    )
    return labels, np.frombuffer(seeds, np.uint32)
