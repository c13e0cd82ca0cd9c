"""`cellfleet serve` with real processes: starting, stopping, and the death of each of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2
import pytest
from tests.services import wait_until
from tests.worked import small_image

from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.spec.job import FINAL_JOB_STATES

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2.0
LONG = 90


@dataclass
class Served:
    """A running `cellfleet serve`."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str

    @property
    def said(self) -> str:
        """All that stands on stderr."""
        return self.log.read_text()

    def get(self, path: str, **more: object) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=LONG, **more)

    def post(self, path: str, **more: object) -> httpx2.Response:
        return httpx2.post(self.url + path, timeout=LONG, **more)

    def child(self, word: str) -> int:
        """Return the number of the one child whose command has `word`; wait until it is there."""
        wait_until(lambda: len(self._children(word)) == 1, f"there is a child {word}", LONG)
        return self._children(word)[0]

    def _children(self, word: str) -> list[int]:
        return [pid for pid, parent, command in processes() if parent == self.process.pid and word in command]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONG)


def processes() -> list[tuple[int, int, str]]:
    """Return number, parent and command of all processes."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
    rows = (line.split(None, 2) for line in listed.splitlines())
    return [(int(pid), int(parent), command) for pid, parent, command in (row for row in rows if len(row) == 3)]


def gone(pid: int) -> bool:
    return all(pid != other for other, _, _ in processes())


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder with a short path, for the socket; tasks of a dead worker are free again soon."""
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "d"
        with private_server(path / "ledger") as server:
            Ledger(server.url, lease_seconds=LEASE_SECONDS).close()
        yield path


@contextlib.contextmanager
def serving(data: Path, *words: str) -> Iterator[Served]:
    """Run `cellfleet serve`; killed at the end, if it runs then."""
    log = data / f"serve-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "cellfleet", "serve", "--port", "0", "--data", str(data), *words]
    with log.open("wb") as file, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file) as process:
        try:
            wait_until(lambda: "Serving at" in log.read_text() or process.poll() is not None, "it serves", LONG)
            address = re.search(r"Serving at (\S+)", log.read_text())
            assert address is not None, log.read_text()
            yield Served(process, log, address[1].replace("0.0.0.0", "127.0.0.1"))
        finally:
            process.kill()


def a_job(served: Served, count: int = 3) -> str:
    """Hand in a job over `count` images; return its id."""
    made = served.post("/api/v1/sets", json={"name": "images"}).json()["id"]
    store = served.log.parent / "store" / "uploads" / made
    store.mkdir(parents=True)
    for number in range(count):
        (store / f"image {number} µ.tif").write_bytes(small_image())
    answer = served.post("/api/v1/jobs", json={"inputs": [f"set:{made}"], "segment": {"model": "otsu"}})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def ended_well(served: Served, job: str) -> bool:
    answer = served.get(f"/api/v1/jobs/{job}")
    if answer.status_code == 503:  # while the ledger starts again
        return False
    found = answer.json()
    if found["state"] not in FINAL_JOB_STATES:
        return False
    assert (found["state"], found["progress"]["images_failed"]) == ("done", 0)
    return bool(found["summarised"])


def test_a_job_is_done_and_the_service_stops_in_good_order(data: Path) -> None:
    with serving(data) as served:
        job = a_job(served)
        wait_until(lambda: ended_well(served, job), "the job is done", LONG)
        children = [served.child("redis-server"), served.child("cellfleet worker")]
        assert served.stop() == 0
        assert all(map(gone, children))
        assert "Traceback" not in served.said


def test_a_job_outlives_kill_9_of_the_ledger_of_the_worker_and_of_the_service(data: Path) -> None:
    with serving(data) as served:
        first = a_job(served, 40)
        os.kill(served.child("redis-server"), signal.SIGKILL)
        wait_until(lambda: "the ledger's server ended" in served.said, "its end is noticed")
        wait_until(lambda: served.get("/health/ready").status_code == 200, "the ledger is back", LONG)
        os.kill(served.child("cellfleet worker"), signal.SIGKILL)
        wait_until(lambda: "worker 1 ended" in served.said, "its end is noticed")
        second = a_job(served, 40)
        children = [served.child("redis-server"), served.child("cellfleet worker")]
        served.process.kill()
        served.process.wait()
        wait_until(lambda: all(map(gone, children)), "the children have ended", LONG)
    with serving(data) as served:
        for job in (first, second):
            wait_until(partial(ended_well, served, job), "the job is done", LONG)
            results = sorted(path.name for path in (data / "store" / "results" / job).glob("*_labels.tif"))
            assert len(results) == served.get(f"/api/v1/jobs/{job}").json()["progress"]["images_done"] == 40
        assert served.stop() == 0


def test_a_port_in_use_is_said(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["--port", str(taken.getsockname()[1]), "--data", str(data)]
        done = subprocess.run(
            [sys.executable, "-m", "cellfleet", "serve", *words], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "another program listens there" in done.stderr and "[E911]" in done.stderr


def test_a_second_service_on_the_same_folder_is_refused(data: Path) -> None:
    with serving(data, "--workers", "0") as served:
        words = [sys.executable, "-m", "cellfleet", "serve", "--port", "0", "--data", str(data)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, "[E806]" in done.stderr) == (6, True)
        assert served.get("/health/ready").status_code == 200


def test_a_device_that_is_not_there_ends_the_service_with_its_code(data: Path) -> None:
    words = [sys.executable, "-m", "cellfleet", "serve", "--port", "0", "--data", str(data), "--device", "cuda"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONG)
    assert (done.returncode, "[E501]" in done.stderr) == (6, True)


def test_other_machines_need_a_token_and_the_first_is_shown_once(data: Path) -> None:
    with serving(data, "--host", "0.0.0.0", "--workers", "0") as served:
        token = re.search(r"cf_\w+", served.said)
        assert token is not None
        assert served.get("/api/v1/about").status_code == 401
        about = served.get("/api/v1/about", headers={"Authorization": f"Bearer {token[0]}"}).json()
        assert (about["user"], about["role"]) == ("admin", "admin")
        assert served.stop() == 0
    with serving(data, "--host", "0.0.0.0", "--workers", "0") as served:
        assert "cf_" not in served.said
        assert served.get("/api/v1/about", headers={"Authorization": f"Bearer {token[0]}"}).status_code == 200
    kept = b"".join(path.read_bytes() for path in (data / "store").rglob("*") if path.is_file())
    assert token[0].encode() not in kept


def test_a_trainer_is_kept_where_pytorch_is_installed_unless_it_is_switched_off(data: Path) -> None:
    with serving(data, "--workers", "0", "--trainers", "0") as served:
        assert served.get("/api/v1/training").json()["refusal"]["code"] == "E990"
        assert served.stop() == 0
    with serving(data, "--workers", "0") as served:
        assert served.get("/api/v1/training").json()["refusal"] is None
        killed = served.child("cellfleet trainer")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: "trainer 1 ended" in served.said, "its end is noticed")
        kept = served.child("cellfleet trainer")
        assert kept != killed
        assert served.stop() == 0
        assert gone(kept)


def test_open_connections_do_not_keep_the_service_from_stopping(data: Path) -> None:
    with serving(data, "--workers", "0") as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /api/v1/sets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            began = time.monotonic()
            assert served.stop() == 0
            assert time.monotonic() - began < 30
