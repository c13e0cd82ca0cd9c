"""What jobs cost: seen by their owners, kept when they have ended, and limited by a budget."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx2
import pyarrow.csv
import pyarrow.parquet
import pytest
from tests.services import Running, running_service
from tests.worked import add_job, add_set, work_off

from cellfleet.cli import main
from cellfleet.jobs.usage import month_of, write_usage
from cellfleet.service.state import Settings
from cellfleet.spec.usage import Bill, Costs, Machine, Usage

pytestmark = pytest.mark.slow

N1 = Machine(name="n1-standard-4", region="us-central1")
HOURLY = 0.19
"""USD, of the package's newest table."""


def bill_of(client: httpx2.Client, job: str) -> Bill:
    return Bill.model_validate_json(client.get(f"/api/v1/jobs/{job}/bill").text)


def costs_of(client: httpx2.Client, **query: str) -> Costs:
    return Costs.model_validate_json(client.get("/api/v1/costs", params=query).text)


def spend(running: Running, job: str, usd: float) -> None:
    """Have a worker on another machine tell of work for so much."""
    usage = Usage(machine=N1, seconds=usd / HOURLY * 3600)
    write_usage(running.store, job, "elsewhere", usage)


def test_a_job_is_billed_what_its_worker_took(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"))
        assert bill_of(client, job).lines == ()
        began = time.monotonic()
        work_off(running, machine=N1)
        took = time.monotonic() - began
        bill = bill_of(client, job)
        assert bill.final and bill.images == 3 and bill.pixels > 0
        (line,) = bill.lines
        assert line.machine == N1 and 0 < line.seconds < took
        assert bill.usd == pytest.approx(line.seconds / 3600 * HOURLY)
        assert set(bill.stages_usd) >= {"read", "predict", "postprocess", "write"}
        assert sum(bill.stages_usd.values()) == pytest.approx(line.usd)
        record = json.loads(running.store.read(f"results/{job}/run.json") or b"")
        assert Bill.model_validate(record["bill"]) == bill


def test_the_bill_outlives_the_job(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"))
        work_off(running, machine=N1)
        usd = bill_of(client, job).usd
        assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
        assert list(running.store.names("usage")) == []
        assert costs_of(client).usd == pytest.approx(usd)
        assert [bill["job"] for bill in client.get("/api/v1/bills").json()["bills"]] == [job]


def test_users_see_their_own_costs_and_administrators_everybodys(tmp_path: Path) -> None:
    with running_service(tmp_path, login=True) as running:
        clients = {user: running.client(user) for user in ("ann", "bea")}
        jobs = {user: add_job(client, add_set(running, user)) for user, client in clients.items()}
        spend(running, jobs["ann"], 3)
        spend(running, jobs["bea"], 2)
        ann, root = clients["ann"], running.client("root", role="admin")
        assert [user.owner for user in costs_of(ann, owner="bea").users] == ["ann"]
        assert ann.get(f"/api/v1/jobs/{jobs['bea']}/bill").status_code == 404
        assert [bill["owner"] for bill in ann.get("/api/v1/bills").json()["bills"]] == ["ann"]
        assert [(user.owner, round(user.usd, 6)) for user in costs_of(root).users] == [("ann", 3), ("bea", 2)]
        assert costs_of(root, month="2001-01").usd == 0
        assert root.get("/api/v1/costs", params={"month": "soon"}).status_code == 422
        first = root.get("/api/v1/bills", params={"limit": 1}).json()
        second = root.get("/api/v1/bills", params={"limit": 1, "after": first["after"]}).json()
        assert sorted(jobs.values()) == [first["bills"][0]["job"], second["bills"][0]["job"]]
        assert second["after"] is None


def test_a_spent_budget_pauses_jobs_until_it_is_raised(tmp_path: Path) -> None:
    with running_service(tmp_path, settings=Settings(budget_usd=10)) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"))
        spend(running, job, 9)
        running.service.cashier.watch_budget()
        assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "queued"
        spend(running, job, 11)
        running.service.cashier.watch_budget()
        assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "paused"
        assert costs_of(client).paused
        refused = client.post(f"/api/v1/jobs/{job}/resume")
        assert refused.status_code == 409 and refused.json()["code"] == "E756"
        spend(running, job, 8)  # as if the budget had been raised
        running.service.cashier.watch_budget()
        assert client.post(f"/api/v1/jobs/{job}/resume").json()["state"] == "queued"


@pytest.mark.parametrize("name", ["costs.parquet", "costs.csv"])
def test_a_table_of_bills_tells_time_and_cost_of_every_stage(name: str, tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        job = add_job(running.client(), add_set(running, "local"))
        stages = {"predict": 30.0, "write": 10.0, "polish": 0.0}
        write_usage(running.store, job, "w", Usage(machine=N1, seconds=3600, stage_seconds=stages))
        write_usage(running.store, job, "x", Usage(machine=Machine(), seconds=60, stage_seconds={"read": 5.0}))
        assert main(["jobs", "costs", "--on", running.url, "-o", str(tmp_path / name)]) == 0
    read = pyarrow.parquet.read_table if name.endswith("t") else pyarrow.csv.read_csv
    unnamed, named = sorted(read(tmp_path / name).to_pylist(), key=lambda row: row["seconds"])
    assert named["predict_seconds"] == 30 and named["predict_usd"] == pytest.approx(HOURLY * 3 / 4)
    assert named["write_usd"] == pytest.approx(HOURLY / 4) and named["read_seconds"] is None
    assert unnamed["read_seconds"] == 5 and unnamed["read_usd"] is None
    known = ["read", "survey", "preprocess", "predict", "postprocess", "measure", "write", "polish"]
    assert list(named)[-16:] == [f"{stage}_{unit}" for stage in known for unit in ("seconds", "usd")]


def test_costs_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"))
        spend(running, job, 1.5)
        table = tmp_path / "costs.parquet"
        assert main(["jobs", "costs", "--on", running.url, "-o", str(table)]) == 0
        month = month_of(time.time_ns() // 1_000_000)
        assert f"{month}: $1.50" in capsys.readouterr().out
        (row,) = pyarrow.parquet.read_table(table).to_pylist()
        assert (row["job"], row["machine"], row["machine_usd"]) == (job, "n1-standard-4", pytest.approx(1.5))
        assert main(["jobs", "show", job, "--on", running.url]) == 0
        assert "$1.50" in capsys.readouterr().out
        assert main(["jobs", "costs", "--on", running.url, "-o", "costs.doc"]) == 2
        assert "costs.doc" in capsys.readouterr().err
