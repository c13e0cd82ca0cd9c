"""The planes beside a plane, for models that look at several: along depth, else along time. Reads no pixels."""

from __future__ import annotations

from cellfleet.errors import Notice
from cellfleet.images.image import Image


def frames_around(image: Image, index: int, frames: int) -> tuple[int, ...]:
    """Return `frames` consecutive planes with one in the middle, mirrored at the ends of the stack.

    They go along Z where the image has it, else along T.

    Args:
        image: The image.
        index: The one in the middle, counted as in `Image.planes`.
        frames: How many, odd.
    """
    t, z = image.planes()[index]
    axis, place = ("Z", z) if image.length("Z") > 1 else ("T", t)
    return tuple(index + there - place for there in mirrored(place, image.length(axis), frames))


def mirrored(place: int, length: int, frames: int) -> tuple[int, ...]:
    """Return `frames` consecutive places around one of `length`; the ends are mirrors, and not doubled."""
    period = max(1, 2 * (length - 1))
    turns = (there % period for there in range(place - frames // 2, place + frames // 2 + 1))
    return tuple(min(there, period - there) for there in turns)


def frame_notices(image: Image, frames: int) -> tuple[Notice, ...]:
    """Return what is to be said of an image that is given to a model of so many frames."""
    if frames == 1:
        return ()
    deep, long = image.length("Z"), image.length("T")
    notices = []
    if deep > 1 and long > 1:
        notices.append(Notice("W620", f"the model looks at {frames} planes at a time: along depth, not along time"))
    if (there := deep if deep > 1 else long) < frames:
        text = f"the model looks at {frames} planes at a time and the image has {there}: mirrored to make up for it"
        notices.append(Notice("W621", text))
    return tuple(notices)
