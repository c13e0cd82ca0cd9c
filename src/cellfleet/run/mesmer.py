"""What ``run_app.py mesmer`` of deepcell-applications does, with a model of ours: two images in, one TIFF out.

Pipelines call that program by its flags and read its file. Flags, the rule for the axis of the channels, and shape,
type and name of the file are the original's (deepcell_applications 0.4: ``argparse.py``, ``io.py``,
``app_runners.py``); the labels are those of `segment_image`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellfleet.errors import ImageError, InputError, Notice, OutputError, UsageError
from cellfleet.images.image import Image
from cellfleet.images.joined import blank_like, joined, planes_as_channels
from cellfleet.images.read import image_from_array, open_image
from cellfleet.inference.threads import usable_threads
from cellfleet.models import LoadedModel
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.request import make_spec
from cellfleet.run.resources import fair_share
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.choices import CompartmentChoice
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.atomic import replacing

ROLES = ("nuclear", "membrane")
_NAMELESS_PAGES = "E203"
Stain = tuple[Path, tuple[int, ...]]
"""A file, and which of its channels are summed, from 0."""


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    nuclear: Stain
    membrane: Stain | None
    """None: the membrane channel is blank."""
    out: Path
    """A file of this name must not be there; the folder is made."""
    microns_per_pixel: float = 0.5
    compartment: CompartmentChoice = "whole-cell"
    squeeze: bool = False


def run_mesmer(order: Order, model: LoadedModel, *, threads: int | None = None) -> tuple[Notice, ...]:
    """Segment the images of an order and write its file.

    The file is a TIFF of int32, whatever its name: (1, Y, X, 1), of both compartments (1, Y, X, 2) with the cells
    first; squeezed without the axes of length 1. The whole label image stands in memory, as that form wants.

    Returns:
        What the user should know.

    Raises:
        UsageError: E011, E050, E058 the model takes other channels.
        OutputError: E057, the file is there; E3xx, it cannot be written.
        InputError, ImageError: An image cannot be read or does not fit; E055, E056.
    """
    # A workflow takes what its first step takes.
    taken = (model.before[0].manifest.role,) if model.before else tuple(model.manifest.roles)
    if taken != ROLES:
        raise UsageError(
            "E058",
            f"the model {model.manifest.name} takes {' and '.join(taken)}, not nuclear and membrane",
            where="--model",
            action="Use tissue, or a model of the same channels",
        )
    if order.out.exists():
        action = "Remove it, or choose another --output-name"
        raise OutputError("E057", "is there already", where=str(order.out), action=action)
    image = joined_image(order)
    notices = (*_scale_notices(image, order.microns_per_pixel), *image.notices)
    with Pools(threads or usable_threads(), model, fair_share()) as pools:
        found = segment_image(image, spec_of(order, model.manifest.name), model, How(pools))
        assert isinstance(found, Segmented), "nobody shares it"
        labels = _labels(found)
    with replacing(order.out) as path:
        tifffile.imwrite(path, np.squeeze(labels) if order.squeeze else labels)
    return (*notices, *found.notices)


def spec_of(order: Order, model: str) -> SegmentSpec:
    """Return the request that `cellfleet segment` would make of the joined image."""
    nuclear = len(order.nuclear[1])
    membrane = len(order.membrane[1]) if order.membrane else 1
    numbers = range(1, nuclear + 1), range(nuclear + 1, nuclear + membrane + 1)
    spec = make_spec(
        model=model,
        channels=[ChannelChoice(role=role, channels=tuple(its)) for role, its in zip(ROLES, numbers, strict=True)],
        microns_per_pixel=order.microns_per_pixel,
    )
    return spec.model_copy(update={"compartment": order.compartment})


def joined_image(order: Order) -> Image:
    """Return the channels of both files as one image: first the nuclear ones, then those of the membrane."""
    nuclear = (_open(order.nuclear[0]), order.nuclear[1])
    membrane = (_open(order.membrane[0]), order.membrane[1]) if order.membrane else (blank_like(nuclear[0]), (0,))
    return joined([nuclear, membrane], order.nuclear[0].name)


def _open(path: Path) -> Image:
    """Open a plane with channels: which axis is theirs the file says, else it is the shortest, as in the original."""
    if not path.exists():
        raise InputError("E104", "there is no such file", where=str(path), action="Check the path")
    if path.suffix.lower() == ".npy":
        return _open_array(path)
    try:
        return planes_as_channels(open_image(path))
    except ImageError as error:
        if error.code != _NAMELESS_PAGES:
            raise
    paged = open_image(path, axes="CYX")
    axes = _shortest_is_channels(paged.shape)
    return paged if axes == "CYX" else open_image(path, axes=axes)


def _open_array(path: Path) -> Image:
    try:
        # Not `np.load`, which takes zips for arrays, too.
        array: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            "E106", f"cannot be read ({error})", where=str(path), action="Save it with numpy.save"
        ) from error
    axes = _shortest_is_channels(array.shape) if array.ndim == 3 else "YX"
    return image_from_array(array, axes=axes, name=path.name)


def _shortest_is_channels(shape: Sequence[int]) -> str:
    return {0: "CYX", 1: "YCX", 2: "YXC"}[int(np.argmin(shape))]


def _scale_notices(image: Image, microns_per_pixel: float) -> tuple[Notice, ...]:
    said = image.microns_per_pixel
    if said is None or abs(said / microns_per_pixel - 1) < 0.01:
        return ()
    text = f"The file says {said:.4g} µm per pixel; {microns_per_pixel:g} is taken. --image-mpp changes that"
    return (Notice("W055", text),)


def _labels(found: Segmented) -> NDArray[np.int32]:
    images = [found.labels, *([found.nuclei.objects.labels] if found.nuclei else [])]
    return np.stack([read_all(labels).astype(np.int32) for labels in images], -1)[np.newaxis]
