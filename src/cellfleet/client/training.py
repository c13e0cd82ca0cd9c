"""Training runs on a server, as Python sees them: begun, watched, changed, their packages taken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import ValidationError

from cellfleet.client.connection import Connection, StoppedError
from cellfleet.client.events import FilesSent
from cellfleet.client.journal import Journal
from cellfleet.client.parcel import Parcel, package_files
from cellfleet.errors import CellfleetError, TrainingError, UsageError
from cellfleet.models.package import RDF
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.training_http import (
    ENDED,
    Comparison,
    PublishRequest,
    TrainingList,
    TrainingLog,
    TrainingPoint,
    TrainingRequest,
    TrainingRun,
    TrainingState,
)
from cellfleet.stores.atomic import write_bytes
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.url import is_url

if TYPE_CHECKING:
    from cellfleet.client.client import Client

_PATH = "/api/v1/training"
_ASK_SECONDS = 1.0
"""Between two questions while a run is watched."""
_NO_SUCH_RUN = frozenset({"E630", "E902"})
"""The second: what was given cannot be an id."""
_TO_COME = "set:"
"""In place of a data set that is not sent yet."""
_FOLDERS = frozenset({"images", "labels", "cells", "nuclei", "train", "val"})
_FILES = frozenset({"manifest.json"})


@dataclass(frozen=True)
class TrainingSeen:
    """A run as it was seen last."""

    run: TrainingRun
    points: tuple[TrainingPoint, ...]
    """Those that are new."""


class RemoteTraining:
    """A run on a server. What is known of it is as old as the last question; `refresh` and `watch` ask."""

    def __init__(self, connection: Connection, run: TrainingRun) -> None:
        """Take a run as the server told it."""
        self._connection, self._run = connection, run

    @property
    def id(self) -> str:
        """What the server calls it."""
        return self._run.id

    @property
    def state(self) -> TrainingState:
        """``queued``, ``running``, ``stopping``, ``stopped``, ``done`` or ``failed``."""
        return self._run.state

    @property
    def info(self) -> TrainingRun:
        """All that the server tells of it."""
        return self._run

    def refresh(self) -> RemoteTraining:
        """Ask how far it is; return itself."""
        self._run = self._connection.ask("GET", self._path(), TrainingRun)
        return self

    def points(self, after: int | None = None) -> tuple[TrainingPoint, ...]:
        """Return the points of its curves, those behind a step."""
        return self._connection.ask("GET", self._path("/log"), TrainingLog, params={"after": after}).points

    def watch(self) -> Iterator[TrainingSeen]:
        """Yield the run now, and whenever it has changed, until nothing happens any more.

        Raises:
            TrainingError: E630, the run was removed.
            ServiceError: E960, the server was away for longer than the client's patience; the run goes on there.
            StoppedError: The user asked to stop.
        """
        before, told = None, None
        while True:
            run = self.refresh().info
            points = self.points(told) if run.latest and run.latest.step != told else ()
            told = points[-1].step if points else told
            if run != before or points:
                before = run
                yield TrainingSeen(run, points)
            if run.state in ENDED:
                return
            if self._connection.stop.wait(_ASK_SECONDS):
                raise StoppedError

    def stop(self) -> RemoteTraining:
        """Have it stop, and keep where it is."""
        return self._changed("stop")

    def resume(self) -> RemoteTraining:
        """Go on with it."""
        return self._changed("resume")

    def delete(self) -> None:
        """Remove it with its package. It must have ended; a model that was published stays."""
        self._connection.send("DELETE", self._path())

    def comparison(self, model: str | None = None) -> Comparison:
        """Return how its model compares with a published one, when a trainer has made that.

        Args:
            model: ``name`` or ``name:version``; None: as the run was begun, else the one that pages offer first.
        """
        while True:
            found = self._connection.ask("GET", self._path("/comparison"), Comparison, params={"model": model})
            if found.state != "queued":
                return found
            if self._connection.stop.wait(_ASK_SECONDS):
                raise StoppedError

    def publish(self, name: str | None = None, version: str = "1.0.0") -> ModelInfo:
        """Have its model serve on the server, under this name; None: as the run calls it."""
        wanted = PublishRequest(name=name, version=version)
        return self._connection.ask("POST", self._path("/publish"), ModelInfo, body=wanted)

    def save(self, folder: str | PathLike[str]) -> None:
        """Fetch its package into a folder, which is made where it is missing: use it as a model.

        Raises:
            OutputError: E3xx, a file cannot be written.
        """
        content = self._connection.send("GET", self._path("/package.zip")).content
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            # The description makes it a package, so it comes last.
            for name in sorted(package.namelist(), key=lambda name: name == RDF):
                write_bytes(Path(fspath(folder)) / PurePosixPath(name).name, package.read(name))

    def __repr__(self) -> str:
        return f"<cellfleet training {self.id} on {self._connection.name}: {self.state}>"

    def _changed(self, verb: str) -> RemoteTraining:
        self._run = self._connection.ask("POST", self._path(f"/{verb}"), TrainingRun)
        return self

    def _path(self, more: str = "") -> str:
        return f"{_PATH}/{self.id}{more}"


def make_request(name: str, settings: Mapping[str, object]) -> TrainingRequest:
    """Return what a server is asked for, but for the data set. Raises `UsageError` E018: a value cannot be used."""
    try:
        return TrainingRequest.model_validate({"name": name, "dataset": _TO_COME, **settings})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-") if first["loc"] else ""
        where = f"--{option}" if option else "the settings"
        raise UsageError("E018", first["msg"], where=where, action="Choose another value") from error


def begin(
    client: Client, dataset: str, request: TrainingRequest, *, tell: Callable[[FilesSent], None]
) -> RemoteTraining:
    """Send a data set and begin a run; go on with the one that was begun with the same before.

    Args:
        client: The server.
        dataset: Folder or zip of this machine, or an address, which the server reads itself.
        request: All but its data set.
        tell: Called several times a second with how far the upload is.

    Raises:
        CellfleetError: As the server says; E601, it is no data set; E973, a file cannot be read.
    """
    parcel = _packed(dataset)
    request_hash = parcel.digest(client.connection.server.url, request.model_dump_json())
    journal = Journal(cache_folder() / "uploads" / f"{request_hash[:32]}.jsonl")
    standing = _standing(client.connection, journal.job) if journal.request == request_hash and journal.job else None
    if standing is not None:
        return standing.resume() if standing.state in {"stopping", "stopped", "failed"} else standing
    if parcel.files:
        set_id = client.set_for(request_hash, journal, parcel.files, request.name)
        client.send(parcel.files, set_id, journal, tell)
    elif journal.job or journal.request != request_hash:
        journal.begin(request_hash, "")
    (where,) = parcel.inputs(journal.set_id)
    wanted = request.model_copy(update={"dataset": where, "key": journal.key})
    run = RemoteTraining(client.connection, client.connection.ask("POST", _PATH, TrainingRun, body=wanted))
    journal.submitted(run.id)
    return run


def find(connection: Connection, text: str) -> RemoteTraining:
    """Return a run by its id, by the beginning of it, or by the name of its model, where only one is meant.

    Raises:
        TrainingError: E630, there is none; E639, several are meant.
    """
    found = _standing(connection, text)
    if found is not None:
        return found
    fitting = [run for run in all_runs(connection) if run.id.startswith(text) or run.info.request.name == text]
    if len(fitting) > 1:
        shown = ", ".join(run.id for run in fitting[:3]) + (", …" if len(fitting) > 3 else "")
        raise TrainingError("E639", f"{len(fitting)} runs are meant: {shown}", where=text, action="Give the id of one")
    if not fitting:
        action = "'cellfleet training list' shows yours"
        raise TrainingError("E630", "there is no such training run", where=text, action=action)
    return fitting[0]


def all_runs(connection: Connection) -> Iterator[RemoteTraining]:
    """Yield your runs, newest first."""
    after = None
    while True:
        page = connection.ask("GET", _PATH, TrainingList, params={"after": after})
        yield from (RemoteTraining(connection, run) for run in page.runs)
        if page.after is None:
            return
        after = page.after


def _standing(connection: Connection, run: str) -> RemoteTraining | None:
    """Return a run by its id; None: there is none."""
    try:
        return RemoteTraining(connection, connection.ask("GET", f"{_PATH}/{quote(run, safe='')}", TrainingRun))
    except CellfleetError as error:
        if error.code not in _NO_SUCH_RUN:
            raise
        return None


def _packed(dataset: str) -> Parcel:
    """Pack a data set: of a folder what belongs to it. Raises `TrainingError` E601; `InputError` E973."""
    if is_url(dataset):
        return Parcel((), (), (dataset,))
    path = Path(dataset)
    files = package_files(path) if path.exists() else ()
    if path.is_file():
        return Parcel(files, (files[0].path,))
    wanted = tuple(file for file in files if _belongs(file.path))
    if not wanted:
        action = "Give a folder with images/ and labels/ (or cells/ and nuclei/), or a zip of it"
        raise TrainingError("E601", "there is no images/ and labels/ in it", where=dataset, action=action)
    return Parcel(wanted, ("",))


def _belongs(path: str) -> bool:
    parts = path.split("/")
    return not any(part.startswith(".") for part in parts) and (parts[0] in _FOLDERS or path in _FILES)
