"""A worker process for fault tests: python -m tests.ledger_worker URL LEASE_SECONDS RESULTS AT_ONCE DEADLY…

Each task's result is one small file. DEADLY are the numbers of tasks that kill whoever tries them. The time of a lease
is that of all others, because this may be the first process that meets a wiped ledger.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from cellfleet.errors import ImageError
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import Done, Outcome, Tally, Task
from cellfleet.stores.place import FolderPlace

REFUSED = 7
"""Number of a task that always fails."""


def result(task: Task) -> bytes:
    """Return what the result of a task must be."""
    return task.model_dump_json().encode() * 100


def main() -> None:
    """Work until SIGTERM."""
    url, lease_seconds, results, at_once, *numbers = sys.argv[1:]
    deadly = set(map(int, numbers))
    place = FolderPlace(Path(results))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def run(task: Task, _: int, alive: Callable[[], None]) -> Outcome:
        if task.number == REFUSED:
            raise ImageError("E201", "it is no image")
        if task.number in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        stop.wait(0.01)
        alive()
        place.write(f"{task.number}.txt", result(task))
        return Done(tally=Tally(images=1))

    ledger = Ledger(url, lease_seconds=float(lease_seconds))
    work(ledger, run, stop=stop, at_once=int(at_once), patience=Patience(grace=2, outage=60))


if __name__ == "__main__":
    main()
