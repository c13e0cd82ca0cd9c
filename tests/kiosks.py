"""The original's client for tests, kiosk-client 0.8.4 as its makers published it, and a worker for the service."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import Running

from cellfleet.jobs.keeper import Keeper
from cellfleet.worker.process import WorkerOptions, run_worker

_ROOT = Path(__file__).parents[1]
_CLIENT_SECONDS = 180


@dataclass(frozen=True)
class Ran:
    """What a run of the client left."""

    jobs: list[dict[str, Any]]
    """What it wrote of each job."""
    files: dict[str, Path]
    """Original name of the input → result that it downloaded."""
    log: str


def kiosk_client(folder: Path, address: str, *words: str) -> Ran:
    """Run the client in the new folder `folder`, for jobs of the model otsu unless `words` say otherwise."""
    program = Path(os.environ.get("CELLFLEET_KIOSK_CLIENT", _ROOT / ".venv-kiosk" / "bin" / "python"))
    assert program.exists(), f"{program} is missing: `make .venv-kiosk/.made` (this test never skips)"
    folder.mkdir()
    out = folder / "out"
    out.mkdir()
    # Without these it writes beside its own code.
    log = folder / "log"
    places = {"DOWNLOAD_DIR": str(folder / "down"), "LOG_DIR": str(log), "LOG_FILE": str(log / "client.log")}
    places["HOME"] = str(folder)
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "*", **places}
    command = [str(program), "-m", "kiosk_client", "-j", "segmentation", "-t", address, "--output-dir", str(out)]
    command += ["--update-interval", "1", "--refresh-rate", "1", "-m", "otsu:1", *words]
    done = subprocess.run(
        command, check=False, env=environment, cwd=folder, capture_output=True, text=True, timeout=_CLIENT_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (summary,) = out.glob("*jobs_*.json")
    jobs = json.loads(summary.read_text())["job_data"]
    files = {job["input_file"]: out / job["download_url"].rpartition("/")[2] for job in jobs if job["download_url"]}
    return Ran(jobs, files, done.stdout)


@contextlib.contextmanager
def working(running: Running) -> Iterator[None]:
    """Have jobs of a service worked off and summed up while the block runs."""
    keeper, stop = Keeper(running.service.desk), threading.Event()
    options = WorkerOptions(running.service.ledger.url, running.store.url, threads=2, memory_bytes=3 << 30)
    worker = threading.Thread(target=run_worker, args=(options, stop), daemon=True)
    keeper.start()
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()
        keeper.stop()
