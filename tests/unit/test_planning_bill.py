"""The bill of a job and of a month, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.planning.bill import Subject, Sums, Tariff, make_bill
from cellfleet.planning.prices import KIOSK, load_prices
from cellfleet.spec.usage import Bill, Machine, Usage

TARIFF = Tariff(load_prices(KIOSK))
T4 = Machine(name="n1-standard-4+nvidia-tesla-t4:1", spot=True, gpus=1)
CPU = Machine(name="n1-standard-4")
FIRST_OF_MAY = 1_777_593_600_000
DAY = 86_400_000


def subject(job: str = "j1", owner: str = "ann", day: int = 0) -> Subject:
    return Subject(job, "plates", owner, "done", FIRST_OF_MAY + day * DAY, 100, 100_000_000)


def bill(*usages: Usage, job: str = "j1", owner: str = "ann", day: int = 0) -> Bill:
    return make_bill(subject(job, owner, day), usages, TARIFF)


def test_machine_time_times_price_plus_requests() -> None:
    made = bill(
        Usage(machine=T4, seconds=7200, stage_seconds={"predict": 30, "read": 10}, reads=20_000, writes=10_000),
        Usage(machine=CPU, seconds=1800, stage_seconds={"read": 5}),
    )
    gpu_usd, cpu_usd = 2 * (0.04 + 0.29), 0.5 * 0.19
    requests_usd = 2 * 0.004 + 0.05
    assert [line.usd for line in made.lines] == pytest.approx([gpu_usd, cpu_usd])
    assert [line.gpu_seconds for line in made.lines] == [7200, 0]
    assert made.requests_usd == pytest.approx(requests_usd)
    assert made.usd == pytest.approx(gpu_usd + cpu_usd + requests_usd)
    assert made.stages_usd == pytest.approx({"predict": gpu_usd * 3 / 4, "read": gpu_usd / 4 + cpu_usd})
    assert made.prices == KIOSK


@pytest.mark.parametrize("machine", [Machine(), Machine(name="toaster-3000"), Machine(name="c9-huge", region="moon")])
def test_what_has_no_price_is_left_open_not_free(machine: Machine) -> None:
    made = bill(Usage(machine=machine, seconds=3600), Usage(machine=CPU, seconds=3600))
    assert [line.usd for line in made.lines] == [None, pytest.approx(0.19)]
    assert made.usd is None and made.requests_usd is None
    costs = Sums([made]).costs("2026-05")
    assert (costs.usd, costs.unpriced_seconds) == (pytest.approx(0.19), 3600)


def test_a_job_that_took_nothing_costs_nothing() -> None:
    assert bill().usd == 0


@given(st.lists(st.tuples(st.sampled_from([T4, CPU]), st.floats(1, 1e6), st.floats(0.1, 10), st.floats(0, 10))))
def test_the_stages_are_the_machines(parts: list[tuple[Machine, float, float, float]]) -> None:
    made = bill(
        *(
            Usage(machine=machine, seconds=seconds, stage_seconds={"predict": predict, "read": read})
            for machine, seconds, predict, read in parts
        )
    )
    assert math.fsum(made.stages_usd.values()) == pytest.approx(math.fsum(line.usd or 0 for line in made.lines))


def test_a_month_is_summed_by_user_the_dearest_first_and_by_day() -> None:
    hour = Usage(machine=CPU, seconds=3600)
    bills = [
        bill(hour, job="a"),
        bill(hour, hour, job="b", owner="bea", day=1),
        bill(hour, job="c", owner="bea", day=3),
    ]
    costs = Sums(bills).costs("2026-05", budget_usd=5)
    assert [(user.owner, user.jobs, user.images) for user in costs.users] == [("bea", 2, 200), ("ann", 1, 100)]
    assert [user.usd for user in costs.users] == pytest.approx([3 * 0.19, 0.19])
    assert costs.days_usd == pytest.approx((0.19, 2 * 0.19, 0, 0.19))
    assert costs.usd == pytest.approx(4 * 0.19)


def test_an_empty_month_costs_nothing() -> None:
    costs = Sums().costs("2026-05")
    assert (costs.usd, costs.users, costs.days_usd) == (0, (), ())
