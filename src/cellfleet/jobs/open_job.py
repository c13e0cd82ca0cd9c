"""What a worker of a fleet knows of a job that has not ended, from the names of its files: see `jobs.claims`."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from cellfleet.jobs import manifest
from cellfleet.jobs.ends import CLAIMS, ENDS, Back, claim_name, leaf, numbered, parsed
from cellfleet.spec.job import Failed
from cellfleet.stores.place import Place

_VANISHED = Failed(code="E814", reason="the worker ended, hung or was cut off, at every attempt")


@dataclass
class OpenJob:
    """A job at the last look, and what has become known since."""

    manifest: manifest.Manifest
    cancelled: bool = False
    latest: dict[int, int] = field(default_factory=dict)
    """Task → number of its last claim."""
    back: set[tuple[int, int]] = field(default_factory=set)
    """Claims that were given back."""
    ended: set[int] = field(default_factory=set)
    fresh: list[int] = field(default_factory=list)
    """Tasks that nobody had claimed at the last look; the last one is tried first."""
    workers: dict[tuple[int, int], str] = field(default_factory=dict)
    """Claim → who has it, as far as that was asked."""

    @property
    def name(self) -> str:
        """The job's id."""
        return self.manifest.job.id

    @property
    def summary(self) -> int:
        """Stands for the summary, which is claimed like a task."""
        return self.manifest.tasks

    @property
    def begun(self) -> list[int]:
        """Tasks that were claimed and have not ended."""
        return sorted(self.latest.keys() - self.ended - {self.summary})


def look_at(store: Place, name: str, before: OpenJob | None, *, cancelled: bool) -> OpenJob:
    """List what is left of a job; costs a request per thousand files.

    Args:
        store: Of the fleet.
        name: The job.
        before: What was known of it; its manifest is not read again.
        cancelled: Whether nothing more of it is to be begun.

    Raises:
        JobError: E810, it was removed; E813, its manifest is damaged.
    """
    job = OpenJob(before.manifest if before else manifest.read_manifest(store, name), cancelled)
    for number, n, back in numbered(store.names(f"{CLAIMS}/{name}")):
        job.latest[number] = max(n, job.latest.get(number, 0))
        if back:
            job.back.add((number, n))
    job.ended = {int(leaf(end).partition(".")[0]) for end in store.names(f"{ENDS}/{name}")}
    if before:
        job.workers = {
            claim: worker for claim, worker in before.workers.items() if job.latest.get(claim[0]) == claim[1]
        }
    if not cancelled:
        fresh = [n for n in range(job.manifest.tasks) if n not in job.latest and n not in job.ended]
        # Every worker begins elsewhere, so that they meet late; from there on in order, for the files of the manifest.
        begin = random.randrange(len(fresh)) if fresh else 0
        job.fresh = [*fresh[begin:], *fresh[:begin]][::-1]
    return job


def attempts_at(store: Place, job: OpenJob, number: int) -> tuple[int, Failed]:
    """Return how many attempts at a task count, and how the last one failed. Raises `JobError` E813."""
    attempts, last = 0, _VANISHED
    for n in range(1, job.latest[number] + 1):
        name = f"{claim_name(job.name, number, n)}.back"
        content = store.read(name) if (number, n) in job.back else None
        back = None if content is None else parsed(Back, content, name)
        attempts += back is None or back.counts
        last = _VANISHED if back is None else Failed(code=back.code, reason=back.reason) if back.counts else last
    return attempts, last
