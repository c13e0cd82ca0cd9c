"""Volumes and movies as training samples: each plane with those around it, as the pipeline gives them to a model.

Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.frames import mirrored
from cellfleet.pipeline.plane import Plane

_Item = TypeVar("_Item")
_VALIDATED = 8
"""Planes of a stack that are validated: neighbours are so alike that more of them tell little more."""


def windows(stack: NDArray[np.float32], frames: int) -> list[NDArray[np.float32]]:
    """Return for each plane the `frames` planes around it, mirrored at the ends.

    Args:
        stack: (P, R, Y, X).
        frames: How many, odd.

    Returns:
        P arrays (R · F, Y, X), the planes of a role side by side; of one role they share their memory.
    """
    reach = frames // 2
    places = [mirrored(place, len(stack), 1)[0] for place in range(-reach, len(stack) + reach)]
    by_role = np.ascontiguousarray(np.moveaxis(stack[places], 1, 0))
    return [by_role[:, first : first + frames].reshape(-1, *stack.shape[2:]) for first in range(len(stack))]


def plane_of(window: NDArray[np.float32], frames: int) -> Plane:
    """Return the plane in the middle of a window (R · F, Y, X), with its window, as the pipeline wants it."""
    alone = [Plane.of_array(window[frame::frames]) for frame in range(frames)]
    return replace(alone[frames // 2], window=tuple(alone) if frames > 1 else ())


def thinned(planes: Sequence[_Item]) -> list[_Item]:
    """Return the planes of one stack that are validated: all of a few, of more some, evenly spread."""
    if len(planes) <= _VALIDATED:
        return list(planes)
    return [planes[int(place)] for place in np.linspace(0, len(planes) - 1, _VALIDATED).round()]
