"""One opened image through a classifier: a score per class for every plane. Knows no output folder.

The counterpart of `segment_image`: the whole plane goes into the network at once, so there are no blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ImageError, ModelError, Notice
from cellfleet.images.channels import choice_notices, choose_channels
from cellfleet.images.colour import COLOUR_NAMES
from cellfleet.images.image import Image
from cellfleet.models import LoadedClassifier
from cellfleet.pipeline.clock import Clock
from cellfleet.pipeline.opened import open_plane
from cellfleet.pipeline.sample import WHOLE_PIXELS
from cellfleet.pipeline.whole import LEVELS, levels_of, network_input
from cellfleet.run.pools import Pools
from cellfleet.spec.choices import TOP
from cellfleet.spec.record import ClassScore, PlaneClasses
from cellfleet.spec.segment import ChannelChoice, SegmentSpec

_AT_ONCE: Final = 32
"""Planes that are held together."""
_ROLES: Final = ("first", "second", "third", "fourth")
_BYTES_PER_PIXEL: Final = 12
"""Of a plane that is looked at, for each role: raw, as float32, and resized."""
_OVERVIEW: Final = 4
"""Of a file with smaller copies the smallest is read that is so many times as large as the network's input."""


@dataclass(frozen=True)
class Classified:
    """What a classifier says of one image."""

    planes: tuple[PlaneClasses, ...]
    """Over T, then Z."""
    channels_used: dict[str, tuple[int, ...]]
    """Role (``grey``, or ``red``, ``green`` and ``blue``) → channels counted from 0."""
    levels: NDArray[np.float32]
    """(R, 2): the raw values that became 0 and 255."""
    notices: tuple[Notice, ...]
    clock: Clock


def classify_image(
    image: Image,
    spec: SegmentSpec,
    model: LoadedClassifier,
    pools: Pools,
    checkpoint: Callable[[], None] = lambda: None,
) -> Classified:
    """Score every plane of `image`.

    Pixels of 8 bits go in as they are. Others are brought to 0…255 by the contrast of the plane nearest to the middle
    on which there is something to see; the colours of a picture by one contrast.

    Args:
        image: The image.
        spec: Its `top`, `channels` and `axes` count.
        model: Loaded.
        pools: Its memory is shared with others.
        checkpoint: Called between planes; what it raises stops the work.

    Raises:
        CellfleetError: The image cannot be read, or does not fit the graph or the request; E776, its scores are no
            numbers.
    """
    manifest, clock = model.manifest, Clock()
    roles = _channels(image, spec.channels, len(manifest.mean))
    notices = (*image.notices, *_told(image, spec.channels, roles))
    image = _smaller(image, _OVERVIEW * max(manifest.size))
    planes = image.planes()
    held = min(image.length("Y") * image.length("X"), WHOLE_PIXELS) * len(roles) * _BYTES_PER_PIXEL
    found: list[PlaneClasses] = []
    with pools.budget.hold(image.region_bytes + held):
        levels = _levels(image, roles, clock)
        for first in range(0, len(planes), _AT_ONCE):
            some, inputs = planes[first : first + _AT_ONCE], list[NDArray[np.float32]]()
            for t, z in some:
                checkpoint()
                with clock.stage("preprocess"):
                    plane = open_plane(image, t, z, tuple(roles.values()))
                    inputs.append(network_input(plane, levels, manifest))
            with clock.stage("predict"):
                scores = model.classifier.scores(np.stack(inputs))
            names = (_place(image, t, z) for t, z in some)
            found += [
                PlaneClasses(**place, top=_best(own, manifest.classes, spec.top or TOP, image.name))
                for place, own in zip(names, scores, strict=True)
            ]
    return Classified(tuple(found), roles, levels, tuple(dict.fromkeys(notices)), clock)


def _channels(image: Image, choices: tuple[ChannelChoice, ...], count: int) -> dict[str, tuple[int, ...]]:
    """Return one role where one channel becomes all of the graph's, else one per channel of the graph."""
    if count == 1 or (image.channels == 1 and len(choices) < 2) or (len(choices) == 1 and choices[0].role is None):
        return choose_channels(image, choices, ("grey",))
    if image.channels < count and not choices:
        raise ImageError(
            "E210",
            f"has {image.channels} channels; the model takes {count}",
            where=image.name,
            action="Choose one with --channel 1: it becomes all channels of the model",
        )
    return choose_channels(image, choices, COLOUR_NAMES if count == len(COLOUR_NAMES) else _ROLES[:count])


def _told(image: Image, choices: tuple[ChannelChoice, ...], roles: dict[str, tuple[int, ...]]) -> tuple[Notice, ...]:
    """Say which channels were taken without being asked; that a picture's colours are its colours needs no word."""
    return () if _is_picture(image, roles) else choice_notices(image, choices, roles)


def _is_picture(image: Image, roles: dict[str, tuple[int, ...]]) -> bool:
    return image.channel_names == COLOUR_NAMES and tuple(roles) == COLOUR_NAMES


def _levels(image: Image, roles: dict[str, tuple[int, ...]], clock: Clock) -> NDArray[np.float32]:
    summed = any(len(channels) > 1 for channels in roles.values())
    if image.dtype == np.uint8 and not summed:
        return np.tile(np.array([0, LEVELS], np.float32), (len(roles), 1))
    places = image.planes()
    middle = len(places) // 2
    nearest = sorted(range(len(places)), key=lambda index: abs(index - middle))
    with clock.stage("survey"):
        planes = (open_plane(image, *places[index], tuple(roles.values())) for index in nearest)
        return levels_of(planes, alike=_is_picture(image, roles))


def _smaller(image: Image, side: int) -> Image:
    """Return the smallest copy in the file with a side of so many pixels; the image itself where there is none."""
    copy = image if image.overview is None else image.overview(side)
    # In a small copy, colours may have come so close that it is taken for a grey one.
    return copy if copy.channels == image.channels else image


def _place(image: Image, t: int, z: int) -> dict[str, int]:
    return {axis.lower(): index for axis, index in (("T", t), ("Z", z)) if axis in image.axes}


def _best(scores: NDArray[np.float32], classes: tuple[str, ...], top: int, name: str) -> tuple[ClassScore, ...]:
    """Return the classes with the highest scores; of equal ones the first of the manifest."""
    if not np.isfinite(scores).all():
        raise ModelError(
            "E776",
            "the graph gives scores that are not numbers",
            where=name,
            action="Check mean and deviation of the package, and compare with the program that it was trained in",
        )
    best = np.argsort(-scores, kind="stable")[:top]
    # The fewest digits that give the same float32 back.
    return tuple(ClassScore(name=classes[index], score=float(str(scores[index]))) for index in best)
