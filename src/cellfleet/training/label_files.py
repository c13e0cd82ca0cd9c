"""Which file holds the labels of an image, whatever program drew them; and these labels. Knows no pixels.

Label images of any program, masks of Cellpose's GUI, outlines of QuPath and of napari. Files are told by how their
names end, and belong to the image whose name goes before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.evaluation.cellpose_seg import read_seg_masks
from cellfleet.evaluation.files import SUFFIXES, common_name, read_labels
from cellfleet.evaluation.outlines import read_outlines
from cellfleet.images.formats import is_image

_SEG, _CP_MASKS = "_seg.npy", "_cp_masks"
_OUTLINES = (".geojson", ".geojson.gz", "_shapes.csv", ".csv")
_LABELLED = ("_labels", "_label", _CP_MASKS, "_masks", "_mask")
"""What tells a label image from the image beside which it lies."""


def pair_labels(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return image → the file in a folder that holds its labels, of those images that have one.

    A file belongs to the image whose name it has, without ending; else to the one whose name is equal after what
    programs append is taken away (``a.ome.tif``, ``a_cp_masks.tif``).

    Raises:
        TrainingError: E622, two files hold labels of one image.
    """
    # A name as it is goes before one that is shortened.
    by_name = {_common(image.stem): image for image in images}
    by_name |= {name: image for image in images for name in (image.name, image.stem)}
    own, found = set(images), dict[Path, Path]()
    for path in sorted(folder.iterdir()):
        names = () if path.name.startswith(".") or path in own else _names(path)
        if image := next((by_name[name] for name in names if name in by_name), None):
            found[image] = _the_one(found.get(image), path)
    return found


def images_among_labels(folder: Path) -> list[Path]:
    """Return the images below a folder that holds labels too, which may be one that `cellfleet export` wrote to."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and is_image(path.name))
    shown = (path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return [path for path in shown if not path.stem.lower().endswith(_LABELLED)]


def read_label_planes(path: Path, shape: tuple[int, int, int], *, nuclei: bool) -> NDArray[np.int32]:
    """Return labels (P, Y, X), numbered in each plane from 1 without gaps: maps are made per number.

    Args:
        path: A file that `label_files` found.
        shape: (P, Y, X) of the image, for files that do not say.
        nuclei: Of cells with nuclei the nuclei are wanted.

    Raises:
        TrainingError: E603 another size, E608 no label image, E620, E621, E623.
        InputError: E706, a label image cannot be read.
    """
    labels = _read(path, shape, nuclei=nuclei)
    planes = labels[np.newaxis] if labels.ndim == 2 else labels
    # The three colours of a picture are no three planes.
    if labels.ndim not in {2, 2 + (shape[0] > 1)} or planes.dtype.kind not in "ui" or planes.min(initial=0) < 0:
        raise TrainingError(
            "E608",
            f"is no label image: {size(labels.shape)} px of type {labels.dtype}",
            where=str(path),
            action="Save whole numbers: 0 is background, each object has a number of its own",
        )
    return np.stack([_numbered(plane) for plane in planes])


def size(shape: Iterable[int]) -> str:
    """Return ``480 × 640``."""
    return " × ".join(str(length) for length in shape)


def _names(path: Path) -> tuple[str, ...]:
    """Return what the image may be called to which a file of labels belongs; nothing where it is no such file."""
    for ending in (_SEG, *_OUTLINES):
        if path.name.lower().endswith(ending):
            name = path.name[: -len(ending)]
            # What `segment` writes for QuPath; its table of the same name is no outlines.
            return name, _common(name), *([] if ending.endswith("csv") else [_common(name.removesuffix("_cells"))])
    return (path.stem, _common(path.stem)) if path.suffix.lower() in SUFFIXES else ()


def _common(name: str) -> str:
    return common_name(Path(f"{name}.tif"))


def _the_one(before: Path | None, path: Path) -> Path:
    """Return which of two files counts: of Cellpose's own the one that its GUI saves while masks are corrected."""
    if before is None:
        return path
    seg, masks = (path, before) if path.name.lower().endswith(_SEG) else (before, path)
    if seg.name.lower().endswith(_SEG) and masks.stem.lower().endswith(_CP_MASKS):
        return seg
    raise TrainingError(
        "E622",
        f"{before.name} and {path.name} both hold labels of one image",
        where=str(path.parent),
        action="Keep the one that was corrected last",
    )


def _read(path: Path, shape: tuple[int, int, int], *, nuclei: bool) -> NDArray[Any]:
    name = path.name.lower()
    if name.endswith(_OUTLINES):
        planes = read_outlines(path, shape, nuclei=nuclei)
        return planes if shape[0] > 1 else planes[0]
    read: Callable[[Path], NDArray[Any]] = read_seg_masks if name.endswith(_SEG) else read_labels
    return read(path)


def _numbered(plane: NDArray[Any]) -> NDArray[np.int32]:
    # The 0 in front is background, also where no pixel is.
    numbers = np.unique(np.append(0, plane), return_inverse=True)[1]
    return numbers[1:].reshape(plane.shape).astype(np.int32)
