"""`cellfleet.Client`: the same verbs as here, done on a server. See `cellfleet.client`."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path, PurePath
from typing import Any, Self
from urllib.parse import quote

from cellfleet.client.connection import PATIENCE_SECONDS, Connection
from cellfleet.client.events import FilesSent
from cellfleet.client.job import RemoteJob
from cellfleet.client.journal import Journal
from cellfleet.client.parcel import LocalFile, Parcel, pack, package_files
from cellfleet.client.servers import find_server
from cellfleet.client.training import RemoteTraining, all_runs, begin, find, make_request
from cellfleet.client.uploads import send_files
from cellfleet.errors import CellfleetError, JobError
from cellfleet.images.names import printable
from cellfleet.run.request import Channels, make_spec, python_channels, require_choice
from cellfleet.spec.choices import TOP, CompartmentChoice, Format
from cellfleet.spec.http import About, Job, JobList, JobRequest, ModelInfo, ModelList, NewModel, NewSet, UploadSet
from cellfleet.spec.job import JobState
from cellfleet.spec.usage import Bill, BillList, Costs
from cellfleet.stores.cache import cache_folder

AnyPath = str | PathLike[str]
Tell = Callable[[FilesSent], None]
_MISSING = frozenset({404})
_MADE = "key-"
"""Begins the ids of all jobs that were handed in from here."""
_NO_SUCH_JOB = {"E810", "E902"}
"""The second: what was given cannot be an id."""


def _silent(state: FilesSent) -> None:
    """Tell nobody."""


class Client:
    """A server that segments images. Use it in a ``with`` block, or `close` it.

    Every method raises `CellfleetError`: what the server says, with its code; `ServiceError` E960 when the server could
    not be reached for as long as `patience_seconds`, E962 when what answers is no cellfleet server.
    """

    def __init__(
        self,
        server: str | None = None,
        token: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        insecure: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        """Take the server; nothing is asked yet.

        Args:
            server: Address, or name out of ``cellfleet.toml``; None: what ``CELLFLEET_SERVER`` says, else this machine.
            token: Who asks; None: as the settings say, else ``CELLFLEET_TOKEN``. Is sent to this server only.
            patience_seconds: How long to go on trying while the server does not answer.
            insecure: Allow the token to go over plain http to another machine, where others can read it.
            stop: Set it to give up waiting: what is under way raises `StoppedError`. None: never.

        Raises:
            UsageError: E964, the token would travel unprotected; E965, E966, the settings are not right.
        """
        found = find_server(server, token=token, insecure=insecure)
        self.connection = Connection(found, patience_seconds=patience_seconds, stop=stop)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.connection.close()

    def about(self) -> About:
        """Return who the server is, who asks, and what that user may have."""
        return self.connection.ask("GET", "/api/v1/about", About)

    def models(self) -> tuple[ModelInfo, ...]:
        """Return the models that jobs can use, by name; of each the newest version first."""
        return self.connection.ask("GET", "/api/v1/models", ModelList).models

    def model(self, name: str) -> ModelInfo:
        """Return a model by ``name`` (its newest version) or ``name:version``."""
        parts = (quote(part, safe="") for part in name.split(":", 1))
        return self.connection.ask("GET", f"/api/v1/models/{'/'.join(parts)}", ModelInfo)

    def add_model(self, package: AnyPath) -> ModelInfo:
        """Send a model package, a bioimage.io folder or a zip of one; jobs can use it at once."""
        files = package_files(Path(package))
        made = self.new_set(f"model {Path(package).name}")
        self.send(files, made.id, Journal(None))
        place = f"set:{made.id}" if Path(package).is_dir() else f"set:{made.id}/{files[0].path}"
        return self.connection.ask("POST", "/api/v1/models", ModelInfo, body=NewModel(input=place))

    def new_set(self, name: str = "") -> UploadSet:
        """Make an empty set: a folder for uploads on the server."""
        return self.connection.ask("POST", "/api/v1/sets", UploadSet, body=NewSet(name=name[:200]))

    def delete_set(self, set_id: str) -> None:
        """Delete a set with its files."""
        self.connection.send("DELETE", f"/api/v1/sets/{set_id}", fine=_MISSING)

    def upload(self, paths: AnyPath | Sequence[AnyPath], *, tell: Tell = _silent) -> tuple[str, ...]:
        """Send images into a new set; a call that was cut off, be it in another process, goes on where it was.

        Args:
            paths: Images, folders, archives, patterns; addresses are passed on as they are.
            tell: Called several times a second with how far it is.

        Returns:
            The inputs for a job over these images.

        Raises:
            InputError: E101–E103, nothing to send; E973, a file cannot be read.
            UsageError: E972, images would have other names there.
            ServiceError: E968, a file changed meanwhile; and as all methods.
        """
        parcel = pack(_texts(paths))
        inputs, journal = self._sent(parcel, tell)
        journal.remove()
        return inputs

    def segment(  # noqa: PLR0913 (as `cellfleet.segment`)
        self,
        images: AnyPath | Sequence[AnyPath],
        *,
        model: str = "nuclei",
        channels: Channels | None = None,
        pixel_size: float | None = None,
        diameter: float | None = None,
        axes: str | None = None,
        compartment: CompartmentChoice | None = None,
        formats: Sequence[Format] = ("labels-tiff", "csv"),
        out: str | None = None,
    ) -> RemoteJob:
        """Send images and have them segmented; return the job as soon as the server has taken it.

        `upload` and `submit` do the same in two steps, with a priority and a name of the job.

        Args:
            images: As for `upload`: paths of this machine, and addresses that the server can read.
            model: Name, or ``name:version``, of a model of the server.
            channels: As for `cellfleet.segment`: numbers from 0, or names.
            pixel_size: µm per pixel; None: as in the file.
            diameter: Typical diameter of a cell, px; None: from the pixel size, or estimated.
            axes: One letter per dimension out of T C Z Y X S; None: as in the file.
            compartment: As for `cellfleet.segment`.
            formats: Result files.
            out: Address for the results; None: the server keeps them.

        Raises:
            CellfleetError: As `upload` and `submit`.
        """
        for form in formats:
            require_choice(form, Format, "formats")
        spec = make_spec(
            model=model,
            channels=python_channels(channels),
            microns_per_pixel=pixel_size,
            diameter_px=diameter,
            axes=axes,
            compartment=compartment,
        )
        wanted = JobRequest(inputs=("",), segment=spec, formats=tuple(dict.fromkeys(formats)), out=out)
        return self._handed_in(images, wanted)

    def classify(
        self,
        images: AnyPath | Sequence[AnyPath],
        *,
        model: str,
        top: int = TOP,
        channels: Channels | None = None,
        axes: str | None = None,
        out: str | None = None,
    ) -> RemoteJob:
        """Send images and have them classified; as `segment`, with `top` classes told of each image."""
        spec = make_spec(model=model, channels=python_channels(channels), axes=axes, top=top)
        return self._handed_in(images, JobRequest(inputs=("",), segment=spec, out=out))

    def _handed_in(self, images: AnyPath | Sequence[AnyPath], wanted: JobRequest) -> RemoteJob:
        """Send images, and hand in a job over them."""
        given = _texts(images)
        inputs, journal = self._sent(pack(given), _silent)
        job = self.submit(wanted.model_copy(update={"name": name_of(given), "inputs": inputs}))
        journal.remove()
        return job

    def submit(self, request: JobRequest) -> RemoteJob:
        """Hand in a job over what the server has or can read."""
        # With a key the server knows a request again whose answer was lost on the way.
        request = request if request.key else request.model_copy(update={"key": secrets.token_hex(16)})
        return RemoteJob(self.connection, self.connection.ask("POST", "/api/v1/jobs", Job, body=request))

    def jobs(self, state: JobState | None = None) -> Iterator[RemoteJob]:
        """Yield your jobs, newest first; only those in this state."""
        after = None
        while True:
            page = self.connection.ask("GET", "/api/v1/jobs", JobList, params={"after": after, "state": state})
            yield from (RemoteJob(self.connection, job) for job in page.jobs)
            if page.after is None:
                return
            after = page.after

    def train(
        self, dataset: AnyPath, *, name: str | None = None, tell: Tell = _silent, **settings: Any
    ) -> RemoteTraining:
        """Send a data set and have a model trained on it; return the run as soon as the server has taken it.

        The same call, also in another process, goes on with the run that it began.

        Args:
            dataset: Folder with ``images/`` and ``labels/``, or a zip of it; an address that the server can read.
            name: Of the model; None: that of the folder.
            tell: Called several times a second with how far the upload is.
            settings: The fields of `cellfleet.spec.training_http.TrainingRequest`: ``minutes=5``, ``network="unet"``.

        Raises:
            UsageError: E018, a setting cannot be used.
            ServiceError: E990, the server does not train; and as all methods.
        """
        place = fspath(dataset)
        request = make_request(name or PurePath(place.rstrip("/")).stem, settings)
        return begin(self, place, request, tell=tell)

    def training_runs(self) -> Iterator[RemoteTraining]:
        """Yield your training runs, newest first."""
        return all_runs(self.connection)

    def training_run(self, run: str) -> RemoteTraining:
        """Return a run by its id, the beginning of it, or the name of its model. Raises `TrainingError` E630, E639."""
        return find(self.connection, run)

    def costs(self, month: str | None = None) -> Costs:
        """Return what your jobs of a month cost (``2026-11``; None: this one); an administrator's: everybody's."""
        return self.connection.ask("GET", "/api/v1/costs", Costs, params={"month": month})

    def bills(self, month: str | None = None) -> Iterator[Bill]:
        """Yield the bills of the jobs of a month, by their ids."""
        after = None
        while True:
            page = self.connection.ask("GET", "/api/v1/bills", BillList, params={"month": month, "after": after})
            yield from page.bills
            if page.after is None:
                return
            after = page.after

    def job(self, job_id: str) -> RemoteJob:
        """Return a job by its id, or by the beginning of it (with or without ``key-``) that no other has.

        Raises:
            JobError: E810, there is none; E967, several begin so.
        """
        missing = JobError("E810", "there is no such job", where=job_id, action="'cellfleet jobs list' shows yours")
        if not re.fullmatch(r"[0-9a-z-]{1,63}", job_id):
            raise missing
        try:
            return RemoteJob(self.connection, self.connection.ask("GET", f"/api/v1/jobs/{job_id}", Job))
        except CellfleetError as error:
            if error.code not in _NO_SUCH_JOB:
                raise
        fitting = [job for job in self.jobs() if job.id.startswith((job_id, f"{_MADE}{job_id}"))]
        if len(fitting) > 1:
            shown = ", ".join(job.id for job in fitting[:3]) + (", …" if len(fitting) > 3 else "")
            raise JobError("E967", f"{len(fitting)} jobs begin so: {shown}", where=job_id, action="Give more of the id")
        if not fitting:
            raise missing
        return fitting[0]

    def _sent(self, parcel: Parcel, tell: Tell) -> tuple[tuple[str, ...], Journal]:
        """Send a parcel into a set of its own, or go on with it."""
        if parcel.unreadable:
            raise parcel.unreadable[0][1]
        if not parcel.places:
            return parcel.addresses, Journal(None)
        request = parcel.digest(self.connection.server.url)
        journal = Journal(cache_folder() / "uploads" / f"{request[:32]}.jsonl")
        set_id = self.set_for(request, journal, parcel.files)
        self.send(parcel.files, set_id, journal, tell)
        return parcel.inputs(set_id), journal

    def send(self, files: Sequence[LocalFile], set_id: str, journal: Journal, tell: Tell = _silent) -> None:
        """Send files into a set: those that the journal does not know to be there."""
        direct = self.about().direct_uploads
        send_files(self.connection, set_id, files, journal, direct=direct, tell=tell)

    def set_for(self, request: str, journal: Journal, files: Sequence[LocalFile], name: str = "") -> str:
        """Return the set that a request was begun with, if it can still be used; else a new one.

        Args:
            request: Hash of what is asked.
            journal: What was done before.
            files: What shall be in the set.
            name: Of a new set, for people.
        """
        path = f"/api/v1/sets/{journal.set_id}"
        if journal.set_id and not journal.job:
            usable = journal.request == request and journal.fits(files)
            if usable and self.connection.send("GET", path, fine=_MISSING).status_code < 400:
                return journal.set_id
            # Nobody will come back to it, and it counts against the user's quota.
            self.connection.send("DELETE", path, fine=_MISSING)
        made = self.new_set(name).id
        journal.begin(request, made)
        return made


def name_of(inputs: Sequence[str]) -> str:
    """Return what people may call a job over these inputs."""
    first = printable(PurePath(inputs[0].rstrip("/")).name) if inputs else ""
    return f"{first} and {len(inputs) - 1} more"[:200] if len(inputs) > 1 else first[:200]


def _texts(paths: AnyPath | Sequence[AnyPath]) -> list[str]:
    return [fspath(paths)] if isinstance(paths, str | PathLike) else [fspath(path) for path in paths]
