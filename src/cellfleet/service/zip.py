"""Results of a job as one zip, made while it is sent: in memory that does not grow with the files. Knows no HTTP.

Nothing is compressed: images, Parquet and OME-Zarr are already. A few small files are read ahead, since a bucket takes
a while to answer; while the client does not read, nothing is.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zipfile
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from string import Template
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool

from cellfleet.jobs.desk import Desk, has_in_name
from cellfleet.results.classes import CLASS_TABLES
from cellfleet.results.formats import format_of
from cellfleet.results.record import RUN
from cellfleet.run.names import all_files, is_tree
from cellfleet.service.files import PIECE_BYTES, no_such_file
from cellfleet.spec.choices import Format
from cellfleet.spec.http import Job, JobImage
from cellfleet.stores.place import Part, Place

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MOST_FILES: Final = 100_000
"""Of a zip. Its directory, which stands at its end, is held until then: some 0.6 kB a file."""
_SUMMARY: Final = (*CLASS_TABLES, RUN, "failures.csv", "report.html")
_AHEAD: Final = 8
"""Files whose beginnings are read at once."""
_BEGINNING_BYTES: Final = 128 << 10
_LEVEL: Final = "compress_level" if sys.version_info >= (3, 13) else "_compresslevel"
"""Of the compression of a file: an attribute of `ZipInfo`, public since Python 3.13."""
_READABLE: Final = 0o100644 << 16
"""A file that its owner may write and all may read, as Unix says it in a zip."""


class Member(NamedTuple):
    """A file of the zip."""

    name: str
    """In the zip; also in the results, unless there is content."""
    content: bytes | None = None


@dataclass(frozen=True)
class Choice:
    """What of a job goes into the zip."""

    formats: Sequence[Format] = ()
    """Empty: all."""
    images: Sequence[int] = ()
    """Numbers of images; empty: all."""
    named: str = ""
    """Only images with this in their name; empty: all."""


def members_of(desk: Desk, job: Job, place: Place, choice: Choice) -> Iterator[Member]:
    """Yield what the zip of a job holds: what stands when it is come to, of images that are done.

    Results come first: ImageJ opens the first file of a zip that it is given the address of.
    """
    for image in _chosen(desk, job.id, choice):
        # An image that failed has none.
        outputs = image.record.outputs if image.record else {}
        for form, first in outputs.items():
            if not choice.formats or format_of(form) in choice.formats:
                yield from map(Member, names_of(place, form, first))
    for name, text in _guides(job):
        yield Member(name, text.encode())
    for name in _SUMMARY:
        if place.size(name) is not None:
            yield Member(name)


def names_of(place: Place, form: str, first: str) -> Iterator[str]:
    """Yield the names of all files of a format, from that of the first."""
    for path in all_files(form, first):
        if is_tree(form):
            yield from sorted(place.names(path))
        else:
            yield path


async def zip_pieces(place: Place, members: Iterator[Member]) -> AsyncGenerator[bytes]:
    """Yield the zip of `members`.

    Raises:
        ServiceError, OutputError: A file has gone or cannot be read: what was sent so far is no whole zip.
    """
    out = _Out()
    archive = zipfile.ZipFile(out, "w")
    try:
        while batch := await run_in_threadpool(lambda: list(islice(members, _AHEAD))):
            begun = await asyncio.gather(*(run_in_threadpool(_begun, place, member) for member in batch))
            written = _written(place, archive, out, zip(batch, begun, strict=True))
            try:
                async for piece in iterate_in_threadpool(written):
                    yield piece
            finally:
                written.close()
        await run_in_threadpool(archive.close)
        yield out.take()
    finally:
        # A zip that nobody wants any more needs no directory.
        archive.infolist().clear()
        archive.close()


class _Out:
    """What zipfile writes to; it cannot seek there, so sizes and checksums follow the files."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, content: ReadableBuffer, /) -> int:
        self._written.append(bytes(content))
        return len(self._written[-1])

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def take(self) -> bytes:
        """Return what was written since this was last asked."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def _begun(place: Place, member: Member) -> Part:
    if member.content is not None:
        return Part(member.content, len(member.content), "")
    found = place.read_range(member.name, 0, _BEGINNING_BYTES)
    if found is None:
        raise no_such_file(member.name)
    return found


def _written(
    place: Place, archive: zipfile.ZipFile, out: _Out, begun: Iterator[tuple[Member, Part]]
) -> Generator[bytes]:
    """Yield what the next files add to the zip, at most about a piece at a time."""
    for member, part in begun:
        info = zipfile.ZipInfo(member.name, time.gmtime()[:6])
        info.external_attr = _READABLE
        # "Deflated" at level 0: nothing is compressed, and readers that cannot seek (ImageJ) see where a file ends.
        info.compress_type = zipfile.ZIP_DEFLATED
        setattr(info, _LEVEL, 0)
        info.file_size = part.size  # so that only a file of 2 GiB and more gets the form that old programs do not know
        with archive.open(info, "w") as entry:
            entry.write(part.content)
            for start in range(len(part.content), part.size, PIECE_BYTES):
                yield out.take()
                piece = place.read_range(member.name, start, start + PIECE_BYTES, version=part.version)
                if piece is None:
                    raise no_such_file(member.name)
                entry.write(piece.content)
    yield out.take()


def _chosen(desk: Desk, job: str, choice: Choice) -> Iterator[JobImage]:
    if not choice.images:
        yield from desk.images(job, named=choice.named)
    for number in sorted(set(choice.images)):
        for image in islice(desk.images(job, start=number), 1):
            if has_in_name(choice.named, image.image):
                yield image


def _guides(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the texts for people: name and content. Of classes nothing has to be explained."""
    if job.segment.top:
        return
    words = {"name": " ".join(job.name.split()), "id": job.id}
    for name in ("README.txt", "open_in_fiji.ijm"):
        text = files("cellfleet.service").joinpath("guides", name).read_text("utf-8")
        yield name, Template(text).safe_substitute(words)
