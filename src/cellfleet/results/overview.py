"""The numbers behind the report: totals, object sizes over all images, and images worth a look. Knows records only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellfleet.spec.record import ImageRecord

_FEW, _MANY = 1 / 4, 4.0
"""Objects per pixel of the image, relative to the median image of the run."""
_TINY, _HUGE = 1 / 2, 2.0
"""Median diameter of the image, relative to the median image of the run."""
_LEAST_IMAGES = 5
"""Fewer images have no usual value that one could differ from."""
_MOST_BINS = 40
_TAIL = 0.995


@dataclass(frozen=True)
class SizeHistogram:
    """Object diameters of all images in equal bins."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    """Objects per bin; fractions where an image's own bins were finer or coarser."""
    larger: int
    """Objects beyond the last edge."""
    median: float
    unit: str
    """``µm`` where every image with objects has a pixel size, else ``px``."""


def total_objects(images: Sequence[ImageRecord]) -> int:
    """Return the number of objects in all images."""
    return sum(record.objects for record in images)


def outliers(images: Sequence[ImageRecord]) -> dict[str, tuple[str, ...]]:
    """Return image → why it is worth a look, for images that are done and differ from the rest of the run.

    "No objects" is always told. The others compare with the median image: objects per pixel below a quarter ("few
    objects") or above four times ("many objects"), median diameter below half ("small objects") or above twice
    ("large objects").
    """
    done = [record for record in images if record.status == "done"]
    density = {r.image: r.objects / max(1, math.prod(_extent(r))) for r in done}
    diameter = {r.image: _diameter(r) for r in done if r.median_diameter_px}
    usual_density = _usual(list(density.values()))
    usual_diameter = _usual(list(diameter.values()))
    found = {}
    for record in done:
        reasons = []
        if record.objects == 0:
            reasons.append("no objects")
        else:
            reasons += _compare(density[record.image], usual_density, _FEW, _MANY, ("few objects", "many objects"))
        if record.image in diameter:
            names = ("small objects", "large objects")
            reasons += _compare(diameter[record.image], usual_diameter, _TINY, _HUGE, names)
        if reasons:
            found[record.image] = tuple(reasons)
    return found


def size_histogram(images: Sequence[ImageRecord]) -> SizeHistogram | None:
    """Add up the diameter histograms of all images; None without objects.

    In µm where every image with objects has a pixel size. Objects of one bin of an image count as spread evenly
    over it. The largest 0.5 % may lie beyond the last edge, so that one giant does not flatten the rest.
    """
    parts = [record for record in images if record.diameter_histogram.get("counts") and record.objects]
    if not parts:
        return None
    microns = all(record.microns_per_pixel for record in parts)
    scales = [record.microns_per_pixel or 1.0 if microns else 1.0 for record in parts]
    edges = [np.asarray(r.diameter_histogram["edges"]) * s for r, s in zip(parts, scales, strict=True)]
    counts = [np.asarray(record.diameter_histogram["counts"]) for record in parts]
    finest = np.unique(np.concatenate(edges))
    cumulative = _cumulative(finest, edges, counts)
    total = cumulative[-1]
    upper = float(np.interp(_TAIL * total, cumulative, finest))
    width = max(_nice(upper / _MOST_BINS), 0 if microns else 1)
    new_edges = np.arange(math.ceil(upper / width) + 1) * width
    binned = np.diff(_cumulative(new_edges, edges, counts))
    return SizeHistogram(
        edges=tuple(new_edges.tolist()),
        counts=tuple(binned.tolist()),
        larger=round(float(total - binned.sum())),
        median=float(np.interp(total / 2, cumulative, finest)),
        unit="µm" if microns else "px",
    )


def objects_per_image(images: Sequence[ImageRecord]) -> tuple[list[float], list[float], float] | None:
    """Return edges, number of images per bin, and median of the object counts; None for a handful of images."""
    counts = np.array([record.objects for record in images])
    if len(counts) < _LEAST_IMAGES or not counts.any():
        return None
    width = max(1.0, _nice(float(counts.max()) / _MOST_BINS * 2))
    edges = np.arange(counts.max() // width + 2) * width
    return edges.tolist(), np.histogram(counts, edges)[0].astype(float).tolist(), float(np.median(counts))


def chosen_for_thumbnails(images: Sequence[ImageRecord], flagged: dict[str, tuple[str, ...]], most: int) -> set[str]:
    """Return the images whose thumbnails are shown: flagged ones first, the others evenly over the run."""
    with_picture = [record.image for record in images if record.thumbnail]
    first = [image for image in with_picture if image in flagged][:most]
    rest = [image for image in with_picture if image not in flagged]
    room = min(most - len(first), len(rest))
    return {*first, *(rest[i * len(rest) // room] for i in range(room))}


def _extent(record: ImageRecord) -> list[int]:
    return [length for axis, length in zip(record.axes, record.shape, strict=False) if axis != "C"]


def _diameter(record: ImageRecord) -> float:
    return (record.median_diameter_px or 0) * (record.microns_per_pixel or 1)


def _usual(values: list[float]) -> float | None:
    return float(np.median(values)) if len(values) >= _LEAST_IMAGES else None


def _compare(value: float, usual: float | None, low: float, high: float, names: tuple[str, str]) -> list[str]:
    if not usual:
        return []
    if value < usual * low:
        return [names[0]]
    return [names[1]] if value > usual * high else []


def _cumulative(at: np.ndarray, edges: list[np.ndarray], counts: list[np.ndarray]) -> np.ndarray:
    """Return how many objects of all images are below each value of `at`."""
    total = np.zeros(len(at))
    for own_edges, own_counts in zip(edges, counts, strict=True):
        total += np.interp(at, own_edges, np.concatenate([[0], np.cumsum(own_counts)]))
    return total


def _nice(width: float) -> float:
    """Return the next larger number out of 1, 2, 2.5, 5 · 10ⁿ."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= width * (1 - 1e-9))
