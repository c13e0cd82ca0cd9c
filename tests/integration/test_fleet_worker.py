"""`cellfleet worker --ledger store:`: a job sent into a bucket or folder is done by workers that share nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support import discs

import cellfleet
from cellfleet.jobs.claims import StoreLedger
from cellfleet.jobs.submission import send
from cellfleet.jobs.usage import read_bill
from cellfleet.models.repository import Repository
from cellfleet.spec.job import JobSpec
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import open_place
from cellfleet.worker.closing import NOTIFY

pytestmark = pytest.mark.slow


def test_workers_do_a_job_and_the_last_one_sums_up(tmp_path: Path, bucket: str) -> None:
    images, out = tmp_path / "images", f"{bucket}/results"
    images.mkdir()
    for number in range(1, 6):
        tifffile.imwrite(images / f"a{number}.tif", np.roll(discs(), number, axis=1))
    (images / "a0.tif").write_bytes(b"no image")
    store = open_place(f"{bucket}/fleet")
    model = Repository(store, tmp_path / "cache").resolve("otsu")
    job = JobSpec(id="f1", inputs=(str(images),), model=model, segment=SegmentSpec(model="otsu"), results=out)
    send(job, store)
    told = list[dict[str, object]]()
    with_hook = _listening(told)
    store.write(f"jobs/f1.{NOTIFY}", f"http://127.0.0.1:{with_hook.server_port}/done?key=secret".encode())
    command = [sys.executable, "-m", "cellfleet", "worker", "--ledger", "store:", "--store", store.url]
    command += ["--idle-timeout", "8", "--threads", "1", "--memory", "2GB", "--machine", "n1-standard-4"]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [worker.communicate(timeout=120)[1] for worker in workers]
    with_hook.shutdown()
    with_hook.server_close()
    assert [worker.returncode for worker in workers] == [0, 0], ends
    progress = StoreLedger(store).progress("f1")
    assert (progress.state, progress.tally.images, progress.images) == ("failed", 5, 6)
    results = open_place(out)
    record = json.loads(results.read("run.json") or b"")
    assert record["status"] == "done-with-failures" and record["bill"]["usd"] > 0
    here = cellfleet.segment(images / "a3.tif", model="otsu").labels
    labels = tmp_path / "labels.tif"
    labels.write_bytes(results.read("a3_labels.tif") or b"")
    assert np.array_equal(tifffile.imread(labels), here)
    bill = read_bill(store, "f1", progress.submitted_ms)
    assert bill is not None and bill.images == 5
    assert [(hook["job"], hook["images"], hook["state"]) for hook in told] == [("f1", 5, "failed")]


def _listening(told: list[dict[str, object]]) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
