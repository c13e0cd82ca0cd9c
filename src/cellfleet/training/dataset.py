"""Folders of images and label images → training samples in memory. Knows no network.

A data set is a folder with ``images/`` and ``labels/`` whose files have the same stems, or with ``train/`` and
``val/`` each laid out so. Images that share a field of view must stay in one split: a ``manifest.json`` with
``fov_group`` per ``id`` says which do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.evaluation.files import read_labels
from cellfleet.images.find import find_images
from cellfleet.images.read import open_image
from cellfleet.pipeline.preprocess import contrast
from cellfleet.training.targets import inner_distance, median_diameter, outer_distance

_VALIDATION_SHARE = 0.15
_LAYOUT = "Lay it out as images/ and labels/ with equal stems, or as train/ and val/ each with both"


@dataclass(frozen=True)
class Sample:
    """One annotated image."""

    name: str
    pixels: NDArray[np.float32]
    """(R, Y, X), low = 0 and high = 1."""
    labels: NDArray[np.int32]
    """(Y, X), 0 = background."""
    diameter_px: float | None
    """Median object diameter; None without objects."""


@dataclass(frozen=True)
class Targets:
    """A sample with the maps that do not depend on the zoom."""

    sample: Sample
    outer: NDArray[np.float32]
    inner: NDArray[np.float32]


def with_targets(sample: Sample) -> Targets:
    """Compute the distance maps of one sample."""
    return Targets(sample, outer_distance(sample.labels), inner_distance(sample.labels))


def load_dataset(folder: Path, seed: int = 0) -> tuple[list[Sample], list[Sample]]:
    """Read a data set and return its training and validation samples.

    Args:
        folder: Data set root.
        seed: Decides the split where the folder does not.

    Raises:
        TrainingError: E601 layout, E602 image without labels, E603 sizes differ, E604 too few images, E607 more than
            one channel or plane, E608 labels that are none.
        InputError: A file cannot be read.
    """
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        return _read_split(folder / "train"), _read_split(folder / "val")
    samples = _read_split(folder)
    groups = _groups(folder)
    names = sorted({groups.get(s.name, s.name) for s in samples})
    np.random.default_rng(seed).shuffle(names)
    held_out = set(names[: max(1, round(len(names) * _VALIDATION_SHARE))])
    train = [s for s in samples if groups.get(s.name, s.name) not in held_out]
    if not train:
        raise TrainingError(
            "E604", f"{len(samples)} image is too few to train and validate", where=str(folder), action="Add images"
        )
    return train, [s for s in samples if groups.get(s.name, s.name) in held_out]


def _read_split(folder: Path) -> list[Sample]:
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise TrainingError("E601", "there is no images/ and labels/ in it", where=str(folder), action=_LAYOUT)
    by_stem = {path.stem: path for path in sorted(labels.iterdir()) if not path.name.startswith(".")}
    return [_read_sample(Path(source.path), by_stem) for source in find_images([images])]


def _read_sample(path: Path, labels_by_stem: dict[str, Path]) -> Sample:
    if path.stem not in labels_by_stem:
        raise TrainingError("E602", "has no label image of the same stem", where=str(path), action=_LAYOUT)
    opened = open_image(path, name=path.name)
    if opened.axes != "YX":
        axes = " × ".join(f"{length} {axis}" for axis, length in zip(opened.axes, opened.shape, strict=True))
        action = "Save one channel of one plane per image"
        raise TrainingError("E607", f"is no single plane of one channel ({axes})", where=str(path), action=action)
    image, labels = opened.read_plane(), _read_labels(labels_by_stem[path.stem])
    if image.shape[-2:] != labels.shape:
        raise TrainingError(
            "E603",
            f"the image is {_size(image)} px, its label image {_size(labels)} px",
            where=str(path),
            action="Export both at the same size",
        )
    low_high = contrast(image)
    low, high = low_high[:, 0, None, None], low_high[:, 1, None, None]
    return Sample(path.stem, (image.astype(np.float32) - low) / (high - low), labels, median_diameter(labels))


def _read_labels(path: Path) -> NDArray[np.int32]:
    """Return labels (Y, X), numbered anew where there are gaps: maps are made per number, up to the largest."""
    labels = read_labels(path)
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
        raise TrainingError(
            "E608",
            f"is no label image: {_size(labels)} px of type {labels.dtype}",
            where=str(path),
            action="Save one plane of whole numbers: 0 is background, each object has a number of its own",
        )
    # The 0 in front is background, also where no pixel is.
    numbers = np.unique(np.append(0, labels), return_inverse=True)[1]
    return numbers[1:].reshape(labels.shape).astype(np.int32)


def _size(array: NDArray[Any]) -> str:
    return " × ".join(str(n) for n in array.shape[-2:])


def _groups(folder: Path) -> dict[str, str]:
    """Image stem → field of view, from a manifest where there is one."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return {}
    entries = json.loads(manifest.read_text(encoding="utf-8"))
    return {str(e["id"]): f"fov {e['fov_group']}" for e in entries if "id" in e and "fov_group" in e}
