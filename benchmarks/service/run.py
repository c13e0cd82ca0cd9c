"""What the HTTP API answers when many use it at once, and what a request costs.

    python -m benchmarks.service.run [--clients 200] [--jobs 1000] [--seconds 60]

A real `cellfleet serve` without workers, its ledger on a private redis-server, its store in a folder: 1000 jobs of one
user, one of which is done. A fifth of the clients watch jobs as server-sent events all the time; each of the others
asks for something every two seconds or so, in a mix that a web page and a viewer of OME-Zarr make. Latency is from the
request to the last byte, with the clients on the same machine. Costs are processor seconds of the service and of the
ledger for one client that asks for one thing again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from threading import Event
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np
import tifffile

from benchmarks.common import ONE_THREAD, save, table
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.jobs.summary import summarise
from cellfleet.jobs.work import Patience, work
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.service.access import Access
from cellfleet.spec.access import NewToken, Quota
from cellfleet.spec.http import JobRequest, UploadSet
from cellfleet.spec.segment import SegmentSpec
from cellfleet.spec.usage import Machine
from cellfleet.stores.place import FolderPlace, Place
from cellfleet.worker.bench import Bench
from cellfleet.worker.meter import Meter
from cellfleet.worker.tasks import Runner

USER = "ann"
IMAGES = 96
"""Of the job that is done: a plate."""
SIDE = 256
WATCHING = 0.2
PAUSE_SECONDS = 2.0
ALONE, ROUNDS = 100, 3
"""Requests of each kind by one client, and how often."""
MILLI = 1e3

Ask = Callable[[httpx2.AsyncClient, random.Random], Any]


@dataclass(frozen=True)
class Filled:
    """What the service has."""

    token: str
    jobs: tuple[str, ...]
    done: str
    file: str
    """A large result file of the job that is done."""
    chunk: str
    """A small one."""


def main() -> int:
    """Fill a store, serve it, measure."""
    parser = argparse.ArgumentParser(description="Measure the HTTP API.")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder, private_server(Path(folder) / "l") as server:
        store = FolderPlace(Path(folder) / "store")
        filled = fill(store, Ledger(server.url), Path(folder) / "cache", given.jobs)
        with serving(Path(folder), store, server.url) as (url, process):
            alone = asyncio.run(one_client(url, filled, [process, server.process.pid]))
            before = cpu_seconds(process)
            together = asyncio.run(many_clients(url, filled, given.clients, given.seconds))
            busy = (cpu_seconds(process) - before) / given.seconds
    rows = [row(what, alone.get(what), seconds) for what, seconds in sorted(together.items())]
    asked = sum(map(len, together.values()))
    notes = [
        f"{given.clients} clients for {given.seconds:g} s, {round(given.clients * WATCHING)} of them watching events; "
        f"{given.jobs} jobs; {asked / given.seconds:.0f} requests per second; "
        f"the service had {busy:.2f} of a processor busy.",
        "Other programs ran on the machine, the clients among them: latencies are upper bounds.",
        f"Costs are the median of {ROUNDS} times {ALONE} requests.",
    ]
    header = ["request", "requests", "p50, ms", "p95, ms", "p99, ms", "service, ms of processor", "ledger, ms"]
    save("service", [], {"rows": rows, "alone": alone, "busy": busy}, notes, table(header, rows))
    return 0


def row(what: str, cost: tuple[float, float] | None, seconds: list[float]) -> list[str]:
    """Return a row of the table."""
    cuts = quantiles(seconds, n=100)
    costs = [f"{MILLI * part:.2f}" for part in cost] if cost else ["–", "–"]
    return [what, str(len(seconds)), *(f"{MILLI * cuts[n - 1]:.1f}" for n in (50, 95, 99)), *costs]


# --- what the service has --------------------------------------------------------------------------------------------


def fill(store: Place, ledger: Ledger, cache: Path, jobs: int) -> Filled:
    """Put jobs into store and ledger: one of `IMAGES` images that is done, the others of one that wait or were
    cancelled.
    """
    models = Repository(store, cache)
    desk = Desk(store, ledger, models)
    plate, one = add_set(store, "plate", IMAGES), add_set(store, "one", 1)
    done = submit(desk, plate)
    run_tasks(store, ledger, models)
    summarise(store, ledger, models, done)
    ledger.summarised(done)
    others = [submit(desk, one) for _ in range(jobs - 1)]
    for job in others[::2]:
        desk.cancel(job)
        ledger.summarised(job)
    token = Access(store).make_token(NewToken(user=USER)).token
    ledger.close()
    return Filled(token, (done, *others), done, "000_labels.tif", "000_labels.ome.zarr/0/c/0/0")


def add_set(store: Place, name: str, images: int) -> str:
    """Add a set of equal small images."""
    y, x = np.mgrid[:SIDE, :SIDE]
    cells = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2 < 81) * 800
    file = io.BytesIO()
    tifffile.imwrite(file, (np.random.default_rng(0).normal(100, 5, (SIDE, SIDE)) + cells).astype(np.uint16))
    made = UploadSet(id=name, name=name, owner=USER, created_ms=0)
    store.write(f"sets/{name}.json", made.model_dump_json().encode())
    for number in range(images):
        store.write(f"uploads/{name}/{number:03}.tif", file.getvalue())
    return f"set:{name}"


def submit(desk: Desk, given: str) -> str:
    """Hand in a job; return its id."""
    request = JobRequest(inputs=(given,), segment=SegmentSpec(model="otsu"), formats=("labels-tiff", "ome-zarr", "csv"))
    return desk.submit(request, USER, Quota()).id


def run_tasks(store: Place, ledger: Ledger, models: Repository) -> None:
    """Do what is to do, in this process."""
    bench = Bench(WarmModels(models, "cpu"), 1, None)
    runner = Runner(store, ledger.spec, bench, Meter(store, "benchmark", Machine()))
    work(ledger, runner, stop=Event(), patience=Patience(idle=0))
    bench.clear()


@contextlib.contextmanager
def serving(folder: Path, store: FolderPlace, ledger: str) -> Iterator[tuple[str, int]]:
    """Run `cellfleet serve`; yield its address and the number of its process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = ["--workers", "0", "--ledger", ledger, "--store", store.url, "--data", str(folder / "data")]
    command = [sys.executable, "-m", "cellfleet", "serve", *words, "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env={**os.environ, **ONE_THREAD}) as process:
        try:
            while not answers(url):
                if process.poll() is not None:
                    raise SystemExit("cellfleet serve does not start")
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Say whether the service answers."""
    try:
        return httpx2.get(f"{url}/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


# --- clients ---------------------------------------------------------------------------------------------------------


def requests(filled: Filled) -> dict[str, tuple[int, Ask]]:
    """Return each kind of request with its share of the mix."""
    job, done = "/api/v1/jobs", f"/api/v1/jobs/{filled.done}"

    def get(address: Callable[[random.Random], str], **headers: str) -> Ask:
        return lambda client, dice: client.get(address(dice), headers=headers)

    async def first_event(client: httpx2.AsyncClient, dice: random.Random) -> httpx2.Response:
        async with client.stream("GET", f"{job}/{dice.choice(filled.jobs)}/events") as answer:
            await anext(answer.aiter_lines())
        return answer

    return {
        "list of 100 jobs": (10, get(lambda dice: job)),
        "job": (30, get(lambda dice: f"{job}/{dice.choice(filled.jobs)}")),
        "page of 96 images": (10, get(lambda dice: f"{done}/images")),
        "image": (5, get(lambda dice: f"{done}/images/{dice.randrange(IMAGES)}")),
        "thumbnail": (10, get(lambda dice: f"{done}/images/{dice.randrange(IMAGES)}/thumbnail")),
        "range of a file": (15, get(lambda dice: f"{done}/files/{quote(filled.file)}", Range="bytes=1000-1999")),
        "chunk of an OME-Zarr": (15, get(lambda dice: f"{done}/files/{quote(filled.chunk)}")),
        "events, to the first": (5, first_event),
    }


async def one_client(url: str, filled: Filled, processes: list[int]) -> dict[str, tuple[float, ...]]:
    """Return what each kind of request costs: processor seconds per request of each process."""
    found = {}
    dice = random.Random(0)
    async with clients(url, filled) as client:
        for what, (_, ask) in requests(filled).items():
            rounds = []
            for _ in range(ROUNDS):
                before = [cpu_seconds(process) for process in processes]
                for _ in range(ALONE):
                    check(await ask(client, dice))
                rounds.append([(cpu_seconds(p) - b) / ALONE for p, b in zip(processes, before, strict=True)])
            found[what] = tuple(float(np.median(part)) for part in zip(*rounds, strict=True))
    return found


async def many_clients(url: str, filled: Filled, count: int, seconds: float) -> dict[str, list[float]]:
    """Return the latencies, s, of each kind of request."""
    found: dict[str, list[float]] = defaultdict(list)
    watching = round(count * WATCHING)
    async with clients(url, filled) as client, asyncio.TaskGroup() as group:
        end = time.perf_counter() + seconds
        watchers = [group.create_task(watch(client, filled.jobs[1 + n], end)) for n in range(watching)]
        users = [group.create_task(use(client, filled, random.Random(n), end, found)) for n in range(count - watching)]
        await asyncio.wait([*watchers, *users])
    return dict(found)


async def watch(client: httpx2.AsyncClient, job: str, end: float) -> None:
    """Watch a job until the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, end - time.perf_counter())):
            while True:
                async with client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
                    async for _ in answer.aiter_lines():
                        pass
                await asyncio.sleep(PAUSE_SECONDS)


async def use(
    client: httpx2.AsyncClient, filled: Filled, dice: random.Random, end: float, found: dict[str, list[float]]
) -> None:
    """Ask for one thing after another, with pauses, until the end."""
    kinds = requests(filled)
    shares = [share for share, _ in kinds.values()]
    await asyncio.sleep(dice.random() * PAUSE_SECONDS)
    while time.perf_counter() < end:
        what = dice.choices(list(kinds), shares)[0]
        began = time.perf_counter()
        check(await kinds[what][1](client, dice))
        found[what].append(time.perf_counter() - began)
        await asyncio.sleep(dice.expovariate(1 / PAUSE_SECONDS))


@contextlib.asynccontextmanager
async def clients(url: str, filled: Filled) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield what opens as many connections as are asked for."""
    headers = {"Authorization": f"Bearer {filled.token}"}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60) as client:
        yield client


def check(answer: httpx2.Response) -> None:
    """Stop at an answer that is none."""
    if answer.status_code not in {200, 206}:
        raise SystemExit(f"{answer.request.url}: {answer.status_code} {answer.text}")


def cpu_seconds(process: int) -> float:
    """Return what a process has used so far. Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
