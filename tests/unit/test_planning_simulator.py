"""What the simulated fleet promises: all work done once, more workers never slower, queues as in the books."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.planning.formulas import Jobs, StartUp, bound_seconds, md_c_wait_seconds, pull_seconds
from cellfleet.planning.policies import WorkPolicy
from cellfleet.planning.simulator import Bundle, FixedPool, Fleet, Outcome, Spot, at_random, simulate, uploaded

BLOG_START_UP = StartUp(allocate_seconds=120, pull_seconds=180, load_seconds=10, warm_up_seconds=3)
POLICIES = st.one_of(
    st.builds(FixedPool, workers=st.integers(1, 8), idle_seconds=st.floats(0, 100)),
    st.builds(
        WorkPolicy,
        max_workers=st.integers(1, 8),
        tasks_per_worker=st.floats(0.5, 10),
        cool_down_seconds=st.floats(0, 200),
    ),
)
START_UPS = st.builds(StartUp, st.floats(0, 100), st.floats(0, 100), st.floats(0, 20), st.floats(0, 5))
FLEETS = st.builds(
    Fleet,
    policy=POLICIES,
    seconds_per_image=st.floats(0.01, 3),
    seconds_per_task=st.floats(0, 5),
    start_up=START_UPS,
    warm_workers=st.integers(0, 3),
    spot=st.one_of(st.none(), st.builds(Spot, st.floats(0.01, 20), st.floats(1, 60))),
)
RUNS = st.builds(
    uploaded,
    st.integers(1, 300),
    per_task=st.integers(1, 20),
    per_second=st.one_of(st.just(math.inf), st.floats(0.1, 50)),
)


@settings(deadline=None, max_examples=60)
@given(bundles=RUNS, fleet=FLEETS, seed=st.integers(0, 5))
def test_every_image_is_done_exactly_once_with_machines_lost_too(
    bundles: list[Bundle], fleet: Fleet, seed: int
) -> None:
    outcome = simulate(bundles, fleet, seed=seed)
    assert outcome.images == sum(bundle.images for bundle in bundles)
    assert not any(math.isnan(moment) for moment in outcome.finished)
    # A second end of a task would have failed inside; a begun task either ended or was lost with its machine.
    assert outcome.tasks <= outcome.attempts <= outcome.tasks + outcome.lost_machines
    assert fleet.spot is not None or outcome.attempts == outcome.tasks


@settings(deadline=None, max_examples=60)
@given(bundles=RUNS, fleet=FLEETS, seed=st.integers(0, 5))
def test_time_goes_forward_and_every_machine_is_billed_at_least_for_its_work(
    bundles: list[Bundle], fleet: Fleet, seed: int
) -> None:
    outcome = simulate(bundles, fleet, seed=seed)
    for bundle, start, end in zip(bundles, outcome.started, outcome.finished, strict=True):
        assert bundle.arrival_seconds <= start < end <= outcome.makespan_seconds
    assert all(before.seconds <= after.seconds for before, after in pairwise(outcome.timeline))
    assert outcome.busy_seconds <= outcome.billed_seconds * (1 + 1e-9)
    assert outcome.timeline[-1].ready == outcome.timeline[-1].starting == 0


@settings(deadline=None, max_examples=60)
@given(bundles=RUNS, fleet=FLEETS, workers=st.integers(1, 12))
def test_more_workers_are_never_slower_when_none_is_lost(bundles: list[Bundle], fleet: Fleet, workers: int) -> None:
    few, more = (run_fixed(bundles, fleet, count) for count in (workers, workers + 1))
    assert more.makespan_seconds <= few.makespan_seconds * (1 + 1e-12)
    assert more.mean_wait_seconds <= few.mean_wait_seconds + 1e-9


def run_fixed(bundles: list[Bundle], fleet: Fleet, workers: int) -> Outcome:
    """The fleet with so many workers and none of them lost."""
    fixed = Fleet(FixedPool(workers), fleet.seconds_per_image, fleet.seconds_per_task, fleet.start_up)
    return simulate(bundles, fixed)


@settings(deadline=None, max_examples=60)
@given(bundles=RUNS, fleet=FLEETS)
def test_no_run_is_shorter_than_its_bounds(bundles: list[Bundle], fleet: Fleet) -> None:
    outcome = simulate(bundles, fleet)
    most = fleet.policy.workers if isinstance(fleet.policy, FixedPool) else fleet.policy.max_workers
    most = max(most, fleet.warm_workers)
    work = outcome.tasks * fleet.seconds_per_task + outcome.images * fleet.seconds_per_image
    assert outcome.makespan_seconds >= bundles[-1].arrival_seconds
    assert outcome.makespan_seconds * most * (1 + 1e-9) >= work


def test_equal_seeds_give_equal_outcomes_and_others_do_not() -> None:
    fleet = Fleet(FixedPool(4), 1.0, start_up=BLOG_START_UP, spot=Spot(preemptions_per_hour=5))
    bundles = uploaded(5000, per_task=10)
    assert simulate(bundles, fleet, seed=3) == simulate(bundles, fleet, seed=3)
    assert simulate(bundles, fleet, seed=3) != simulate(bundles, fleet, seed=4)
    assert simulate(bundles, fleet, seed=3).lost_machines > 0


@pytest.mark.parametrize(("servers", "load"), [(1, 0.8), (2, 0.8), (8, 0.8), (4, 0.5), (16, 0.95)])
def test_random_arrivals_wait_as_the_formula_of_m_d_c_says(servers: int, load: float) -> None:
    bundles = at_random(100_000, per_second=load * servers, seed=1)
    fleet = Fleet(FixedPool(servers), 1.0, warm_workers=servers, decide_every_seconds=10_000)
    waited = simulate(bundles, fleet).mean_wait_seconds
    assert waited == pytest.approx(md_c_wait_seconds(load * servers, 1.0, servers), rel=0.06)


@pytest.mark.parametrize(
    ("start_up", "warm", "minutes"),
    [
        (BLOG_START_UP, 0, 6.85),
        (StartUp(), 4, 1.63),
        (StartUp(pull_seconds=120, load_seconds=10, warm_up_seconds=3), 0, 3.85),
    ],
)
def test_the_blogs_scenario_with_workers_that_keep_the_model(start_up: StartUp, warm: int, minutes: float) -> None:
    fleet = Fleet(FixedPool(4), seconds_per_image=24.5, start_up=start_up, warm_workers=warm)
    outcome = simulate(uploaded(15, per_task=1), fleet)
    assert round(outcome.makespan_seconds / 60, 2) == minutes
    assert outcome.makespan_seconds == pytest.approx(pull_seconds(15, 4, start_up, 24.5))
    assert outcome.busy_seconds == pytest.approx(15 * 24.5)
    assert outcome.billed_seconds == pytest.approx(4 * (start_up.billed_seconds + 4 * 24.5))


def test_the_blogs_pools_come_out_of_the_simulator_too() -> None:
    cold = simulate(uploaded(15, per_task=1), Fleet(FixedPool(4), 37.5, start_up=StartUp(pull_seconds=300)))
    warm = simulate(uploaded(15, per_task=1), Fleet(FixedPool(4), 37.5, warm_workers=4))
    pool = Jobs(jobs=15, nodes=4, allocate_seconds=0, set_up_seconds=300, run_seconds=37.5)
    assert cold.makespan_seconds == pool.cold_pool_seconds == 450
    assert warm.makespan_seconds == pool.warm_pool_seconds == 150


def test_workers_that_are_enough_finish_with_the_upload() -> None:
    # 20 images a second, 4 workers of 6.3: the sizing law says that they keep up.
    fleet = Fleet(WorkPolicy(4), seconds_per_image=1 / 6.3, start_up=BLOG_START_UP)
    outcome = simulate(uploaded(100_000, per_task=100, per_second=20), fleet)
    bound = bound_seconds(100_000, 20, 4, 6.3)
    assert bound <= outcome.makespan_seconds <= bound + 60


def test_a_pools_lost_machine_is_replaced_at_once() -> None:
    fleet = Fleet(FixedPool(1), 10.0, warm_workers=1, spot=Spot(30, lease_seconds=5), decide_every_seconds=1e6)
    outcome = simulate(uploaded(100, per_task=1), fleet, seed=2)
    assert outcome.lost_machines > 0
    assert outcome.makespan_seconds <= 100 * 10 + outcome.lost_machines * (10 + 5)


def test_a_fleet_grows_with_the_work_and_goes_to_zero_after_the_cool_down() -> None:
    policy = WorkPolicy(max_workers=10, tasks_per_worker=2, cool_down_seconds=120)
    bundles = [*uploaded(400, per_task=10), Bundle(20_000.0, 10)]
    outcome = simulate(bundles, Fleet(policy, 1.0, start_up=BLOG_START_UP))
    online = [sample.ready + sample.starting for sample in outcome.timeline]
    assert max(online) == 10
    # Between the two loads and at the end nothing is left on the bill.
    assert next(sample for sample in outcome.timeline if sample.seconds == 15_000).ready == 0
    assert online[-1] == 0
    assert outcome.timeline[-1].seconds <= outcome.makespan_seconds + 120 + 2 * 15


def test_with_one_task_to_each_a_steady_upload_keeps_a_steady_fleet() -> None:
    # 3.2 workers are busy on the average. Four tasks to each ask for one worker where four are needed; while the others
    # start again, work piles up that asks for all eight.
    bundles = uploaded(200_000, per_task=20, per_second=20)
    hours = {
        tasks: simulate(
            bundles, Fleet(WorkPolicy(8, tasks_per_worker=tasks, cool_down_seconds=60), 1 / 6.3, start_up=BLOG_START_UP)
        ).billed_seconds
        / 3600
        for tasks in (1.0, 4.0)
    }
    assert hours[1.0] < 12.5
    assert hours[4.0] > 17


def test_a_million_images_take_seconds() -> None:
    begun = time.process_time()
    fleet = Fleet(WorkPolicy(32, tasks_per_worker=4), 1 / 6.3, start_up=BLOG_START_UP, spot=Spot(0.1))
    outcome = simulate(uploaded(1_000_000, per_task=100, per_second=200), fleet)
    assert outcome.images == 1_000_000 and outcome.tasks == 10_000
    assert time.process_time() - begun < 5
