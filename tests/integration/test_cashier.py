"""The month's costs and the budget: the same in every process, whatever becomes of the jobs meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.services import Running, running_service
from tests.worked import add_job, add_set, broken_image, small_image, work_off

from cellfleet.jobs.cashier import Cashier
from cellfleet.jobs.usage import billed_jobs, this_month, write_bill, write_usage
from cellfleet.service.state import Settings
from cellfleet.spec.usage import Bill, Machine, Usage
from cellfleet.stores.folder import FolderPlace

pytestmark = pytest.mark.slow

N1 = Machine(name="n1-standard-4", region="us-central1")
HOURLY = 0.19
"""USD, of the package's newest table."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_service(tmp_path, settings=Settings(budget_usd=10)) as service:
        yield service


def spend(running: Running, job: str, usd: float, worker: str = "elsewhere") -> None:
    """Have a worker on another machine tell of work for so much."""
    write_usage(running.store, job, worker, Usage(machine=N1, seconds=usd / HOURLY * 3600))


def another(running: Running) -> Cashier:
    """Return the cashier of another process over the same store and ledger."""
    cashier = running.service.cashier
    return Cashier(cashier.desk, cashier.tariff, cashier.budget_usd)


def state(running: Running, job: str) -> str:
    return running.service.desk.job(job).state


def test_every_process_knows_that_the_budget_is_spent_also_when_another_one_paused_the_jobs(running: Running) -> None:
    job = add_job(running.client(), add_set(running, "local"))
    spend(running, job, 11)
    running.service.cashier.watch_budget()
    other = another(running)
    other.watch_budget()
    assert other.spent.is_set() and other.costs(this_month()).paused
    assert not other.costs("2001-01").paused


def test_what_is_handed_in_while_the_budget_is_spent_waits_from_the_start(running: Running) -> None:
    client = running.client()
    job = add_job(client, add_set(running, "local"))
    spend(running, job, 11)
    running.service.cashier.watch_budget()
    assert state(running, add_job(client, add_set(running, "local"))) == "paused"


def test_the_budget_stays_spent_when_the_last_job_has_ended(running: Running) -> None:
    job = add_job(running.client(), add_set(running, "local"))
    work_off(running, machine=N1, summary=False)
    spend(running, job, 11)
    cashier = running.service.cashier
    cashier.watch_budget()
    assert cashier.spent.is_set(), "before its bill was made out"
    cashier.close(job)
    running.service.ledger.summarised(job)
    cashier.watch_budget()
    assert cashier.spent.is_set(), "and after it"


def test_a_job_that_is_tried_again_has_one_bill_which_grows_in_every_process(running: Running) -> None:
    client = running.client()
    images = {"a.tif": small_image(), "b.tif": broken_image()}
    job = add_job(client, add_set(running, "local", images))
    work_off(running, machine=N1)
    assert state(running, job) == "failed"
    submitted = running.service.desk.job(job).progress.submitted_ms
    processes = (running.service.cashier, another(running))
    before = [cashier.costs(this_month()).usd for cashier in processes]
    assert client.post(f"/api/v1/jobs/{job}/retry").status_code == 200
    spend(running, job, 3)
    for cashier, usd in zip(processes, before, strict=True):
        assert cashier.costs(this_month()).usd == pytest.approx(usd + 3), "while it goes on"
    work_off(running, machine=N1)
    for cashier in processes:
        assert cashier.costs(this_month()).usd == pytest.approx(3, abs=0.01), "and when it has ended"
    assert running.service.desk.job(job).progress.submitted_ms == submitted
    assert billed_jobs(running.store, this_month()) == {job}


def test_the_bill_of_a_job_that_is_cancelled_and_removed_at_once_stays(running: Running) -> None:
    client = running.client()
    job = add_job(client, add_set(running, "local"))
    spend(running, job, 4)
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 409
    assert billed_jobs(running.store, this_month()) == set()
    client.post(f"/api/v1/jobs/{job}/cancel")
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    costs = running.service.cashier.costs(this_month())
    assert (costs.usd, [user.jobs for user in costs.users]) == (pytest.approx(4), [1])


def test_a_damaged_record_hides_no_other_job_from_the_budget(running: Running) -> None:
    client = running.client()
    hurt, job = (add_job(client, add_set(running, "local")) for _ in range(2))
    running.store.write(f"usage/{hurt}/w-1.json", b"{")
    running.store.write(f"bills/{this_month()}/gone.json", b"{")
    spend(running, job, 11)
    cashier = running.service.cashier
    cashier.watch_budget()
    assert cashier.spent.is_set() and state(running, job) == "paused"
    assert [bill.job for bill in cashier.bills(this_month())] == [job]
    client.post(f"/api/v1/jobs/{hurt}/cancel")
    assert cashier.close(hurt) is None, "so that its summary can be written all the same"


class Counting(FolderPlace):
    """Counts what is read of bills."""

    read_bills = 0

    def read(self, name: str) -> bytes | None:
        self.read_bills += name.startswith("bills/")
        return super().read(name)


def test_bills_that_change_no_more_are_read_once(tmp_path: Path) -> None:
    store = Counting(tmp_path / "store")
    with running_service(tmp_path, store=store) as running:
        client = running.client()
        for _ in range(3):
            add_job(client, add_set(running, "local"))
        work_off(running, machine=N1)
        cashier = replace(running.service.cashier, budget_usd=10)
        first = cashier.costs(this_month())
        assert store.read_bills == 4, "three bills, and the sums that are not there yet"
        cashier.watch_budget()
        assert cashier.costs(this_month()) == first and store.read_bills == 4
        ids = [bill.job for bill in cashier.bills(this_month())]
        assert len(ids) == 3 and ids == sorted(ids)
        assert [bill.job for bill in cashier.bills(this_month(), after=ids[0])] == ids[1:]


def a_bill(number: int, *, complete: bool = True) -> Bill:
    """Return a bill of this month."""
    at = time.time_ns() // 1_000_000
    return Bill(
        job=f"job-{number}", owner="ann", final=True, complete=complete, submitted_ms=at, requests_usd=1, images=2
    )


def test_who_looks_first_reads_the_sums_and_the_few_bills_that_they_lack(tmp_path: Path) -> None:
    store = Counting(tmp_path / "store")
    with running_service(tmp_path, store=store) as running:
        for number in range(150):
            write_bill(store, a_bill(number, complete=number != 7))

        def looked(usd: float, *, reads: int) -> None:
            """A process that has just begun comes to this sum with so many requests."""
            store.read_bills = 0
            costs = another(running).costs(this_month())
            assert (costs.usd, costs.users[0].jobs, store.read_bills) == (usd, usd, reads)

        looked(150, reads=1 + 150)
        looked(150, reads=1 + 1)
        for number in range(200, 220):
            write_bill(store, a_bill(number))
        looked(170, reads=1 + 21)
        for number in range(300, 400):
            write_bill(store, a_bill(number))
        looked(270, reads=1 + 121)
        looked(270, reads=1 + 1)
        store.write(f"bills/{this_month()}.json", b"{")
        looked(270, reads=1 + 270)
        store.remove(f"bills/{this_month()}/job-0.json")
        looked(269, reads=1 + 269)
        looked(269, reads=1 + 1)
        assert len(list(running.service.cashier.bills(this_month()))) == 269
