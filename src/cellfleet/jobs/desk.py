"""What can be done with jobs, whoever asks: submit, look, pause, cancel, retry, remove. Knows no HTTP.

Truth is in the store (`manifest.py`), the ledger follows: every operation writes there first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cellfleet.jobs.ledger import Ledger
from cellfleet.models.repository import Repository
from cellfleet.spec.http import Job, JobImage, JobRequest, Quota
from cellfleet.spec.job import DeadTask, JobSpec
from cellfleet.stores.place import Place


@dataclass(frozen=True)
class Desk:
    """Every method may be called from any thread, and raises `JobError` E810 for a job that is not there."""

    store: Place
    ledger: Ledger
    models: Repository

    def submit(self, request: JobRequest, owner: str, quota: Quota, *, wait_seconds: float = 5.0) -> Job:
        """Take a job in; it is not lost from here on. Its images are listed in the background if that takes longer.

        Raises:
            UsageError, InputError, ModelError: There is nothing to do, or it cannot be done as asked.
            JobError: E816, the owner has as many jobs running as the quota allows.
        """
        raise NotImplementedError

    def job(self, job: str) -> Job:
        """Return a job."""
        raise NotImplementedError

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted."""
        raise NotImplementedError

    def jobs(self, owner: str | None = None, *, after: str | None = None) -> Iterator[Job]:
        """Yield jobs, newest first: of one owner or of all, those after the job `after`."""
        raise NotImplementedError

    def pause(self, job: str) -> None:
        """Begin no more of a job. Raises `JobError` E812 when its state forbids it; so do the next ones."""
        raise NotImplementedError

    def resume(self, job: str) -> None:
        """Go on."""
        raise NotImplementedError

    def cancel(self, job: str) -> None:
        """Do no more of a job; results that stand are kept."""
        raise NotImplementedError

    def retry(self, job: str) -> int:
        """Try what failed again; return how many tasks."""
        raise NotImplementedError

    def remove(self, job: str) -> None:
        """Remove a job that has ended, with its results in the store."""
        raise NotImplementedError

    def expire(self, job: str, seconds: float) -> None:
        """Have a job removed some time after now, once it has ended."""
        raise NotImplementedError

    def results(self, job: str) -> Place:
        """Return where the job's results are: laid out as the folder of `cellfleet segment`."""
        raise NotImplementedError

    def images(self, job: str, *, start: int = 0) -> Iterator[JobImage]:
        """Yield the images of a job from number `start` on, each with its record where it has one."""
        raise NotImplementedError

    def dead(self, job: str) -> Iterator[DeadTask]:
        """Yield the tasks that were given up."""
        raise NotImplementedError
