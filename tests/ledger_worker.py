"""A worker process for fault tests: python -m tests.ledger_worker URL RESULTS. Each task's result is one small file."""

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
from cellfleet.spec.job import Tally, Task
from cellfleet.stores.place import FolderPlace

REFUSED, DEADLY = 7, 13
"""Numbers of a task that always fails, and of one that kills whoever tries it."""


def result(task: Task) -> bytes:
    """Return what the result of a task must be."""
    return task.model_dump_json().encode() * 100


def main() -> None:
    """Work until SIGTERM."""
    url, results = sys.argv[1:]
    place = FolderPlace(Path(results))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def run(task: Task, alive: Callable[[], None]) -> Tally:
        if task.number == REFUSED:
            raise ImageError("E201", "it is no image")
        if task.number == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        stop.wait(0.01)
        alive()
        place.write(f"{task.number}.txt", result(task))
        return Tally(images=1)

    work(Ledger(url), run, stop=stop, patience=Patience(grace=2, outage=60))


if __name__ == "__main__":
    main()
