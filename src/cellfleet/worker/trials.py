"""Which image of a bundle ends the worker: told by a mark that is written before each image and removed after it.

Needed only when a bundle comes back because its worker ended without a word: short of memory, say, or by a fault in a
library. Innocent images are done first, so that they stand before the suspect is tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from cellfleet.results.record import trial_name
from cellfleet.spec.job import ImageRef
from cellfleet.stores.place import Place

MOST = 2
"""Marks of this many trials that did not end make an image a failure."""


def suspects_last(out: Place, images: Sequence[ImageRef]) -> list[tuple[ImageRef, int]]:
    """Return the images and how many trials of each did not end, fewest first."""
    counted = [(image, _count(out, image)) for image in images]
    return sorted(counted, key=lambda pair: pair[1])


@contextlib.contextmanager
def trial(out: Place, image: ImageRef, before: int) -> Iterator[None]:
    """Mark an image as being tried, until the block ends in any way but with the process."""
    out.write(trial_name(image.name), str(before + 1).encode())
    try:
        yield
    finally:
        out.remove(trial_name(image.name))


def _count(out: Place, image: ImageRef) -> int:
    text = (out.read(trial_name(image.name)) or b"0").decode()
    return int(text) if text.isdecimal() else 0
