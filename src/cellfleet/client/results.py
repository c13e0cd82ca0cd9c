"""Results of a job on a server, in memory: fetched when they are looked at. Equal to those of a run here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cellfleet.client.connection import Connection
from cellfleet.client.fetch import Fetcher
from cellfleet.errors import InputError
from cellfleet.results.formats import nuclei_output
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.results.reread import LABEL_FORMATS, TABLE_FORMATS, open_labels, open_rows
from cellfleet.results.tables import arrow_table
from cellfleet.spec.choices import Format
from cellfleet.spec.http import JobImage
from cellfleet.spec.record import ImageRecord, Told
from cellfleet.stores.place import FolderPlace

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class RemoteResults(Mapping[str, "RemoteResult"]):
    """Results by name of the image: ``plate/a.tif``, ``plate/a``, or ``a`` where only one image has that stem."""

    def __init__(self, connection: Connection, job_id: str, images: Mapping[str, JobImage]) -> None:
        """Take the images that are done."""
        self._connection, self._job_id, self._images = connection, job_id, images

    def __getitem__(self, name: str) -> RemoteResult:
        """Return the result of an image; its files are fetched when they are looked at. Raises `KeyError`."""
        if name in self._images:
            return RemoteResult(self._connection, self._job_id, self._images[name])
        fitting = [known for known in self._images if name in _short_names(known)]
        if len(fitting) != 1:
            raise KeyError(f"{name!r} is the name of {len(fitting) or 'no'} images" if fitting else name)
        return self[fitting[0]]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the images."""
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        return f"<cellfleet results of {len(self)} images, fetched when they are looked at>"


@dataclass(frozen=True, eq=False)
class RemoteResult:
    """The cells of one image, found on a server. `labels` and `table` are those that a run here would give."""

    connection: Connection = field(repr=False)
    job_id: str
    image: JobImage

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.image

    @property
    def record(self) -> ImageRecord:
        """All that is known about it, as in run.json."""
        assert self.image.record is not None, "only images that are done get here"
        return self.image.record

    @property
    def notices(self) -> tuple[Told, ...]:
        """What the user should know about this image."""
        return self.record.notices

    @cached_property
    def labels(self) -> NDArray[np.uint32]:
        """Label image with the axes of the image without C: 0 = background, 1…n one cell each.

        Raises:
            InputError: E974, the job wrote no label image.
        """
        return self.read_labels()

    @cached_property
    def table(self) -> pa.Table:
        """A row per cell, in the order of the labels. Raises `InputError` E974, the job wrote no table."""
        return self.read_table()

    @cached_property
    def nuclei(self) -> RemoteNuclei | None:
        """The nuclei of the cells; None: the model does not find them, or was not asked to."""
        return None if self.record.nuclei is None else RemoteNuclei(self)

    def read_labels(self, *, nuclei: bool = False) -> NDArray[np.uint32]:
        """Fetch a label image. Raises as `labels`."""
        form = self._first(LABEL_FORMATS, "label image", "labels-tiff")
        with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
            path = self._fetched(form, folder, nuclei=nuclei)
            return read_all(open_labels(form, str(path), self.record, nuclei=nuclei))

    def read_table(self, *, nuclei: bool = False) -> pa.Table:
        """Fetch a table. Raises as `table`."""
        form = self._first(TABLE_FORMATS, "table", "csv")
        with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
            path = self._fetched(form, folder, nuclei=nuclei)
            its = open_rows(form, lambda: open(path, "rb"), self.record, nuclei=nuclei)  # noqa: SIM115 (it closes it)
            return arrow_table(self.name, all_columns(its))

    def _first(self, forms: Sequence[Format], what: str, wanted: str) -> Format:
        for form in forms:
            if form in self.record.outputs:
                return form
        raise InputError(
            "E974", f"the job wrote no {what}", where=self.name, action=f"Ask for the format {wanted}, too"
        )

    def _fetched(self, form: Format, folder: str, *, nuclei: bool) -> Path:
        output = (nuclei_output(form) if nuclei else form) or form
        place, first = FolderPlace(Path(folder)), self.record.outputs[output]
        name = PurePosixPath(first).name
        Fetcher(self.connection, self.job_id, place).output(self.image.number, output, first, name)
        return place.local(name)

    def __repr__(self) -> str:
        return f"<cellfleet result {self.name}: {self.record.objects} cells>"


@dataclass(frozen=True, eq=False)
class RemoteNuclei:
    """The nuclei of the cells of one image, found on a server."""

    cells: RemoteResult = field(repr=False)

    @cached_property
    def labels(self) -> NDArray[np.uint32]:
        """Label image with the axes of that of the cells, whose numbers its nuclei have. Raises as that."""
        return self.cells.read_labels(nuclei=True)

    @cached_property
    def table(self) -> pa.Table:
        """A row per nucleus, in the order of the labels; its cell stands in ``cell``. Raises as that of the cells."""
        return self.cells.read_table(nuclei=True)


def _short_names(name: str) -> set[str]:
    path = PurePosixPath(name)
    return {path.with_suffix("").as_posix(), path.name, path.stem}
