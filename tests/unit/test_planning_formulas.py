"""The formulas give the numbers that the papers print."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.planning.formulas import (
    Jobs,
    StartUp,
    bound_seconds,
    images_per_second,
    md_c_wait_seconds,
    mm_c_wait_seconds,
    pull_seconds,
    set_up_share,
    workers_to_keep_up,
)

IDEAL = Jobs(jobs=15, nodes=4, allocate_seconds=0, set_up_seconds=108, run_seconds=72)
"""The blog's thought: 15 jobs of 3 minutes, 60 % of it set-up, on 4 GPUs."""


def minutes(seconds: float) -> float:
    return round(seconds / 60, 2)


def test_an_ideal_pool_turns_12_minutes_into_6_point_6() -> None:
    assert IDEAL.waves == 4
    assert minutes(IDEAL.no_pool_seconds) == 12.0
    assert minutes(IDEAL.cold_pool_seconds) == 6.6
    assert minutes(IDEAL.saved_seconds) == 5.4


def test_the_saving_grows_by_a_step_with_every_wave() -> None:
    saved = [minutes(Jobs(jobs, 4, 0, 108, 72).saved_seconds) for jobs in (1, 4, 5, 8, 9, 12, 13, 15, 16)]
    assert saved == [0, 0, 1.8, 1.8, 3.6, 3.6, 5.4, 5.4, 5.4]


def test_the_measured_triple_of_the_blog() -> None:
    without = Jobs(jobs=15, nodes=4, allocate_seconds=0, set_up_seconds=450, run_seconds=37.5)
    pool = Jobs(jobs=15, nodes=4, allocate_seconds=0, set_up_seconds=300, run_seconds=37.5)
    assert minutes(without.no_pool_seconds) == 32.5
    assert minutes(pool.cold_pool_seconds) == 7.5
    assert minutes(pool.warm_pool_seconds) == 2.5
    assert round(1 - pool.warm_pool_seconds / without.no_pool_seconds, 2) == 0.92
    assert pool.work_seconds == without.work_seconds == 15 * 37.5


@pytest.mark.parametrize(
    ("start_up", "expected"),
    [
        (StartUp(allocate_seconds=120, pull_seconds=180, load_seconds=10, warm_up_seconds=3), 6.85),
        (StartUp(), 1.63),
        (StartUp(pull_seconds=120, load_seconds=10, warm_up_seconds=3), 3.85),
    ],
)
def test_workers_that_keep_the_model(start_up: StartUp, expected: float) -> None:
    assert minutes(pull_seconds(15, 4, start_up, task_seconds=24.5)) == expected


def test_only_the_machine_that_is_there_is_billed() -> None:
    start_up = StartUp(allocate_seconds=120, pull_seconds=180, load_seconds=10, warm_up_seconds=3)
    assert (start_up.seconds, start_up.billed_seconds) == (313, 193)


@pytest.mark.parametrize(("job_minutes", "percent"), [(1, 75.0), (30, 9.1), (100, 2.9)])
def test_the_share_of_a_three_minute_set_up(job_minutes: float, percent: float) -> None:
    assert round(100 * set_up_share(180, 60 * job_minutes), 1) == percent


def test_the_papers_upload_speeds_in_images() -> None:
    assert images_per_second(240, 1.5) == 20  # a zip of 100 images every 5 seconds
    assert images_per_second(2400, 1.5) == 200


@pytest.mark.parametrize(
    ("arrivals", "speed", "expected"), [(20, 6, 4), (24, 6, 4), (24.1, 6, 5), (200, 6, 34), (1, 6, 1)]
)
def test_the_sizing_law(arrivals: float, speed: float, expected: int) -> None:
    assert workers_to_keep_up(arrivals, speed) == expected


def test_a_run_is_bound_by_its_slower_side() -> None:
    assert minutes(bound_seconds(100_000, 20, 4, 6)) == 83.33  # the upload
    assert minutes(bound_seconds(100_000, 20, 1, 6)) == 277.78  # the GPU


def test_waiting_times_of_the_textbooks() -> None:
    # M/M/1 and M/D/1 at 80 %: 4 and 2 service times. M/M/2 at 80 %: Erlang C 0.7111.
    assert mm_c_wait_seconds(0.8, 1.0, 1) == pytest.approx(4.0)
    assert md_c_wait_seconds(0.8, 1.0, 1) == pytest.approx(2.0)
    assert mm_c_wait_seconds(1.6, 1.0, 2) == pytest.approx(0.71111 / 0.4, rel=1e-4)
    # With nearly no slack equal tasks wait half as long, however many servers.
    assert md_c_wait_seconds(7.999, 1.0, 8) == pytest.approx(0.5 * mm_c_wait_seconds(7.999, 1.0, 8), rel=1e-3)
    assert math.isinf(md_c_wait_seconds(2.0, 1.0, 2))
    assert md_c_wait_seconds(0.0, 1.0, 2) == 0


@given(load=st.floats(0.05, 0.95), servers=st.integers(1, 64))
def test_equal_tasks_wait_less_than_random_ones_and_at_least_half(load: float, servers: int) -> None:
    arrivals = load * servers
    random_tasks = mm_c_wait_seconds(arrivals, 1.0, servers)
    equal_tasks = md_c_wait_seconds(arrivals, 1.0, servers)
    # Below 20 % of load the approximation for many servers is too high, where nobody waits anyway.
    assert equal_tasks >= 0.5 * random_tasks
    assert equal_tasks <= random_tasks or load < 0.5
