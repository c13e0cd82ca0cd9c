"""Every key of the ledger: its name, type, life time and meaning. `docs/reference/ledger.md` shows this table.

A key that is not in this table must not exist; a test looks for such keys. Knows no server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cellfleet.spec.job import Priority

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
GROUP: Final = "workers"
"""The consumer group of every stream. A consumer is a worker."""
RETURNED: Final = "-"
"""The consumer that holds tasks which nobody works on: given back, or waiting for another attempt."""


@dataclass(frozen=True)
class Key:
    """One kind of key."""

    template: str
    """Name, with ``{priority}``, ``{job}`` or ``{owner}`` where one stands for many."""
    type: Literal["hash", "list", "set", "stream", "string", "zset"]
    """As the command TYPE names it."""
    life: str
    """When it goes away."""
    meaning: str

    def __call__(self, *, priority: str = "", job: str = "", owner: str = "") -> str:
        """Return the name of one key."""
        return self.template.format(priority=priority, job=job, owner=owner)

    def matches(self, name: str) -> bool:
        """Say whether `name` is a key of this kind."""
        return re.fullmatch(re.sub(r"\\{\w+\\}", "[0-9a-z._@-]+", re.escape(self.template)), name) is not None


ABOUT = Key(
    "cellfleet:about",
    "hash",
    "for ever",
    "What all processes must agree on: `format_version`, `lease_ms`.",
)
SWEPT = Key(
    "cellfleet:swept",
    "string",
    "0.25 s",
    "Somebody looked for leases that ended and found none: nobody needs to look again.",
)
JOBS = Key(
    "cellfleet:jobs",
    "zset",
    "for ever",
    "The ids of all jobs by time of submission, ms. No two have the same time.",
)
JOBS_OF = Key(
    "cellfleet:user:{owner}:jobs",
    "zset",
    "until the user's last job is forgotten",
    "The same of one user.",
)
RUNNING = Key(
    "cellfleet:user:{owner}:running",
    "set",
    "until the user's last job ends",
    "The ids of the user's jobs that have not ended. Their number is what a quota limits.",
)
USED = Key(
    "cellfleet:used",
    "hash",
    "for ever",
    "User → bytes that are stored; no field for none.",
)
ENDED = Key(
    "cellfleet:ended",
    "zset",
    "until all are summarised, retried or forgotten",
    "The ids of the jobs that ended and are not summarised yet, by that time, ms.",
)
STREAM = Key(
    "cellfleet:tasks:{priority}",
    "stream",
    "for ever",
    "Tasks that are queued or leased: an entry (`job`, `number`, `task` as JSON) goes when its task is done or dead. "
    "So its length is what autoscalers look at. Its group's pending list holds the leases: who, since when, and "
    "how often delivered (plus 1 000 000 for each time that it was released). Entries of a cancelled job "
    "go when a claim meets them.",
)
JOB = Key(
    "cellfleet:job:{job}",
    "hash",
    "until the job is forgotten",
    "`spec` as JSON, `owner`, `priority`, `max_attempts`, `state`; counters of tasks: `told`, `queued`, `leased`, "
    "`done`, `dead`, `dropped`, and `total` when all are told; `told_images`: images of the tasks that are told; "
    "`submitted_ms`, `started_ms`, `finished_ms`; the sums `images`, `failed_images`, `pixels`, `objects`.",
)
DEAD = Key(
    "cellfleet:job:{job}:dead",
    "hash",
    "until its tasks are retried or the job is forgotten",
    "The dead list: number of the task → JSON of the task, attempts, worker, code, reason, time, and of what it did "
    "all the same: that is in the job's sums as long as the task is here.",
)
PARKED = Key(
    "cellfleet:job:{job}:parked",
    "list",
    "until the job is resumed or forgotten",
    "Tasks of a paused job that a claim met, as JSON. They count as queued.",
)
KEYS: Final = (ABOUT, SWEPT, JOBS, JOBS_OF, RUNNING, USED, ENDED, STREAM, JOB, DEAD, PARKED)


def stray(names: list[str]) -> list[str]:
    """Return the names that are in no row of the table."""
    return [name for name in names if not any(key.matches(name) for key in KEYS)]
