"""Which predicted label file belongs to which true one, and their pixels. Knows nothing of scores.

Files are paired by their path inside the two folders without extension and without ``_labels`` or ``_masks``:
``plate/a_labels.tif`` of a run belongs to ``plate/a.png`` of the truth. Where a run found cells and their nuclei, the
latter stand in ``plate/a_nuclei.tif``; a data set has them in ``nuclei/`` beside ``cells/`` and ``images/``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cellfleet.errors import InputError
from cellfleet.images.border import DAMAGE
from cellfleet.spec.model import Compartment

_TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
SUFFIXES = (*_TIFF_SUFFIXES, ".png")
"""Files that can hold labels; JPEG cannot, because it changes values."""
_IMAGE_SUFFIXES = (*SUFFIXES, ".jpg", ".jpeg")
_ENDINGS = (".ome", "_labels", "_label", "_cp_masks", "_masks", "_mask", ".stardist", ".ome")
"""What programs append to the name of an image, beside the extension."""

_OF_CELLS, _OF_NUCLEI = "_labels", "_nuclei"
"""End the names of a run's files where it found cells and their nuclei."""
_FOLDERS: Mapping[Compartment | None, str] = MappingProxyType(
    {None: "labels", "whole-cell": "cells", "nuclear": "nuclei"}
)
"""Of a data set, beside ``images/``."""

_UNREADABLE = (*DAMAGE, MemoryError, OSError, Image.DecompressionBombError)
"""What tifffile and Pillow raise on files that are damaged or cannot be opened."""


@dataclass(frozen=True)
class FilePair:
    """A prediction and its truth."""

    name: str
    """Common part of the two paths, with ``/``."""
    pred: Path
    truth: Path


@dataclass(frozen=True)
class FilePairs:
    """How two folders fit together."""

    pairs: tuple[FilePair, ...]
    truth_only: tuple[Path, ...]
    """True label images without a prediction."""
    pred_only: tuple[Path, ...]
    """Predictions without a true label image."""


def compartments_of(truth: Path) -> tuple[Compartment, ...]:
    """Return what a data set labels in folders of its own; nothing where it has ``labels/`` or is none."""
    data_set = (truth / "images").is_dir() and not (truth / _FOLDERS[None]).is_dir()
    both: tuple[Compartment, ...] = ("whole-cell", "nuclear")
    return tuple(one for one in both if data_set and (truth / _FOLDERS[one]).is_dir())


def tells_nuclei_apart(pred: Path) -> bool:
    """Say whether a run's results hold files of nuclei beside those of cells."""
    return bool(_of_nuclei(list(_visible_files(pred))))


def pair_files(pred: Path, truth: Path, compartment: Compartment | None = None) -> FilePairs:
    """Pair two files, or the label files of two folders, in the order of their names.

    Args:
        pred: A label image; a results folder of `cellfleet segment`; or any folder of label images.
        truth: A label image; a folder of label images; or a data set with ``images/`` and ``labels/``.
        compartment: Which of `compartments_of` a data set is meant, and so which files of a run.

    Raises:
        InputError: Nothing is there (E704), or one name has two files in a folder (E707).
    """
    if pred.is_file() and truth.is_file():
        return FilePairs((FilePair(pred.name, pred, truth),), (), ())
    preds, truths = _by_name(pred, None, compartment), _by_name(truth, _FOLDERS[compartment])
    shared_stems = Counter(map(_without_image_suffix, preds))
    pairs = []
    unused = dict(truths)
    pred_only = []
    for name, path in preds.items():
        common = name if name in unused else _without_image_suffix(name)
        if common in unused and (common == name or shared_stems[common] == 1):
            pairs.append(FilePair(name, path, unused.pop(common)))
        else:
            pred_only.append(path)
    if not pairs:
        raise InputError(
            "E704",
            f"no name of the {len(preds)} predictions is among the {len(truths)} true label images",
            where=str(pred),
            action=f"Pairs have the same path and stem, as in a_labels.tif and a.png; {_example(preds, truths)}",
        )
    return FilePairs(tuple(pairs), tuple(unused.values()), tuple(pred_only))


def read_labels(path: Path) -> NDArray[np.integer[Any] | np.bool_]:
    """Read a label image; leading axes of length 1 are dropped, whole numbers stored as floats become integers.

    Raises:
        InputError: The file cannot be read as an image (E706).
    """
    try:
        labels = _read(path)
    except _UNREADABLE as error:
        raise InputError(
            "E706",
            f"cannot be read as a label image ({error or type(error).__name__})",
            where=str(path),
            action="Copy or export it again, as TIFF or PNG",
        ) from error
    while labels.ndim > 2 and labels.shape[0] == 1:
        labels = labels[0]
    if labels.dtype.kind == "f" and np.array_equal(labels, np.trunc(labels)) and np.isfinite(labels).all():
        return labels.astype(np.int64)
    return labels


def _read(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in _TIFF_SUFFIXES:
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as image:
        return np.asarray(image)  # of a palette image: the indices, which are the labels


def _by_name(place: Path, inside: str | None, compartment: Compartment | None = None) -> dict[str, Path]:
    """Return the label files of a folder (or the one file) by the name that they are paired by.

    Args:
        place: The file or folder.
        inside: Of a data set, the folder that is meant; None: ``labels``.
        compartment: Of a run, which files are meant.
    """
    if place.is_file():
        return {common_name(Path(place.name)): place}
    of_data_set = place / (inside or "labels")
    folder = of_data_set if of_data_set.is_dir() and (place / "images").is_dir() else place
    found: dict[str, Path] = {}
    for path, named_as in _label_files(folder, compartment).items():
        name = common_name(named_as.relative_to(folder))
        if name in found:
            raise InputError(
                "E707",
                f"{found[name].name} and {path.name} are both labels of {name}",
                where=str(folder),
                action="Keep one of them in this folder",
            )
        found[name] = path
    if not found:
        raise InputError(
            "E704",
            "no label images here" if place.exists() else "does not exist",
            where=str(place),
            action=f"Label images end in {', '.join(SUFFIXES)}",
        )
    return found


def _label_files(folder: Path, compartment: Compartment | None) -> dict[Path, Path]:
    """Return the label images below a folder, and which file's name names the image: mostly their own.

    Where some are named ``…_labels``, only those. Of a run that found cells and nuclei, those of the compartment, and
    of the cells where none is said.
    """
    files = sorted(path for path in _visible_files(folder) if path.suffix.lower() in SUFFIXES)
    nuclei = _of_nuclei(files)
    if compartment == "nuclear" and nuclei:
        return nuclei
    return {path: path for path in files if path.stem.endswith(_OF_CELLS)} or {path: path for path in files}


def _of_nuclei(files: list[Path]) -> dict[Path, Path]:
    """Return the files of nuclei, each with that of its cells: without it beside, a name says nothing of nuclei."""
    there = set(files)
    ending = [path for path in files if path.stem.endswith(_OF_NUCLEI)]
    cells = {path: path.with_stem(path.stem.removesuffix(_OF_NUCLEI) + _OF_CELLS) for path in ending}
    return {path: its_cells for path, its_cells in cells.items() if its_cells in there}


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def common_name(path: Path) -> str:
    """Return the path without extension and without what programs append to the name of an image, with ``/``."""
    stem = path.stem
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending) or stem
    return path.with_name(stem).as_posix()


def _without_image_suffix(name: str) -> str:
    """Of images that share a stem, results keep the extension: ``a.tif`` for ``a.tif_labels.tif``."""
    path = Path(name)
    return common_name(path) if path.suffix.lower() in _IMAGE_SUFFIXES else name


def _example(preds: dict[str, Path], truths: dict[str, Path]) -> str:
    return f"here they are for example {next(iter(preds))!r} and {next(iter(truths))!r}"
