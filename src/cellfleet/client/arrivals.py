"""The results of a job as they come: each image is fetched soon after it is done, and stands as one of a run here."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from cellfleet.client.connection import AT_ONCE, Connection
from cellfleet.client.events import JobSeen, Remark, Tell
from cellfleet.client.fetch import Fetcher, images_of
from cellfleet.client.follow import Update, follow, has_ended
from cellfleet.errors import CellfleetError
from cellfleet.images.identity import identify
from cellfleet.run.plan import Task
from cellfleet.run.pools import in_parallel
from cellfleet.run.process import remove_files, remove_results
from cellfleet.spec.http import Job, JobImage
from cellfleet.spec.record import ImageRecord, InputFile
from cellfleet.stores.place import FolderPlace

_LOOK_AHEAD = 1000
"""Images in a row that are not done, after which no more are asked for: they are done roughly in order."""


def watched(connection: Connection, job_id: str, tell: Tell) -> Iterator[Job]:
    """Yield a job as it goes on; say when the server is away and back, and when the job stands. Raises as `follow`."""
    lost = paused = False
    for update in follow(connection, job_id):
        if bool(update.lost) != lost:
            lost = bool(update.lost)
            tell(Remark(_lost(connection, update) if lost else f"Connected to {connection.name} again."))
        if (update.job.state == "paused") != paused:
            paused = not paused
            tell(Remark(f"The job is {update.job.state}." + " 'cellfleet jobs resume' lets it go on." * paused))
        if not lost:
            yield update.job


def _lost(connection: Connection, update: Update) -> str:
    return f"Connection lost; the job goes on there. {connection.name} {update.lost}. Trying again."


class Arrivals:
    """What becomes of the images of one job."""

    def __init__(
        self, connection: Connection, job_id: str, place: FolderPlace, tasks: Mapping[str, Task], known: Collection[str]
    ) -> None:
        """Take what is needed.

        Args:
            connection: To the server.
            job_id: Whose results.
            place: Where they go.
            tasks: Name of an image → what its results shall be called here; of one that is not in it, as there.
            known: Images that are not wanted.
        """
        self._connection, self._job, self._place = connection, job_id, place
        self._tasks, self._known = tasks, known
        self._fetcher = Fetcher(connection, job_id, place)
        self._first, self._taken = 0, set[int]()
        """Of the images before `_first` all are taken, of those behind it these."""
        self._done = 0
        self.job: Job | None = None
        """As it was seen last."""

    def records(self, tell: Tell) -> Iterator[ImageRecord]:
        """Yield the record of each image when all its files are here, until the job has ended.

        Raises:
            ServiceError: The server was away for too long, or refuses.
            OutputError: The folder cannot be written.
            StoppedError: The user asked to stop.
        """
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
            for job in watched(self._connection, self._job, tell):
                self.job, ended = job, has_ended(job)
                if not job.progress.images_done:
                    tell(JobSeen(job))
                if ended or job.progress.images_done > self._done:
                    self._done = job.progress.images_done
                    images = self._new(to_the_end=ended)
                    look_up = self._fetcher.checkpoint
                    yield from in_parallel(pool, self._fetched, images, 2 * AT_ONCE, look_up=look_up)

    def _new(self, *, to_the_end: bool) -> Iterator[JobImage]:
        """Yield the images that are done and not taken yet; those that failed only at the end: they are tried again."""
        waiting = 0
        for image in images_of(self._connection, self._job, start=self._first):
            if image.number < self._first or image.number in self._taken:
                continue
            if image.record is not None and (to_the_end or image.record.status == "done"):
                self._take(image.number)
                waiting = 0
                if image.image not in self._known:
                    yield image
                continue
            waiting += 1
            if waiting >= _LOOK_AHEAD and not to_the_end:
                return

    def _take(self, number: int) -> None:
        self._taken.add(number)
        while self._first in self._taken:
            self._taken.remove(self._first)
            self._first += 1

    def _fetched(self, image: JobImage) -> ImageRecord:
        assert image.record is not None, "it was chosen for that"
        task = self._tasks.get(image.image)
        record = image.record if task is None else _as_here(image.record, task)
        if self._fetcher.stands(record):
            return record
        if task is not None:
            remove_files(self._place, task.stale)
            if record.status == "failed":
                remove_results(task, self._place)
        self._fetcher.image(image, record)
        return record


def _as_here(record: ImageRecord, task: Task) -> ImageRecord:
    """Return the record of an image as a run here would have written it."""
    outputs = {form: first for form, first in task.outputs.items() if form in record.outputs}
    kept = task.kept if record.status == "done" else {}
    input_file: InputFile | None = None
    with contextlib.suppress(CellfleetError, OSError):
        input_file = identify(task.source)
    return record.model_copy(update={"outputs": {**outputs, **kept}, "input": input_file})
