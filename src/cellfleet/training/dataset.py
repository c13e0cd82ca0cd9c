"""Folders of images and label images → training samples in memory. Knows no network.

A data set is a folder with ``images/`` and ``labels/`` whose files have the same stems, or with ``train/`` and
``val/`` each laid out so. Whole cells stand in ``cells/`` in place of ``labels/``, their nuclei, where a model is to
find both, in ``nuclei/``. Images that share a field of view must stay in one split: a ``manifest.json`` with
``fov_group`` per ``id`` says which do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.evaluation.files import read_labels
from cellfleet.images.channels import choose_channels
from cellfleet.images.find import find_images
from cellfleet.images.read import open_image
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import contrast
from cellfleet.spec.segment import ChannelChoice
from cellfleet.tiling.box import Box
from cellfleet.training.targets import inner_distance, median_diameter, outer_distance

_VALIDATION_SHARE = 0.15
_LAYOUT = (
    "Lay it out as images/ and labels/ with equal stems (whole cells: cells/, and their nuclei: nuclei/), "
    "or as train/ and val/ each with these"
)
_LABEL_FOLDERS = (("labels",), ("cells", "nuclei"), ("cells",))
"""What may stand beside ``images/``; the first that is there counts."""


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
    whole_cells: bool = False
    """Whether `labels` are whole cells, not nuclei."""
    nuclei: NDArray[np.int32] | None = None
    """(Y, X): of whole cells their nuclei, numbered on their own."""

    @property
    def compartments(self) -> tuple[NDArray[np.int32], ...]:
        """The label images that are learned: `labels`, and `nuclei` where they are labelled too."""
        return (self.labels,) if self.nuclei is None else (self.labels, self.nuclei)


@dataclass(frozen=True)
class Targets:
    """A sample with the maps that do not depend on the zoom, (K, Y, X): one plane per compartment."""

    sample: Sample
    outer: NDArray[np.float32]
    inner: NDArray[np.float32]


def with_targets(sample: Sample) -> Targets:
    """Compute the distance maps of one sample."""
    outer, inner = (np.stack([of(labels) for labels in sample.compartments]) for of in (outer_distance, inner_distance))
    return Targets(sample, outer, inner)


def load_dataset(
    folder: Path, seed: int = 0, channels: Sequence[ChannelChoice] = ()
) -> tuple[list[Sample], list[Sample]]:
    """Read a data set and return its training and validation samples.

    Args:
        folder: Data set root.
        seed: Decides the split where the folder does not.
        channels: Per role of the model, in order, the channels of the images; empty: they have only one.

    Raises:
        TrainingError: E601 layout, E602 image without labels, E603 sizes differ, E604 too few images, E607 several
            planes, or channels of which nothing is said, E608 labels that are none, E611 splits with other labels.
        InputError: A file cannot be read.
        ImageError: E210-E216, an image lacks a channel.
    """
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        train, held_out = (_read_split(folder / split, channels) for split in ("train", "val"))
        _require_same_labels(folder, train, held_out)
        return train, held_out
    samples = _read_split(folder, channels)
    groups = _groups(folder)
    names = sorted({groups.get(s.name, s.name) for s in samples})
    np.random.default_rng(seed).shuffle(names)
    held_out_names = set(names[: max(1, round(len(names) * _VALIDATION_SHARE))])
    train = [s for s in samples if groups.get(s.name, s.name) not in held_out_names]
    if not train:
        raise TrainingError(
            "E604", f"{len(samples)} image is too few to train and validate", where=str(folder), action="Add images"
        )
    return train, [s for s in samples if groups.get(s.name, s.name) in held_out_names]


def _require_same_labels(folder: Path, train: list[Sample], held_out: list[Sample]) -> None:
    if {(s.whole_cells, s.nuclei is None) for s in train} != {(s.whole_cells, s.nuclei is None) for s in held_out}:
        raise TrainingError(
            "E611", "train/ and val/ do not label the same compartments", where=str(folder), action=_LAYOUT
        )


def _read_split(folder: Path, channels: Sequence[ChannelChoice]) -> list[Sample]:
    named = next((names for names in _LABEL_FOLDERS if all((folder / name).is_dir() for name in names)), None)
    if not (folder / "images").is_dir() or named is None:
        raise TrainingError("E601", "there is no images/ and labels/ in it", where=str(folder), action=_LAYOUT)
    labels = {name: _by_stem(folder / name) for name in named}
    return [_read_sample(Path(source.path), labels, channels) for source in find_images([folder / "images"])]


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def _read_sample(path: Path, labels: dict[str, dict[str, Path]], channels: Sequence[ChannelChoice]) -> Sample:
    image = _role_pixels(path, channels)
    found = []
    for name, by_stem in labels.items():
        if path.stem not in by_stem:
            raise TrainingError("E602", f"has no image of the same stem in {name}/", where=str(path), action=_LAYOUT)
        found.append(_read_labels(by_stem[path.stem]))
        if image.shape[-2:] != found[-1].shape:
            raise TrainingError(
                "E603",
                f"the image is {_size(image)} px, its label image {_size(found[-1])} px",
                where=str(path),
                action="Export both at the same size",
            )
    low_high = contrast(image)
    low, high = low_high[:, 0, None, None], low_high[:, 1, None, None]
    pixels = (image.astype(np.float32) - low) / (high - low)
    whole_cells = "cells" in labels
    return Sample(path.stem, pixels, found[0], median_diameter(found[0]), whole_cells, *found[1:])


def _role_pixels(path: Path, channels: Sequence[ChannelChoice]) -> NDArray[Any]:
    """Return (R, Y, X): the image's only channel, or those that play the roles."""
    opened = open_image(path, name=path.name)
    said = bool(channels) and set(opened.axes) <= set("CYX")
    if opened.axes != "YX" and not said:
        axes = " × ".join(f"{length} {axis}" for axis, length in zip(opened.axes, opened.shape, strict=True))
        raise TrainingError(
            "E607",
            f"is no single plane of one channel ({axes})",
            where=str(path),
            action="Save one plane per image, and of several channels say what they show: --channel nuclear=1 …",
        )
    plane = opened.read_plane()
    if not channels:
        return plane
    roles = tuple(choice.role or "" for choice in channels)
    chosen = choose_channels(opened, channels, roles)
    pixels = Plane.of_array(plane, tuple(chosen.values()))
    return pixels.role_pixels(Box.whole(pixels.shape))


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
