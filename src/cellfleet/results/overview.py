"""The numbers behind the report: totals, object sizes over all images, and images worth a look. Knows records only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellfleet.spec.record import ImageRecord

_DENSITY_FACTOR = 4.0
_DIAMETER_FACTOR = 2.0
_FENCE = 1.5
"""Tukey's fences: this many interquartile ranges beyond the quartiles, of logarithms."""
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

    "No objects" is always told. "Few" and "many objects" mean a quarter or four times the objects per pixel of the
    median image, "small" and "large objects" half or twice its median diameter; and both only outside Tukey's fences
    of the run, so that a mixed run does not flag a third of its images.
    """
    done = [record for record in images if record.status == "done"]
    found: dict[str, tuple[str, ...]] = {record.image: ("no objects",) for record in done if not record.objects}
    some = [record for record in done if record.objects and record.median_diameter_px]
    if len(some) < _LEAST_IMAGES:
        return found
    density = np.array([record.objects / max(1, math.prod(_extent(record))) for record in some])
    diameter = np.array([_diameter(record) for record in some])
    reasons = (
        _beyond(density, _DENSITY_FACTOR, "few objects", "many objects"),
        _beyond(diameter, _DIAMETER_FACTOR, "small objects", "large objects"),
    )
    for record, *told in zip(some, *reasons, strict=True):
        if any(told):
            found[record.image] = tuple(reason for reason in told if reason)
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
    width = _nice(upper / _MOST_BINS)
    if len(set(scales)) == 1:
        # Whole bins of the images, so that no bar holds a fraction of an object.
        coarsest = max(float(own[1] - own[0]) for own in edges)
        width = max(1, round(width / coarsest)) * coarsest
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
    return list(record.labelled_lengths.values())


def _diameter(record: ImageRecord) -> float:
    return (record.median_diameter_px or 0) * (record.microns_per_pixel or 1)


def _beyond(values: np.ndarray, factor: float, low: str, high: str) -> list[str]:
    """Return `low`, `high` or nothing for each value."""
    logs = np.log(values)
    first, middle, third = np.quantile(logs, [0.25, 0.5, 0.75])
    fence = _FENCE * (third - first)
    floor = min(middle - math.log(factor), first - fence)
    ceiling = max(middle + math.log(factor), third + fence)
    return [low if value < floor else high if value > ceiling else "" for value in logs]


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
