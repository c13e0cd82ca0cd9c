"""What the tasks of a job took, as its workers wrote it into the store; and the bills of a month.

usage/<job>/<worker>.json        what one worker took for the job so far; until the job is removed
bills/<YYYY-MM>/<job>.json       the bill of an ended job, under the month in which it was submitted; for good
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from cellfleet.errors import JobError
from cellfleet.spec.usage import Bill, Machine, Usage
from cellfleet.stores.place import Place

_M = TypeVar("_M", Usage, Bill)

USAGE = "usage"
BILLS = "bills"
_READERS = 16

_log = logging.getLogger(__name__)


def write_usage(store: Place, job: str, worker: str, usage: Usage) -> None:
    """Write what one worker took for a job so far, whole.

    Raises:
        OutputError: The store does not take it.
    """
    store.write(f"{USAGE}/{job}/{worker}.json", usage.model_dump_json(exclude_defaults=True).encode())


def read_usage(store: Place, job: str) -> tuple[Usage, ...]:
    """Return what a job took so far, summed over the workers on machines of one kind.

    Raises:
        JobError: E755, a file of it is damaged.
        OutputError: The store does not answer.
    """
    found: dict[Machine, list[Usage]] = {}
    for name in store.names(f"{USAGE}/{job}"):
        content = store.read(name) if name.endswith(".json") else None
        if content is not None:
            usage = _parsed(Usage, content, name)
            found.setdefault(usage.machine, []).append(usage)
    return tuple(_summed(machine, usages) for machine, usages in sorted(found.items(), key=lambda item: repr(item[0])))


def forget_usage(store: Place, job: str) -> None:
    """Remove what workers wrote. The bill stays.

    Raises:
        OutputError: The store does not answer.
    """
    store.remove(f"{USAGE}/{job}")


def write_bill(store: Place, bill: Bill) -> None:
    """Keep the bill of an ended job. One that ends once more, after a retry, takes the place of the first.

    Raises:
        OutputError: The store does not take it.
    """
    store.write(_bill_name(bill), bill.model_dump_json().encode())


def read_bill(store: Place, job: str, submitted_ms: int) -> Bill | None:
    """Return the bill that was kept of a job that was submitted then; None if there is none.

    Raises:
        JobError: E755, it is damaged.
        OutputError: The store does not answer.
    """
    name = f"{BILLS}/{month_of(submitted_ms)}/{job}.json"
    content = store.read(name)
    return None if content is None else _parsed(Bill, content, name)


def billed_jobs(store: Place, month: str) -> set[str]:
    """Return the jobs of a month of which a bill is kept: costs no more than a listing.

    Raises:
        OutputError: The store does not answer.
    """
    names = (PurePosixPath(name) for name in store.names(f"{BILLS}/{month}"))
    return {name.stem for name in names if name.suffix == ".json"}


def read_bills(store: Place, month: str, jobs: Iterable[str]) -> Iterator[Bill]:
    """Yield the bills that are kept of some jobs of a month, in their order; one that is damaged is left out, and told.

    Raises:
        OutputError: The store does not answer.
    """

    def read(job: str) -> Bill | None:
        name = f"{BILLS}/{month}/{job}.json"
        content = store.read(name)
        try:
            return None if content is None else _parsed(Bill, content, name)
        except JobError as error:
            _log.error("%s", error, extra={"job": job})
            return None

    # A bucket takes its time over each.
    with ThreadPoolExecutor(_READERS, "bills") as pool:
        yield from filter(None, pool.map(read, jobs))


def month_of(ms: int) -> str:
    """Return year and month, UTC, of a moment in milliseconds since 1970."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m}"


def this_month() -> str:
    """Return year and month of now, UTC."""
    return month_of(time.time_ns() // 1_000_000)


def _bill_name(bill: Bill) -> str:
    return f"{BILLS}/{month_of(bill.submitted_ms)}/{bill.job}.json"


def _summed(machine: Machine, usages: list[Usage]) -> Usage:
    stages = Counter[str]()
    for usage in usages:
        stages.update(usage.stage_seconds)
    return Usage(
        machine=machine,
        seconds=sum(usage.seconds for usage in usages),
        stage_seconds=dict(stages),
        reads=sum(usage.reads for usage in usages),
        writes=sum(usage.writes for usage in usages),
        read_bytes=sum(usage.read_bytes for usage in usages),
        written_bytes=sum(usage.written_bytes for usage in usages),
    )


def _parsed(model: type[_M], content: bytes, name: str) -> _M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        action = "Remove this file; what it says is then missing in the bill"
        raise JobError("E755", "is no record of what a job took", where=name, action=action) from error
