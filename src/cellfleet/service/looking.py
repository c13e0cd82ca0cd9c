"""A look at an input: which images are in it, and what the file of one says.

No more is read than lists, headers and a small picture, and no more unpacked at once than fits beside other requests.
Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.names import printable
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.images.stored import pieces_up_to
from cellfleet.jobs.listing import list_images
from cellfleet.jobs.submission import as_path
from cellfleet.service.access import User
from cellfleet.service.inputs import check_inputs
from cellfleet.service.state import Service
from cellfleet.service.thumbnail import data_address, thumbnail
from cellfleet.spec.http import Inspected, InspectRequest
from cellfleet.spec.record import Told

MOST_NAMES: Final = 100
LARGEST_PIECE_BYTES: Final = 256 << 20
"""Of what can be unpacked only as a whole; workers take more, one at a time."""
_CACHE_BYTES: Final = 64 << 20


def inspect(service: Service, user: User, request: InspectRequest) -> Inspected:
    """Look at an input and at one of its images.

    Raises:
        CellfleetError: As a job would say it; E934, there is no such image in the input.
    """
    names, more, source = find_image(service, user, request.input, request.image)
    with opened(service, request.input, source, request.axes) as image:
        picture, told = thumbnail(image)
    return Inspected(
        images=names,
        more_images=more,
        image=source.name,
        axes=image.axes,
        shape=image.shape,
        dtype=str(image.dtype),
        channel_names=image.channel_names,
        microns_per_pixel=image.microns_per_pixel,
        microns_per_pixel_source=image.microns_per_pixel_source,
        notices=tuple(Told(code=notice.code, what=notice.text) for notice in (*image.notices, *told)),
        thumbnail=data_address(picture, "jpeg"),
    )


def find_image(service: Service, user: User, given: str, name: str | None) -> tuple[tuple[str, ...], bool, Source]:
    """Return the names of the first images in an input, whether there are more, and the image that is meant.

    Args:
        service: Whose.
        user: Who may read the input.
        given: As an input of a job.
        name: Of the image; None: the first.
    """
    check_inputs(service, user, [given])
    names: list[str] = []
    found, more = None, False
    with in_words_of(service, given):
        for listed in list_images([as_path(given, service.store)]):
            if found is None and name in {None, listed.source.name}:
                found = listed.source
            more = len(names) == MOST_NAMES
            if not more:
                names.append(listed.source.name)
            elif found is not None:
                break
    if found is None:
        action = f"Choose one of its images, such as {names[0]}"
        raise ServiceError("E934", "there is no such image in this input", status=404, where=name or "", action=action)
    return tuple(names), more, found


@contextmanager
def opened(service: Service, given: str, source: Source, axes: str | None) -> Iterator[Image]:
    """Yield an image of an input, for a look at it. Raises as `images.read.open_image`."""
    with in_words_of(service, given), pieces_up_to(LARGEST_PIECE_BYTES):
        yield open_image(source, axes=axes, cache=ChunkCache(_CACHE_BYTES))


@contextmanager
def in_words_of(service: Service, given: str) -> Iterator[None]:
    """Let errors name the input as the user did, not where the server keeps it."""
    try:
        yield
    except CellfleetError as error:
        path = as_path(given, service.store)
        for here in (path, printable(path)):
            error.what, error.where = error.what.replace(here, given), error.where.replace(here, given)
        raise
