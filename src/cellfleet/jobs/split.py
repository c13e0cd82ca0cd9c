"""Images → tasks: small ones in bundles, the blocks of a large one in shares. Reads headers of large files only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cellfleet.errors import CellfleetError
from cellfleet.images.read import open_image
from cellfleet.jobs.listing import Listed
from cellfleet.jobs.places import path_for_all
from cellfleet.run.shard import SQUARE
from cellfleet.spec.job import ImageRef, Task
from cellfleet.spec.segment import Shard
from cellfleet.stores.place import Place
from cellfleet.tiling.blocks import blocks

SHARE_BLOCKS = SQUARE**2
"""Blocks per share: about a minute, and a quarter of its tiles lies on its edge and is done by a neighbour as well."""
LARGE_BYTES = 64 << 20
"""From this size of a file on its header is read, to see in how many blocks it is."""
BUNDLE_BYTES = 64 << 20
BUNDLE_IMAGES = 64
_UNBUNDLED = 32
"""So many tasks have one image before the next have two, and so on: small jobs are spread, large ones bundled."""


@dataclass(frozen=True)
class _Piece:
    """An image of a job, or one of the shares of it."""

    image: ImageRef
    size: int
    shares: int = 1


def split(
    job: str, images: Iterable[Listed], store: Place, *, axes: str | None = None, shared: bool = True
) -> Iterator[Task]:
    """Yield the tasks of a job, numbered from 0; holds one task at a time.

    Args:
        job: Its id.
        images: In order.
        store: Paths in it become names that every process can follow.
        axes: As asked for, where the files' own are not believed.
        shared: Whether a large image is done in shares; else whole, as one that is classified.
    """
    number = first = 0
    pieces = (_Piece(_ref(image, store), image.size or 0, _shares(image, axes) if shared else 1) for image in images)
    for bundle in _bundles(pieces):
        shares = bundle[0].shares
        refs = tuple(piece.image for piece in bundle)
        for share in range(1, shares + 1):
            part = Shard(number=share, count=shares) if shares > 1 else None
            yield Task(job=job, number=number, first_image=first, images=refs, share=part)
            number += 1
        first += len(refs)


def _bundles(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    bundle: list[_Piece] = []
    passed = 0
    for piece in pieces:
        limit = min(1 + passed // _UNBUNDLED, BUNDLE_IMAGES)
        full = len(bundle) >= limit or sum(one.size for one in bundle) + piece.size > BUNDLE_BYTES
        if bundle and (full or piece.shares > 1 or bundle[0].shares > 1):
            yield bundle
            passed += len(bundle)
            bundle = []
        bundle.append(piece)
    if bundle:
        yield bundle


def _shares(image: Listed, axes: str | None) -> int:
    """Return in how many shares an image is done; 1 where it cannot be read: its task says why."""
    if image.size is not None and image.size < LARGE_BYTES:
        return 1
    try:
        opened = open_image(image.source, axes=axes)
    except (OSError, CellfleetError):
        return 1
    planes = len(opened.planes())
    count = planes * len(blocks((opened.length("Y"), opened.length("X"))))
    return -(-count // SHARE_BLOCKS)


def _ref(image: Listed, store: Place) -> ImageRef:
    source = image.source
    return ImageRef(path=path_for_all(source.path, store), name=source.name, inside=source.inside, stem=image.stem)
