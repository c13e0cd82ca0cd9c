"""Results of a job into a folder, while it runs or afterwards: each file whole or not there, several images at a time.

A file that is cut off goes on where it was. The record of an image is written last, as in a run here: an image whose
record stands is not fetched again.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from cellfleet.client.connection import AT_ONCE, Connection, StoppedError
from cellfleet.client.download import download
from cellfleet.errors import ServiceError
from cellfleet.results.classes import CLASS_TABLES
from cellfleet.results.formats import format_of
from cellfleet.results.record import as_json, record_name
from cellfleet.run.names import all_files, is_tree
from cellfleet.run.pools import in_parallel
from cellfleet.spec.http import JobImage, JobImages
from cellfleet.spec.record import ImageRecord
from cellfleet.stores.place import FolderPlace

_PAGE = 500
_READ = 1 << 20
_SUMMARIES = (*CLASS_TABLES, "failures.csv", "report.html", "run.json")
"""In the order in which they are fetched."""


def images_of(connection: Connection, job_id: str, *, start: int = 0) -> Iterator[JobImage]:
    """Yield the images of a job in its order, from number `start` on."""
    after: int | None = start - 1 if start else None
    while True:
        params = {"after": after, "limit": _PAGE}
        page = connection.ask("GET", f"/api/v1/jobs/{job_id}/images", JobImages, params=params)
        yield from page.images
        if page.after is None:
            return
        after = page.after


class Fetcher:
    """Brings the results of one job into a folder. May be used from several threads."""

    def __init__(self, connection: Connection, job_id: str, place: FolderPlace) -> None:
        """Take what is needed; nothing is fetched yet."""
        self._connection, self._base, self._place = connection, f"/api/v1/jobs/{job_id}", place
        self._job = job_id

    def everything(self) -> Iterator[ImageRecord]:
        """Fetch what stands by now, images first; yield the record of each image that is here then.

        Raises:
            ServiceError: E960 and others, the server is not reached or refuses.
            OutputError: The folder cannot be written.
        """

        def fetch(image: JobImage) -> ImageRecord | None:
            if image.record is None:
                return None
            if not self.stands(image.record):
                self.image(image, image.record)
            return image.record

        images = images_of(self._connection, self._job)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
            for record in in_parallel(pool, fetch, images, 2 * AT_ONCE, look_up=self.checkpoint):
                if record is not None:
                    yield record
        self.summaries()

    def summaries(self) -> None:
        """Fetch what tells of all images; what the server has not written yet is removed here."""
        for name in _SUMMARIES:
            self.file(name, name, optional=True)

    def checkpoint(self) -> None:
        """Raise `StoppedError` if the user asked to stop."""
        if self._connection.stop.is_set():
            raise StoppedError

    def stands(self, record: ImageRecord) -> bool:
        """Say whether an image is here as the server has it."""
        if self._place.read(record_name(record.image)) != as_json(record):
            return False
        files = [name for form, first in record.outputs.items() for name in all_files(form, first)]
        return all(map(self._place.exists, files))

    def image(self, image: JobImage, record: ImageRecord) -> None:
        """Fetch all of one image.

        Args:
            image: As the server has it, with its record.
            record: As it shall be here: its files may have other names, or other files may be told of in it, too.
        """
        there = image.record.outputs if image.record else {}
        for form, first in there.items():
            self.output(image.number, form, first, record.outputs[form])
        if image.record and image.record.thumbnail:
            self.file(image.record.thumbnail, record.thumbnail)
        self._place.write(record_name(record.image), as_json(record))

    def output(self, number: int, form: str, there: str, here: str) -> None:
        """Fetch the files of one format of an image; `there` and `here` name the first, or the folder."""
        if is_tree(form):
            self._tree(number, form, there, here)
            return
        for name_there, name_here in zip(all_files(form, there), all_files(form, here), strict=True):
            self.file(name_there, name_here)

    def file(self, there: str, here: str, *, optional: bool = False) -> None:
        """Fetch one file; `optional`: it is fine if there is none, and one that stood here is removed then."""
        try:
            with self._place.replacing(here) as path, open(path, "wb") as file:
                download(self._connection, f"{self._base}/files/{quote(there)}", file)
        except ServiceError as error:
            if not (optional and error.status == 404):
                raise
            self._place.remove(here)

    def _tree(self, number: int, form: str, there: str, here: str) -> None:
        """Fetch a folder, as a zip."""
        with tempfile.TemporaryFile() as file:
            download(self._connection, f"{self._base}/zip?format={format_of(form)}&image={number}", file)
            with self._place.replacing_tree(here) as folder, _opened(file, self._connection) as archive:
                for member in archive.infolist():
                    _unpack(archive, member, there, folder)


def _opened(file: BinaryIO, connection: Connection) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        what = f"sends a zip that cannot be read ({error})"
        raise ServiceError("E962", what, status=502, where=connection.name, action="Run again") from error


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, top: str, folder: Path) -> None:
    """Unpack a file below `top` into `folder`; nothing else, and nowhere else."""
    name = PurePosixPath(member.filename)
    if member.is_dir() or not name.is_relative_to(top):
        return
    parts = name.relative_to(top).parts
    if not parts or ".." in parts or any("\\" in part or ":" in part for part in parts):
        return
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, open(path, "wb") as file:
        shutil.copyfileobj(packed, file, _READ)
