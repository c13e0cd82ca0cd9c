"""What is older than the operator keeps goes; what is needed, or younger, stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services import Running, running_service
from tests.trainings import add_dataset
from tests.worked import add_job, add_set, work_off

from cellfleet.service.retention import DAY_MS, remove_old
from cellfleet.service.sets import now_ms, set_ids
from cellfleet.service.state import Settings

pytestmark = pytest.mark.slow


def after_days(running: Running, days: float) -> None:
    """Do what is done so many days from now where 30 days are kept."""
    remove_old(running.service, 30, now_ms() + round(days * DAY_MS))


def test_jobs_and_uploads_go_when_they_are_old_and_bills_stay(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"))
        work_off(running)
        after_days(running, 29.9)
        assert client.get(f"/api/v1/jobs/{job}").status_code == 200
        assert len(list(set_ids(running.store))) == 1
        after_days(running, 30.1)
        assert client.get(f"/api/v1/jobs/{job}").status_code == 404
        left = {name.partition("/")[0] for name in running.store.names()}
        assert left & {"jobs", "tasks", "results", "sets", "uploads", "usage"} == set()
        assert [bill["job"] for bill in client.get("/api/v1/bills").json()["bills"]] == [job]


def test_a_job_that_goes_on_keeps_its_uploads_however_old_they_are(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        used, unused = add_set(running, "local"), add_set(running, "local")
        job = add_job(client, used)
        after_days(running, 400)
        assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "queued"
        assert list(set_ids(running.store)) == [used]
        assert unused != used
        work_off(running)
        assert client.get(f"/api/v1/jobs/{job}").json()["progress"]["images_done"] == 3


def test_training_runs_go_when_they_are_old_and_those_under_way_keep_their_data(tmp_path: Path) -> None:
    with running_service(tmp_path, settings=Settings(trains=True)) as running:
        client = running.client()
        sets = [add_dataset(running, "local", {"images/a.tif": b"", "labels/a.tif": b""}) for _ in range(2)]
        stopped, open_run = (
            client.post("/api/v1/training", json={"name": "ours", "dataset": dataset}).json()["id"] for dataset in sets
        )
        client.post(f"/api/v1/training/{stopped}/stop")
        after_days(running, 29.9)
        assert len(client.get("/api/v1/training").json()["runs"]) == 2
        after_days(running, 400)
        assert [run["id"] for run in client.get("/api/v1/training").json()["runs"]] == [open_run]
        assert [f"set:{identity}" for identity in set_ids(running.store)] == [sets[1]]
