"""What can be done with jobs, whoever asks: submit, look, pause, cancel, retry, remove. Knows no HTTP.

Truth is in the store (`manifest.py`), the ledger follows: every operation writes there first.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from cellfleet.errors import CellfleetError, InputError, JobError, LedgerError, UsageError
from cellfleet.images.source import Source
from cellfleet.jobs import manifest
from cellfleet.jobs.asked import settle
from cellfleet.jobs.ledger import Known, Ledger
from cellfleet.jobs.places import results_of, source_here
from cellfleet.jobs.submission import bring_in
from cellfleet.jobs.usage import forget_usage
from cellfleet.jobs.users import no_such_job
from cellfleet.jobs.view import view
from cellfleet.models.repository import Repository
from cellfleet.results.formats import require_libraries, require_prediction
from cellfleet.results.record import RUN, load_record
from cellfleet.spec.access import Quota
from cellfleet.spec.http import Job, JobImage, JobRequest
from cellfleet.spec.job import FINAL_JOB_STATES, DeadTask, JobSpec, JobState
from cellfleet.stores.place import Place, open_place

RESULTS = "results"
_PAGE = 200
"""Jobs that are looked at together."""
_GLANCED_AT = 500
"""The same, of a search."""
_SEARCHED = 5000
"""Jobs that one call searches, also where few of them fit."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Desk:
    """Every method may be called from any thread, and raises `JobError` E810 for a job that is not there; `LedgerError`
    E829 while the ledger does not know it again, after a loss.
    """

    store: Place
    ledger: Ledger
    models: Repository
    listing: set[str] = field(default_factory=set)
    """Jobs whose images this process lists just now."""

    def submit(self, request: JobRequest, owner: str, quota: Quota, *, wait_seconds: float = 5.0) -> Job:
        """Take a job in; it is not lost from here on. Its images are listed in the background if that takes longer.

        Raises:
            UsageError, InputError, ModelError: There is nothing to do, or it cannot be done as asked.
            JobError: E816, the owner has as many jobs running as the quota allows.
        """
        job = self._accepted(request, owner)
        if self.ledger.told(job.id) is not None:
            return self.job(job.id)  # the same request, repeated
        manifest.write_request(self.store, job)
        try:
            self.ledger.announce(job, most_running=quota.running_jobs)
        except JobError:
            manifest.remove_request(self.store, job.id)
            raise
        listed = self.list_in_background(job)
        with contextlib.suppress(TimeoutError):
            try:
                listed.result(wait_seconds)
            except (InputError, UsageError, JobError):
                # It never began: it leaves no trace but the error.
                manifest.remove_manifest(self.store, job.id)
                self.ledger.forget(job.id)
                raise
        return self.job(job.id)

    def list_in_background(self, job: JobSpec) -> Future[None]:
        """List the images of a job that was taken in, in a thread; done at once where this process is at it."""
        listed: Future[None] = Future()
        if job.id in self.listing:
            listed.set_result(None)
            return listed
        self.listing.add(job.id)

        def work() -> None:
            try:
                bring_in(job, self.store, self.ledger)
                listed.set_result(None)
            except BaseException as error:  # noqa: BLE001 (whoever waits for the future gets it)
                # Often nobody waits any more.
                bug = error if not isinstance(error, CellfleetError) else None
                _log.warning("no tasks were made of job %s: %s", job.id, error, exc_info=bug, extra={"job": job.id})
                listed.set_exception(error)
            finally:
                self.listing.discard(job.id)

        threading.Thread(target=work, name=f"list {job.id}", daemon=True).start()
        return listed

    def job(self, job: str) -> Job:
        """Return a job."""
        (known,) = self.ledger.look([job])
        if known is None:
            raise self._missing(job)
        return self._view(known)

    def spec(self, job: str) -> JobSpec:
        """Return what was submitted."""
        try:
            return self.ledger.spec(job)
        except JobError:
            raise self._missing(job) from None

    def page(
        self,
        owner: str | None = None,
        *,
        after: str | None = None,
        limit: int = 100,
        fits: Callable[[JobSpec, JobState], bool] | None = None,
    ) -> tuple[list[Job], str | None]:
        """Return jobs, newest first, and the job after which the next page begins; None: this was the last.

        Args:
            owner: Whose; None: everybody's.
            after: Only those that follow this job.
            limit: Of the page. It may hold fewer and not be the last: among many jobs few may fit.
            fits: Says which are wanted.
        """
        jobs = self.ledger.jobs(owner, after=after)
        searched, found = islice(jobs, _SEARCHED), list[str]()
        while len(found) <= limit and (some := list(islice(searched, _GLANCED_AT))):
            after = some[-1]
            seen = self.ledger.glance(some) if fits else []
            found += [job for job, known in zip(some, seen, strict=True) if known and fits(*known)] if fits else some
        if len(found) > limit:
            after = found[limit - 1]
        elif next(jobs, None) is None:
            after = None
        return [self._view(known) for known in self.ledger.look(found[:limit]) if known is not None], after

    def unfinished(self, owner: str | None = None) -> Iterator[Job]:
        """Yield the jobs that have not ended, in no order: of one owner, or of all."""
        jobs = self.ledger.unfinished(owner)
        while page := list(islice(jobs, _PAGE)):
            yield from (self._view(known) for known in self.ledger.look(page) if known is not None)

    def pause(self, job: str) -> None:
        """Begin no more of a job. Raises `JobError` E812 when its state forbids it; so do the next ones."""
        self._require_unfinished(job, "be paused")
        manifest.hold(self.store, job, "paused")
        self.ledger.pause(job)

    def resume(self, job: str) -> None:
        """Go on."""
        self._require_unfinished(job, "go on")
        manifest.hold(self.store, job, None)
        self.ledger.resume(job)

    def cancel(self, job: str) -> None:
        """Do no more of a job; results that stand are kept."""
        self._require_unfinished(job, "be cancelled")
        manifest.hold(self.store, job, "cancelled")
        self.ledger.cancel(job)

    def retry(self, job: str) -> int:
        """Try what failed again; return how many tasks, or images where they are listed anew."""
        spec = self.spec(job)
        if manifest.read_problem(self.store, job) is None:
            return self.ledger.retry_failed(job)
        manifest.write_request(self.store, spec)
        manifest.remove_problem(self.store, job)
        self.ledger.reopen(job)
        self.list_in_background(spec).result()
        return self.ledger.progress(job).images

    def remove(self, job: str) -> None:
        """Remove a job that has ended, with its results in the store."""
        spec, state = self.spec(job), self.ledger.progress(job).state
        if state not in FINAL_JOB_STATES:
            raise _not_while(job, state, "be removed; cancel it first")
        if spec.results == _results(job):
            self.store.remove(spec.results)
        forget_usage(self.store, job)
        manifest.remove_manifest(self.store, job)
        self.ledger.forget(job)

    def expire(self, job: str, seconds: float) -> None:
        """Have a job removed some time after now, once it has ended."""
        self.spec(job)
        manifest.write_expires(self.store, job, round((time.time() + seconds) * 1000))

    def results(self, job: str) -> Place:
        """Return where the job's results are: laid out as the folder of `cellfleet segment`."""
        return results_of(self.spec(job), self.store)

    def names(self, job: str, *, start: int = 0, named: str = "") -> Iterator[tuple[int, str]]:
        """Yield number and name of the images of a job from number `start` on that have `named` in their name."""
        try:
            listed = manifest.read_manifest(self.store, job)
        except JobError:
            return  # not listed yet
        for task in manifest.read_tasks_from_image(self.store, listed, start):
            for number, image in enumerate(task.images[: task.new_images], task.first_image):
                if number >= start and has_in_name(named, image.name):
                    yield number, image.name

    def images(self, job: str, *, start: int = 0, named: str = "") -> Iterator[JobImage]:
        """As `names`; each image with its record where it has one."""
        out = self.results(job)
        for number, name in self.names(job, start=start, named=named):
            record = load_record(out, name)
            status = record.status if record else "waiting"
            yield JobImage(number=number, image=name, status=status, record=record)

    def source(self, job: str, number: int) -> Source:
        """Return where the image with this number is, for this process. Raises `JobError` E810 where there is none."""
        tasks = manifest.read_tasks_from_image(self.store, manifest.read_manifest(self.store, job), number)
        for task in tasks:
            return source_here(task.images[number - task.first_image], self.store)
        raise JobError("E810", "the job has no such image", where=f"{job} {number}", action="Look at its images")

    def dead(self, job: str) -> Iterator[DeadTask]:
        """Yield the tasks that were given up."""
        self.spec(job)
        return self.ledger.dead(job)

    def _accepted(self, request: JobRequest, owner: str) -> JobSpec:
        model = self.models.resolve(request.segment.model)
        segment, formats = settle(request, self.models.manifest(model))
        require_libraries(formats)
        require_prediction(formats, model.name, predicts=bool(self.models.steps(model)))
        if request.out is not None and open_place(request.out).exists(RUN):
            action = "Choose another address for the results, or remove those that are there"
            raise UsageError("E819", "holds results of another run", where=request.out, action=action)
        job = _new_id(owner, request.key)
        return JobSpec(
            id=job,
            name=request.name,
            owner=owner,
            priority=request.priority,
            inputs=request.inputs,
            model=model,
            segment=segment.model_copy(update={"model": f"{model.name}:{model.version}"}),
            formats=formats,
            results=request.out or _results(job),
        )

    def _view(self, known: Known) -> Job:
        nothing_to_do = known.progress.state == "failed" and not known.progress.told
        return view(known, problem=manifest.read_problem(self.store, known.spec.id) if nothing_to_do else None)

    def _missing(self, job: str) -> JobError | LedgerError:
        return _being_rebuilt(job) if manifest.is_known(self.store, job) else no_such_job(job)

    def _require_unfinished(self, job: str, what: str) -> None:
        state = self.ledger.progress(job).state
        if state in FINAL_JOB_STATES:
            raise _not_while(job, state, what)


def has_in_name(wanted: str, image: str) -> bool:
    """Say whether the name of an image has this in it, in upper or lower case."""
    return wanted.casefold() in image.casefold()


_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that are taken for others."""
_LENGTH = 10


def _new_id(owner: str, key: str) -> str:
    """Return an id that nobody guesses; of equal keys of one owner, always the same."""
    if not key:
        return f"{datetime.now(UTC):%y%m%d}-{''.join(secrets.choice(_LETTERS) for _ in range(_LENGTH))}"
    digest = hashlib.sha256(f"{owner} {key}".encode()).digest()
    return f"key-{''.join(_LETTERS[byte % len(_LETTERS)] for byte in digest[: 2 * _LENGTH])}"


def _results(job: str) -> str:
    return f"{RESULTS}/{job}"


def _being_rebuilt(job: str) -> LedgerError:
    action = "Ask again in a few seconds; nothing is lost"
    return LedgerError("E829", "the ledger has lost this job, and is being built again", where=job, action=action)


def _not_while(job: str, state: str, what: str) -> JobError:
    return JobError("E812", f"the job is {state} and cannot {what}", where=job, action="Nothing needs to be done")
