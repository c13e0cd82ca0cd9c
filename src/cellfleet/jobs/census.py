"""How many images and pixels there are to do, from lists and headers. Reads no pixels; holds no list of the images.

Where there are many, the headers of a sample are read, drawn evenly and the same each time; the pixels of the others
follow from the sizes of their files, or from their number where sizes say nothing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from cellfleet.errors import CellfleetError
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.jobs.listing import Listed, list_images
from cellfleet.spec.plan import Counted
from cellfleet.stores.url import is_url

MOST_HEADERS: Final = 200
"""As many are read at most: half a second on a disk, some seconds from a bucket."""
_AT_ONCE = 8
_SEED = 7

Size = Callable[[Source], "int | None"]


def count_images(inputs: Sequence[str], *, axes: str | None = None, most_headers: int = MOST_HEADERS) -> Counted:
    """Count the images of files, folders, patterns, archives and addresses.

    Args:
        inputs: As those of a run.
        axes: As asked for, where the files' own are not believed.
        most_headers: Of more images only a sample of so many is opened.

    Raises:
        InputError: E101–E103, E15x: as `find_images`.
    """
    images = total = 0
    sized = True
    sample: list[Listed] = []
    draw = random.Random(_SEED)
    for listed in _with_sizes(list_images(inputs)):
        images += 1
        sized = sized and listed.size is not None
        total += listed.size or 0
        # Reservoir sampling: every image is in the sample with the same probability.
        if len(sample) < most_headers:
            sample.append(listed)
        elif (place := draw.randrange(images)) < most_headers:
            sample[place] = listed
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="header") as pool:
        pixels = list(pool.map(lambda listed: _pixels(listed.source, axes), sample))
    return Counted(
        images=images,
        pixels=_reckoned(list(zip(sample, pixels, strict=True)), images, total if sized else None),
        bytes=total,
        looked_at=len(sample),
        unreadable=pixels.count(None),
    )


def _with_sizes(listed: Iterable[Listed]) -> Iterator[Listed]:
    """Fill in the sizes of local Zarr folders, which no list tells."""
    for image in listed:
        if image.size is None and not is_url(image.source.path) and os.path.isdir(image.source.path):
            size = sum(file.stat().st_size for file in Path(image.source.path).rglob("*") if file.is_file())
            yield Listed(image.source, image.stem, size)
        else:
            yield image


def _pixels(source: Source, axes: str | None) -> int | None:
    """Return the pixels of all planes, channels not counted; None where the header cannot be read."""
    try:
        image = open_image(source, axes=axes)
    except (CellfleetError, OSError):
        return None
    return len(image.planes()) * image.length("Y") * image.length("X")


def _reckoned(sample: Sequence[tuple[Listed, int | None]], images: int, total_bytes: int | None) -> int:
    """Return the pixels of all images: exact where all were looked at, else in proportion."""
    read = [(listed.size or 0, pixels) for listed, pixels in sample if pixels is not None]
    known = sum(pixels for _, pixels in read)
    if len(sample) == images or not read:
        return known
    sampled_bytes = sum(size for size, _ in read)
    if total_bytes is not None and sampled_bytes:
        unread = sum(listed.size or 0 for listed, pixels in sample if pixels is None)
        return round(known * (total_bytes - unread * images / len(sample)) / sampled_bytes)
    return round(known * images / len(sample))
