"""Folders of images and label images → training samples in memory. Knows no network.

A data set is a folder with ``images/`` and ``labels/`` whose files have the same stems, or with ``train/`` and
``val/`` each laid out so. Whole cells stand in ``cells/`` in place of ``labels/``, their nuclei, where a model is to
find both, in ``nuclei/``. Labels with names that tell them from images may lie beside these instead
(`label_files.py`). Images that share a field of view must stay in one split: a ``manifest.json`` with ``fov_group``
per ``id`` says which do.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.images.channels import choose_channels
from cellfleet.images.find import find_images
from cellfleet.images.image import Image
from cellfleet.images.read import open_image
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import contrast
from cellfleet.spec.segment import ChannelChoice
from cellfleet.tiling.box import Box
from cellfleet.training.label_files import images_among_labels, pair_labels, read_label_planes, size
from cellfleet.training.stacks import thinned, windows
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
    """One annotated plane."""

    name: str
    """Of the image; the planes of a stack share it."""
    pixels: NDArray[np.float32]
    """(R, Y, X), low = 0 and high = 1; for a network of several frames (R · F, Y, X), see `stacks.windows`."""
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
    folder: Path, seed: int = 0, channels: Sequence[ChannelChoice] = (), frames: int = 1
) -> tuple[list[Sample], list[Sample]]:
    """Read a data set and return its training and validation samples.

    Of a volume or movie every plane is a sample; of those that are validated a few are taken.

    Args:
        folder: Data set root.
        seed: Decides the split where the folder does not.
        channels: Per role of the model, in order, the channels of the images; empty: they have only one.
        frames: Planes that the network looks at to label one.

    Raises:
        TrainingError: E601 layout, E602 image without labels, E603 sizes differ, E604 too few images, E607 time and
            depth, or channels of which nothing is said, E608 labels that are none, E611 splits with other labels,
            E620–E623 labels of other programs.
        InputError: A file cannot be read.
        ImageError: E210-E216, an image lacks a channel.
    """
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        train, held_out = (_read_split(folder / split, channels, frames) for split in ("train", "val"))
        _require_same_labels(folder, train, held_out)
        return train, _thinned(held_out)
    samples = _read_split(folder, channels, frames)
    groups = _groups(folder)
    names = sorted({groups.get(s.name, s.name) for s in samples})
    np.random.default_rng(seed).shuffle(names)
    held_out_names = set(names[: max(1, round(len(names) * _VALIDATION_SHARE))])
    train = [s for s in samples if groups.get(s.name, s.name) not in held_out_names]
    if not train:
        only = "there is only one image, or one field: too few to train and validate"
        raise TrainingError("E604", only, where=str(folder), action="Add images")
    return train, _thinned([s for s in samples if groups.get(s.name, s.name) in held_out_names])


def _thinned(samples: list[Sample]) -> list[Sample]:
    """Return samples, of each stack some: its planes stand one after the other."""
    stacks = itertools.groupby(samples, key=lambda sample: sample.name)
    return [sample for _, planes in stacks for sample in thinned(list(planes))]


def _require_same_labels(folder: Path, train: list[Sample], held_out: list[Sample]) -> None:
    if {(s.whole_cells, s.nuclei is None) for s in train} != {(s.whole_cells, s.nuclei is None) for s in held_out}:
        raise TrainingError(
            "E611", "train/ and val/ do not label the same compartments", where=str(folder), action=_LAYOUT
        )


def _read_split(folder: Path, channels: Sequence[ChannelChoice], frames: int) -> list[Sample]:
    named = next((names for names in _LABEL_FOLDERS if all((folder / name).is_dir() for name in names)), ())
    holding = folder / "images" if (folder / "images").is_dir() else folder
    images = [Path(source.path) for source in find_images([holding])] if named else images_among_labels(holding)
    labels = {name: pair_labels(images, folder / name) for name in named}
    if not named:
        labels = {"labels": _beside(images)}
    if not any(labels.values()):
        raise TrainingError("E601", "there is no images/ and labels/ in it", where=str(folder), action=_LAYOUT)
    return [sample for path in images for sample in _read_samples(path, labels, channels, frames)]


def _beside(images: Sequence[Path]) -> dict[Path, Path]:
    """Return image → the file of labels in its own folder."""
    folders: dict[Path, list[Path]] = {}
    for path in images:
        folders.setdefault(path.parent, []).append(path)
    found = [pair_labels(own, folder) for folder, own in folders.items()]
    return {image: labels for pairs in found for image, labels in pairs.items()}


def _read_samples(
    path: Path, labels: Mapping[str, Mapping[Path, Path]], channels: Sequence[ChannelChoice], frames: int
) -> Iterable[Sample]:
    """Yield the planes of an image, each with the planes around it that the network looks at."""
    stack = _role_planes(path, channels)
    shape = (len(stack), stack.shape[2], stack.shape[3])
    found = []
    for name, files in labels.items():
        if path not in files:
            raise TrainingError("E602", f"has no labels of the same stem in {name}/", where=str(path), action=_LAYOUT)
        found.append(read_label_planes(files[path], shape, nuclei=name == "nuclei"))
        if found[-1].shape != shape:
            raise TrainingError(
                "E603",
                f"the image is {_told(shape)} px, its label image {_told(found[-1].shape)} px",
                where=str(path),
                action="Export both at the same size",
            )
    low_high = contrast(stack[len(stack) // 2])
    low, high = low_high[:, 0, None, None], low_high[:, 1, None, None]
    for window, *planes in zip(windows((stack - low) / (high - low), frames), *found, strict=True):
        yield Sample(path.stem, window, planes[0], median_diameter(planes[0]), "cells" in labels, *planes[1:])


def _told(shape: tuple[int, ...]) -> str:
    return size(shape if shape[0] > 1 else shape[1:])


def _role_planes(path: Path, channels: Sequence[ChannelChoice]) -> NDArray[np.float32]:
    """Return (P, R, Y, X): of every plane the image's only channel, or those that play the roles."""
    opened = open_image(path, name=path.name)
    if {"T", "Z"} <= set(opened.axes) or ("C" in opened.axes and not channels):
        axes = " × ".join(f"{length} {axis}" for axis, length in zip(opened.axes, opened.shape, strict=True))
        raise TrainingError(
            "E607",
            f"has time and depth, or several channels of which nothing is said ({axes})",
            where=str(path),
            action="Save one volume or movie per image, and say what channels show: --channel nuclear=1 …",
        )
    chosen = _chosen(opened, channels)
    planes = [Plane.of_array(opened.read_plane(*place), chosen) for place in opened.planes()]
    return np.stack([plane.role_pixels(Box.whole(plane.shape)) for plane in planes])


def _chosen(opened: Image, channels: Sequence[ChannelChoice]) -> tuple[tuple[int, ...], ...] | None:
    roles = tuple(choice.role or "" for choice in channels)
    return tuple(choose_channels(opened, channels, roles).values()) if channels else None


def _groups(folder: Path) -> dict[str, str]:
    """Image stem → field of view, from a manifest where there is one."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return {}
    try:
        read = json.loads(manifest.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        action = "Correct it, or take it away if it says nothing of fields of view"
        raise TrainingError("E601", f"is no JSON ({error})", where=str(manifest), action=action) from error
    # Other programs write files of this name, too.
    entries = [entry for entry in read if isinstance(entry, dict)] if isinstance(read, list) else []
    return {str(e["id"]): f"fov {e['fov_group']}" for e in entries if "id" in e and "fov_group" in e}
