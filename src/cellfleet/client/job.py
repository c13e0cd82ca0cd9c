"""A job on a server, as Python sees it: watched, changed, its results taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike, fspath
from pathlib import Path

from cellfleet.client.connection import Connection
from cellfleet.client.fetch import Fetcher, images_of
from cellfleet.client.follow import Update, follow
from cellfleet.client.results import RemoteResults
from cellfleet.errors import JobError
from cellfleet.spec.http import DeadTasks, Job, JobImage, JobProgress
from cellfleet.spec.job import JobState
from cellfleet.spec.record import ImageRecord
from cellfleet.spec.usage import Bill
from cellfleet.stores.place import FolderPlace

_MISSING = frozenset({404})


class RemoteJob:
    """A job on a server. What is known of it is as old as the last question; `refresh` and `watch` ask."""

    def __init__(self, connection: Connection, job: Job) -> None:
        """Take a job as the server told it."""
        self._connection, self._job = connection, job

    @property
    def id(self) -> str:
        """What the server calls it."""
        return self._job.id

    @property
    def state(self) -> JobState:
        """``queued``, ``running``, ``paused``, ``done``, ``failed`` (some images are) or ``cancelled``."""
        return self._job.state

    @property
    def progress(self) -> JobProgress:
        """How far it is."""
        return self._job.progress

    @property
    def info(self) -> Job:
        """All that the server tells of it."""
        return self._job

    def refresh(self) -> RemoteJob:
        """Ask how far it is; return itself."""
        self._job = self._connection.ask("GET", self._path(), Job)
        return self

    def watch(self) -> Iterator[Update]:
        """Yield what is new of the job until it has ended; goes on when the server was away for a while.

        Raises:
            JobError: E810, the job was deleted.
            ServiceError: E960, the server was away for longer than the client's patience; the job goes on there.
        """
        for update in follow(self._connection, self.id):
            self._job = update.job
            yield update

    def wait(self) -> RemoteJob:
        """Wait until the job has ended; return itself. Raises as `watch`."""
        for _ in self.watch():
            pass
        return self

    def pause(self) -> RemoteJob:
        """Begin no more of it; what runs is finished."""
        return self._changed("pause")

    def resume(self) -> RemoteJob:
        """Go on with it."""
        return self._changed("resume")

    def cancel(self) -> RemoteJob:
        """Do no more of it; results that stand are kept."""
        return self._changed("cancel")

    def retry(self) -> RemoteJob:
        """Try again what failed; images that are done are not done again."""
        return self._changed("retry")

    def delete(self, *, uploads: bool = False) -> None:
        """Remove it with its results in the server's store. It must have ended.

        Args:
            uploads: Whether to remove the sets of files that it was made from, too; no other job must need them.
        """
        self._connection.send("DELETE", self._path(), fine=_MISSING)
        if uploads:
            sets = (given.removeprefix("set:") for given in self._job.inputs if given.startswith("set:"))
            for set_id in {name.partition("/")[0] for name in sets}:
                self._connection.send("DELETE", f"/api/v1/sets/{set_id}", fine=_MISSING)

    def images(self) -> Iterator[JobImage]:
        """Yield its images in order, each with its record where it has one; while it runs, too."""
        return images_of(self._connection, self.id)

    def dead_tasks(self) -> DeadTasks:
        """Return what was given up, and why."""
        return self._connection.ask("GET", self._path("/dead"), DeadTasks)

    def bill(self) -> Bill:
        """Return what the job cost, or has cost so far."""
        return self._connection.ask("GET", self._path("/bill"), Bill)

    def results(self) -> RemoteResults:
        """Return the results of the images that are done by now."""
        done = [image for image in self.images() if image.record is not None and image.record.status == "done"]
        return RemoteResults(self._connection, self.id, {image.image: image for image in done})

    def save(
        self, folder: str | PathLike[str], *, tell: Callable[[ImageRecord], None] = lambda record: None
    ) -> list[ImageRecord]:
        """Fetch all results that stand by now into a folder, laid out as by ``cellfleet segment``.

        Images that stand there already are not fetched again, so after a stop the same call goes on.

        Args:
            folder: Made where it is missing.
            tell: Called with the record of each image that is there.

        Returns:
            The records of all images, of failed ones, too.

        Raises:
            JobError: E975, the results are at an address of yours, not on the server.
            OutputError: E3xx, a file cannot be written.
        """
        if self._job.out is not None:
            what = "the results of this job are not on the server"
            raise JobError("E975", what, where=self._job.out, action="Take them from this address")
        place = FolderPlace(Path(fspath(folder)))
        records = []
        with place.lock():
            place.sweep()
            for record in Fetcher(self._connection, self.id, place).everything():
                records.append(record)
                tell(record)
        return sorted(records, key=lambda record: record.image)

    def __repr__(self) -> str:
        return f"<cellfleet job {self.id} on {self._connection.name}: {self.state}>"

    def _changed(self, verb: str) -> RemoteJob:
        self._job = self._connection.ask("POST", self._path(f"/{verb}"), Job)
        return self

    def _path(self, more: str = "") -> str:
        return f"/api/v1/jobs/{self.id}{more}"
