"""A whole service in processes of its own, as an operator runs it, and what may happen to it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from tests.faulty import sitecustomize

from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.spec.http import Job
from cellfleet.spec.job import FINAL_JOB_STATES

ROOT = Path(__file__).parents[1]
FAULTY = Path(sitecustomize.__file__).parent
LEASE_SECONDS = 1.5
START_SECONDS = 120
PASSING = frozenset({503, 507})
"""Answers that tell a client to ask again: the ledger or the store does not answer now, or the disk is full."""

T = TypeVar("T")


class Fleet:
    """One `cellfleet serve` with a worker of its own and two more, and the jobs that it was given."""

    def __init__(self, folder: Path, seed: int, store: str | None = None, **environment: str) -> None:
        """Start it.

        Args:
            folder: For its data; a short path.
            seed: Of what happens.
            store: Address; None: a folder.
            environment: Variables of its processes; see `tests.faulty.sitecustomize`.
        """
        self.data, self.random = folder / "data", random.Random(seed)
        self.store = store or str(self.data / "store")
        self.log = folder / "log"
        path = os.pathsep.join([str(FAULTY), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CELLFLEET_LOG": "json", "TMPDIR": str(folder)}
        self.environment = {**os.environ, **own, "CELLFLEET_CACHE": str(folder / "cache"), **environment}
        self.port = free_port()
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            self.serve = self.open()
            self.workers = [self.hire() for _ in range(2)]
        except BaseException:
            self.close()
            raise

    # --- processes -----------------------------------------------------------------------------------------------

    def open(self) -> subprocess.Popen[bytes]:
        """Start `cellfleet serve` and wait until it answers."""
        self._shorten_leases()
        words = ["serve", "--data", str(self.data), "--port", str(self.port), "--memory", "2GB"]
        given = [] if self.store.startswith(str(self.data)) else ["--store", self.store]
        self.serve = self._run(*words, *given)
        self.until(self._ready, "the service answers", START_SECONDS)
        return self.serve

    def hire(self) -> subprocess.Popen[bytes]:
        """Start a worker beside those of `cellfleet serve`."""
        words = ["--ledger", self.ledger_url, "--store", self.store, "--threads", "1", "--memory", "2GB"]
        return self._run("worker", *words, "--grace", "2")

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "cellfleet", *words]
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def _shorten_leases(self) -> None:
        """The first process to connect decides how long a lease is; no test can wait for the usual minute."""
        with private_server(self.data / "ledger") as server:
            Ledger(server.url, lease_seconds=LEASE_SECONDS).close()

    @property
    def ledger_url(self) -> str:
        return f"unix://{self.data / 'ledger' / 'redis.sock'}"

    def _ready(self) -> bool:
        assert self.serve.poll() is None, self.last_words()
        with contextlib.suppress(httpx2.TransportError):
            return self.client.get("/health/ready").status_code == 200
        return False

    def children(self, name: str) -> list[int]:
        """Return the children of `cellfleet serve` whose command has this word."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                words = (status.parent / "cmdline").read_bytes().split(b"\0")
                if parent == self.serve.pid and any(name.encode() in word for word in words):
                    found.append(int(status.parent.name))
        return found

    def replace_the_dead(self) -> None:
        """Do what whoever runs workers does: start those again that ended."""
        if self.serve.poll() is None:
            self.workers = [self.hire() if worker.poll() is not None else worker for worker in self.workers]

    def close(self) -> None:
        """End everything, by force where need be."""
        self.client.close()
        for process in (*self.workers, self.serve):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        for process in (*self.workers, self.serve):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- what may happen -----------------------------------------------------------------------------------------

    def happen(self) -> str:
        """Let one thing happen; return what it was."""
        events = [
            self.kill_worker,
            self.kill_worker_of_serve,
            self.stop_worker,
            self.freeze_worker,
            self.kill_redis,
            self.freeze_redis,
            self.wipe_ledger,
            self.kill_api,
            self.kill_api_and_wipe_ledger,
        ]
        event = self.random.choice(events)
        event()
        return event.__name__

    def kill_worker(self) -> None:
        self.random.choice(self.workers).kill()

    def kill_worker_of_serve(self) -> None:
        self._send(signal.SIGKILL, "worker")

    def stop_worker(self) -> None:
        self.random.choice(self.workers).terminate()

    def freeze_worker(self) -> None:
        """Let it hang for longer than its lease, and go on with it afterwards."""
        worker = self.random.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * 1.5)
        worker.send_signal(signal.SIGCONT)

    def kill_redis(self) -> None:
        """What it was told in its last second may be lost."""
        self._send(signal.SIGKILL, "redis-server")

    def freeze_redis(self) -> None:
        self._send(signal.SIGSTOP, "redis-server")
        time.sleep(0.5)
        self._send(signal.SIGCONT, "redis-server")

    def wipe_ledger(self) -> None:
        """Lose its files and its memory while everybody works."""
        shutil.rmtree(self.data / "ledger" / "appendonlydir", ignore_errors=True)
        self.kill_redis()

    def kill_api(self) -> None:
        self.serve.kill()
        self.serve.wait()
        self.serve = self.open()

    def kill_api_and_wipe_ledger(self) -> None:
        self.serve.kill()
        self.serve.wait()
        with private_server(self.data / "ledger"):
            pass  # once this one starts, the old one has written its last
        shutil.rmtree(self.data / "ledger")
        self.serve = self.open()

    def _send(self, number: signal.Signals, name: str) -> None:
        for process in self.children(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    # --- jobs ----------------------------------------------------------------------------------------------------

    def submit(self, *inputs: str, key: str, **more: Any) -> str:
        """Hand a job in, again and again until there is an answer; return its id."""
        request = {"inputs": inputs, "segment": {"model": "otsu"}, "key": key, **more}

        def handed_in() -> str | None:
            with contextlib.suppress(httpx2.TransportError):
                answer = self.client.post("/api/v1/jobs", json=request)
                assert answer.status_code in {201, *PASSING}, answer.text
                return str(answer.json()["id"]) if answer.status_code == 201 else None
            return None

        return self.until(handed_in, "the job is taken in", START_SECONDS)

    def job(self, job: str) -> Job | None:
        """Return how far a job is; None at a moment when nobody knows."""
        with contextlib.suppress(httpx2.TransportError):
            answer = self.client.get(f"/api/v1/jobs/{job}")
            assert answer.status_code in {200, *PASSING}, answer.text
            return Job.model_validate(answer.json()) if answer.status_code == 200 else None
        return None

    def ended(self, job: str) -> bool:
        found = self.job(job)
        return found is not None and found.state in FINAL_JOB_STATES and found.summarised

    def until(self, true: Callable[[], T | None], what: str, seconds: float) -> T:
        """Wait until there is something; workers that ended are replaced meanwhile."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, f"it did not come to pass that {what}\n{self.last_words()}"
            assert self.serve.poll() is None, f"the service ended while {what}\n{self.last_words()}"
            self.replace_the_dead()
            time.sleep(0.05)
        return found

    def last_words(self) -> str:
        """Return the end of what all processes wrote, without the lines of requests."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in lines if "cellfleet.access" not in line][-30:])

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with contextlib.closing(Ledger(self.ledger_url)) as ledger:
            yield ledger


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
