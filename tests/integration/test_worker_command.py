"""`cellfleet worker` as a process: what its exit codes tell whoever keeps it running, its metrics and its log."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fleets import free_port
from tests.ledgers import a_job, counts, submitted
from tests.services import wait_until

from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server

pytestmark = pytest.mark.slow


def command(tmp_path: Path, ledger: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "cellfleet", "worker", "--ledger", ledger, "--store", str(tmp_path / "store"), *more]


@pytest.fixture
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-") as short, private_server(Path(short) / "l") as server:
        yield server.url


def test_an_outage_asks_to_be_started_again(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "unix:///nowhere.sock"), capture_output=True, text=True, check=False)
    assert (done.returncode, "[E801]" in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["--metrics", "nowhere"], 2, "[E981]"), (["--device", "cuda"], 6, "[E501]"), (["--log", "xml"], 2, "[E001]")],
)
def test_what_can_never_work_asks_not_to_be(tmp_path: Path, url: str, words: list[str], code: int, said: str) -> None:
    done = subprocess.run(command(tmp_path, url, *words), capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_worker_tells_prometheus_and_the_log_what_it_does(tmp_path: Path, url: str) -> None:
    port = free_port()
    words = ("--metrics", f"127.0.0.1:{port}", "--log", "json")
    with (
        contextlib.closing(Ledger(url)) as ledger,
        subprocess.Popen(command(tmp_path, url, *words), stderr=-1) as worker,
    ):
        job = submitted(ledger, a_job(max_attempts=1), 1)  # of a model that is not there
        wait_until(lambda: counts(ledger.progress(job.id)) == {"dead": 1}, "the task is dead", 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = text_string_to_metric_families(answer.read().decode())
        found = {sample.name: sample.value for family in page for sample in family.samples if not sample.labels}
        assert (found["cellfleet_workers"], found["cellfleet_task_attempts_total"]) == (1, 1)
        worker.send_signal(signal.SIGTERM)
        said = worker.communicate(timeout=60)[1].decode().splitlines()
    assert worker.returncode == 0
    lines = [json.loads(line) for line in said if line.startswith("{")]
    assert any((line.get("job"), line.get("task")) == (job.id, "0") for line in lines), said
    assert len({line["worker"] for line in lines}) == 1
