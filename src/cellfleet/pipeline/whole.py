"""A plane as a network wants it that looks at all of it: levels of 0…255, resized, scaled. Knows no file and no graph.

Of a large plane one piece is read at a time, with the same result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import resampled_region
from cellfleet.pipeline.sample import Sample
from cellfleet.spec.model import ClassifierManifest
from cellfleet.tiling.box import Box
from cellfleet.tiling.resample_span import source_span

LEVELS = 255.0
"""The highest of the levels that networks for photographs are trained with; the lowest is 0."""
PIECE_PIXELS = 1 << 22
"""About so many pixels of a plane are held at a time."""


def levels_of(planes: Iterable[Plane], *, alike: bool) -> NDArray[np.float32]:
    """Find the raw values that become 0 and 255, per role, on the first plane that has more than one value.

    Args:
        planes: Where to look first, then where that is blank; at least one. The last counts where all are blank.
        alike: Whether all roles get the same two, as the colours of a picture must.

    Returns:
        float32 (R, 2), as of `preprocess.contrast_of`.
    """
    for plane in planes:
        sample = Sample.of(plane)
        if any(window.min() < window.max() for window in sample.windows):
            break
    found = sample.contrast()
    if alike:
        found[:] = found[:, 0].min(), found[:, 1].max()
    return found


def network_input(
    plane: Plane, levels: NDArray[np.float32], manifest: ClassifierManifest, *, piece: int = PIECE_PIXELS
) -> NDArray[np.float32]:
    """Return float32 of the shape `manifest.shape`.

    Raw values become 0…255 and are cut off there, as in a picture of 8 bits, without being rounded. The plane is
    resized to the network's size whatever its own sides' ratio is: linear interpolation whose support grows as the
    image shrinks (`preprocess.resampled`).

    Args:
        plane: With as many roles as the graph has channels, or with one, which becomes all of them.
        levels: (R, 2), the raw values that become 0 and 255.
        manifest: Size, axes, mean and deviation.
        piece: About so many pixels are read at a time; changes no result.
    """
    resized = np.empty((len(plane.roles), *manifest.size), np.float32)
    low, high = levels.T[..., np.newaxis, np.newaxis]
    for want in _pieces(plane.shape, manifest.size, piece):
        have = Box(*_needed(plane.shape, manifest.size, want))
        pixels = plane.role_pixels(have)
        pixels -= low
        pixels *= LEVELS / (high - low)
        np.clip(pixels, 0, LEVELS, out=pixels)
        resized[:, want.y, want.x] = resampled_region(pixels, have, plane.shape, manifest.size, want)
    mean, deviation = (np.array(values, np.float32)[:, None, None] for values in (manifest.mean, manifest.deviation))
    with np.errstate(over="ignore"):  # a package may say anything; scores that are no numbers are told
        scaled = (resized - mean) / deviation
    return np.ascontiguousarray(scaled if manifest.axes == "cyx" else np.moveaxis(scaled, 0, -1))


def _pieces(shape: tuple[int, int], size: tuple[int, int], piece: int) -> Iterator[Box]:
    """Yield boxes of the resized plane, each of which depends on about `piece` pixels."""
    count = math.ceil(math.sqrt(shape[0] * shape[1] / piece))
    rows, columns = ([length * part // min(count, length) for part in range(min(count, length) + 1)] for length in size)
    for (y0, y1), (x0, x1) in itertools.product(itertools.pairwise(rows), itertools.pairwise(columns)):
        yield Box(y0, x0, y1, x1)


def _needed(shape: tuple[int, int], size: tuple[int, int], want: Box) -> tuple[int, int, int, int]:
    y0, y1 = source_span(want.y0, want.y1, shape[0], size[0])
    x0, x1 = source_span(want.x0, want.x1, shape[1], size[1])
    return y0, x0, y1, x1
