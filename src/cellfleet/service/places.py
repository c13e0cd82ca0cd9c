"""What the service can reach itself: folders on its machine and buckets, to look through before a job is made of one.

A place is an input of a job that is no set. What jobs may not read is not listed either. Knows no HTTP.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cellfleet.errors import CellfleetError, InputError
from cellfleet.images import formats
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.read import open_image
from cellfleet.images.search import MAGIC, images_among, search_pattern
from cellfleet.images.source import Source
from cellfleet.images.stored import pieces_up_to
from cellfleet.service.inputs import SET, check_place
from cellfleet.service.looking import LARGEST_PIECE_BYTES
from cellfleet.service.state import Settings
from cellfleet.spec.http import Place, PlaceCount, PlaceEntry, PlaceKind, PlaceRequest
from cellfleet.stores.level import Entry, list_below, list_level, local_folder
from cellfleet.stores.url import is_url, without_secrets

MOST_COUNTED: Final = 100_000
"""Files that are looked at by name for one count."""
COUNT_SECONDS: Final = 10.0
_LOOKED_AT: Final = 3
"""Images whose headers are read for a count of pixels."""
_CACHE_BYTES: Final = 16 << 20


def list_place(settings: Settings, request: PlaceRequest) -> Place:
    """Return what is in a place, a page at a time: folders, images and archives.

    Raises:
        InputError: E818, the service may not use it; others as `stores.level.list_level`.
    """
    if not request.place:
        return Place(place="", kind="folder", above=None, entries=_beginnings(settings), after=None)
    place = _checked(settings, request.place)
    kind = _kind_of(place)
    above = _above(settings, place)
    if kind != "folder":
        return Place(place=place, kind=kind, above=above, entries=(), after=None)
    found = list_level(place, after=request.after, most=request.limit)
    entries = tuple(entry for one in found for entry in _shown(place, one))
    return Place(
        place=place,
        kind=kind,
        above=above,
        entries=entries,
        after=found[-1].name if len(found) == request.limit else None,
    )


def count_place(settings: Settings, given: str) -> PlaceCount:
    """Count the images in a place by their names, and estimate their pixels from the headers of a few.

    Results of cellfleet, hidden files and archives in a folder do not count, as in a job. A file of several images
    counts as one.

    Raises:
        InputError: As `list_place`.
    """
    place = _checked(settings, given)
    kind = _kind_of(place)
    if kind in {"image", "archive"}:
        return PlaceCount(images=1, more=False, pixels=_pixels(place) if kind == "image" else None)
    if kind == "pattern":
        images, more = [image.path for image in search_pattern(place).found], False
    else:
        names, more = _bounded(list_below(place, closed=formats.is_zarr))
        images = [_inside(place, name) for name in sorted(images_among(names))]
    looked = []
    for path in _spread(images):
        with contextlib.suppress(CellfleetError):  # the job will tell
            looked.append(_pixels(path))
    estimate = round(sum(looked) / len(looked) * len(images)) if looked else None
    return PlaceCount(images=len(images), more=more, pixels=estimate)


def _checked(settings: Settings, given: str) -> str:
    if given.startswith(SET):
        raise _no_place(given)
    check_place(settings, given)
    path = local_folder(given)
    if path is None:
        return given
    if not path.is_absolute():
        raise _no_place(given)
    return os.path.normpath(path)


def _no_place(given: str) -> InputError:
    action = "Write a path that begins with /, or an address such as s3://bucket/folder"
    return InputError("E986", "this is no place that can be looked through", where=given, action=action)


def _kind_of(place: str) -> PlaceKind:
    name = without_secrets(place).rstrip("/")
    path = local_folder(place)
    if path is None:
        # As `images.search.search_address` takes it: nobody but the listing knows whether it is there.
        return _kind_of_name(name) or "folder"
    if path.is_dir() and not formats.is_zarr(name):
        return "folder"
    if not os.path.lexists(path):
        if MAGIC.search(place):
            return "pattern"
        raise InputError("E102", "there is no such file or folder", where=place, action="Check the path")
    kind = _kind_of_name(name)
    if kind is None:
        action = "Choose an image, an archive or a folder"
        raise InputError("E103", "its name has no ending that tells an image", where=place, action=action)
    return kind


def _kind_of_name(name: str) -> PlaceKind | None:
    if formats.is_archive(name):
        return "archive"
    return "image" if formats.is_image(name) else None


def _shown(place: str, entry: Entry) -> Iterator[PlaceEntry]:
    name = entry.name.rstrip("/")
    kind = _kind_of_name(name)
    if entry.name.endswith("/") and not formats.is_zarr(name):
        kind = "folder"
    if kind is not None:
        yield PlaceEntry(name=name, place=_inside(place, name), kind=kind, size=entry.size)


def _inside(place: str, name: str) -> str:
    return f"{place.rstrip('/')}/{name}" if is_url(place) else os.path.join(place, name)


def _above(settings: Settings, place: str) -> str | None:
    """Return the folder above, if one may go there."""
    if is_url(place):
        scheme, _, rest = place.rstrip("/").partition("://")
        above = f"{scheme}://{rest.rpartition('/')[0]}" if "/" in rest else None
    else:
        above = os.path.dirname(place) if os.path.dirname(place) != place else None
    if above is not None:
        try:
            check_place(settings, above)
        except InputError:
            return None
    return above


def _beginnings(settings: Settings) -> tuple[PlaceEntry, ...]:
    """Return where looking may begin: what the operator allows; without login, this machine's folders."""
    places = settings.allowed_inputs if settings.login else dict.fromkeys((str(Path.home()), Path.home().anchor))
    return tuple(
        PlaceEntry(name=place, place=place, kind=_kind_of_name(place.rstrip("/")) or "folder", size=None)
        for place in places
    )


def _bounded(names: Iterator[str]) -> tuple[list[str], bool]:
    """Return the first names, and whether there may be more."""
    found: list[str] = []
    end = time.monotonic() + COUNT_SECONDS
    for name in names:
        if len(found) == MOST_COUNTED or time.monotonic() > end:
            return found, True
        found.append(name)
    return found, False


def _spread(images: list[str]) -> list[str]:
    """Return some images from all over."""
    return images[:: max(1, len(images) // _LOOKED_AT)][:_LOOKED_AT]


def _pixels(path: str) -> int:
    """Return the pixels of one channel of an image: what a model looks at. Raises as `images.read.open_image`."""
    with pieces_up_to(LARGEST_PIECE_BYTES):
        image = open_image(Source(path, path), cache=ChunkCache(_CACHE_BYTES))
    return math.prod(length for axis, length in zip(image.axes, image.shape, strict=True) if axis not in "CS")
