"""What the autoscaling policies promise: truth tables that the chart's formulas are tested against, too."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.planning.policies import (
    CODE,
    PAPER_PLAIN,
    PAPER_TENTH,
    Hpa,
    KioskReplicas,
    KioskSigns,
    PaperPolicy,
    Reading,
    WorkPolicy,
    consumer_metric,
    hpa_replicas,
    kiosk_replicas,
    scale_up_limit,
    server_switch,
    stabilised,
    work_replicas,
)


@pytest.mark.parametrize(
    ("waiting", "leased", "workers", "expected"),
    [
        (0, 0, 0, 0),
        (1, 0, 0, 1),  # from zero
        (35, 0, 0, 4),  # 35 tasks, 10 to each
        (40, 0, 1, 4),
        (41, 0, 4, 4),  # 2.5 % above: the HPA's tolerance
        (85, 0, 8, 8),  # 6 % above, as seen on a real control plane
        (89, 0, 8, 9),
        (0, 40, 4, 4),  # in flight counts as much as waiting
        (0, 3, 4, 1),
        (10_000, 0, 4, 16),  # the most
        (10_000, 0, 16, 16),
    ],
)
def test_workers_follow_what_waits_and_what_is_in_flight(
    waiting: int, leased: int, workers: int, expected: int
) -> None:
    policy = WorkPolicy(max_workers=16, tasks_per_worker=10)
    assert work_replicas(policy, waiting=waiting, leased=leased, workers=workers) == expected


@pytest.mark.parametrize(
    ("idle_seconds", "min_workers", "expected"),
    [(0, 0, 1), (299, 0, 1), (300, 0, 0), (900, 0, 0), (0, 2, 2), (900, 2, 2)],
)
def test_the_last_worker_goes_after_the_cool_down(idle_seconds: float, min_workers: int, expected: int) -> None:
    policy = WorkPolicy(max_workers=16, min_workers=min_workers, cool_down_seconds=300)
    wanted = work_replicas(policy, waiting=0, leased=0, workers=5, idle_seconds=idle_seconds)
    assert wanted == expected


@given(
    waiting=st.integers(0, 10**6),
    leased=st.integers(0, 10**3),
    workers=st.integers(0, 50),
    least=st.integers(0, 3),
)
def test_ours_stays_within_its_bounds_and_never_stops_while_there_is_work(
    waiting: int, leased: int, workers: int, least: int
) -> None:
    policy = WorkPolicy(max_workers=50, min_workers=least, tasks_per_worker=7)
    wanted = work_replicas(policy, waiting=waiting, leased=leased, workers=workers, idle_seconds=1e9)
    assert least <= wanted <= 50
    assert wanted >= 1 or waiting + leased == 0


@pytest.mark.parametrize(
    ("metric", "current", "expected"),
    [
        (0.15, 10, 10),
        (0.164, 10, 10),  # 9 % above
        (0.165, 10, 10),  # exactly 10 % above
        (0.166, 10, 12),
        (0.135, 10, 10),  # exactly 10 % below
        (0.134, 10, 9),
        (0.65, 3, 13),  # 13.000000000000002 is no 14
        (1.0, 1, 7),
        (0.0, 10, 1),
        (1.0, 100, 600),
        (1.0, 0, 0),  # asleep
    ],
)
def test_the_hpa_rounds_up_beyond_its_tolerance(metric: float, current: int, expected: int) -> None:
    assert hpa_replicas(Hpa(target=0.15, min_replicas=1, max_replicas=600), metric=metric, current=current) == expected


def test_a_capped_step_equals_a_clamped_metric() -> None:
    law = Hpa(target=0.15, min_replicas=1, max_replicas=600)
    capped = Hpa(target=0.15, min_replicas=1, max_replicas=600, max_growth=2.0)
    for current in range(1, 300):
        for metric in (0.0, 0.1, 0.2, 0.3, 0.31, 0.9, 1.0):
            clamped = hpa_replicas(law, metric=min(metric, 0.30), current=current)
            assert hpa_replicas(capped, metric=metric, current=current) == clamped <= 2 * current


def test_going_down_waits_for_the_most_of_the_window() -> None:
    assert stabilised(8, 2, recent=[6, 3]) == 6
    assert stabilised(8, 2, recent=[9]) == 8
    assert stabilised(8, 2, recent=[]) == 2
    assert stabilised(4, 8, recent=[2, 9]) == 8


def test_one_step_up_was_a_doubling_or_four() -> None:
    assert [scale_up_limit(current) for current in (1, 2, 3, 10)] == [4, 4, 6, 20]


@pytest.mark.parametrize(
    ("reading", "waiting", "gpu_percent", "servers", "consumers", "expected"),
    [
        # no server: nothing
        (CODE, 1000, 0, 0, 10, 0.0),
        (PAPER_TENTH, 1000, 0, 0, 10, 0.0),
        # idle GPUs, many keys: all slack
        (CODE, 100_000, 0, 1, 10, 1.0),
        (PAPER_PLAIN, 100_000, 0, 1, 10, 1.0),
        # the GPUs' slack is the smaller
        (CODE, 100_000, 85, 1, 10, 0.15),
        (PAPER_TENTH, 100_000, 85, 1, 10, 0.15),
        # the keys are the smaller: here the readings differ
        (CODE, 50, 20, 1, 10, 0.05),
        (PAPER_TENTH, 50, 20, 1, 10, 0.5),
        (PAPER_PLAIN, 50, 20, 1, 10, 0.8),
        (PAPER_PLAIN, 5, 20, 1, 10, 0.5),
        # no keys
        (CODE, 0, 20, 1, 10, 0.0),
        # at the bound, and beyond it
        (CODE, 100_000, 0, 1, 150, 1.0),
        (PAPER_TENTH, 100_000, 0, 1, 150, 0.135),
        (CODE, 100_000, 0, 1, 151, 0.1125),
        (PAPER_PLAIN, 100_000, 0, 1, 151, 0.135),
        (CODE, 100_000, 0, 4, 600, 1.0),
        (CODE, 100_000, 0, 4, 601, 0.1125),
        # no consumer yet counts as one
        (CODE, 50, 0, 1, 0, 0.5),
    ],
)
def test_the_kiosks_consumer_metric(
    reading: Reading, waiting: int, gpu_percent: float, servers: int, consumers: int, expected: float
) -> None:
    policy = PaperPolicy(max_gpus=4, reading=reading)
    metric = consumer_metric(policy, KioskSigns(waiting, 0, gpu_percent), KioskReplicas(servers, consumers))
    assert metric == pytest.approx(expected)


@pytest.mark.parametrize(
    ("work_of_queues", "servers", "expected"),
    [([], 0, 0), ([0, 0], 0, 0), ([1], 0, 1), ([500, 3], 0, 1), ([1, 0], 4, 4), ([0, 0], 4, 0), ([0, 1], 1, 1)],
)
def test_the_kiosks_switch_goes_to_zero_only_when_every_queue_is_empty(
    work_of_queues: list[int], servers: int, expected: int
) -> None:
    assert server_switch(work_of_queues, servers=servers) == expected


@pytest.mark.parametrize(
    ("gpu_percent", "servers", "expected"),
    [(70, 2, 2), (77, 2, 2), (78, 2, 3), (100, 2, 3), (100, 3, 4), (62, 4, 4), (35, 4, 2), (1, 4, 1), (0, 0, 1)],
)
def test_the_kiosks_servers_follow_their_gpus(gpu_percent: float, servers: int, expected: int) -> None:
    policy = PaperPolicy(max_gpus=4)
    signs = KioskSigns(waiting=10_000, processing=10, gpu_percent=gpu_percent)
    assert kiosk_replicas(policy, signs, KioskReplicas(servers, 10)).servers == expected


def settle(
    policy: PaperPolicy, *, busy_per_consumer_percent: float, steps: int = 60, window: int = 20
) -> list[KioskReplicas]:
    """Both loops against GPUs that each consumer keeps busy for its share, with keys without end."""
    replicas, wanted = [KioskReplicas(0, 1)], [KioskReplicas(0, 1)]
    for _ in range(steps):
        now = replicas[-1]
        gpu_percent = min(100.0, busy_per_consumer_percent * now.consumers / now.servers) if now.servers else 0.0
        wanted.append(kiosk_replicas(policy, KioskSigns(10**9, now.consumers, gpu_percent), now))
        recent = wanted[-window:] if window else []
        servers = stabilised(now.servers, wanted[-1].servers, [one.servers for one in recent])
        consumers = stabilised(now.consumers, wanted[-1].consumers, [one.consumers for one in recent])
        replicas.append(KioskReplicas(servers, consumers))
    return replicas


def test_the_kiosks_two_loops_push_each_other_to_the_most_servers() -> None:
    # Consumers rest at 85 % of the GPUs, servers at 70 %: there is no point where both rest below the most.
    replicas = settle(PaperPolicy(max_gpus=8), busy_per_consumer_percent=5.0)
    assert max(one.servers for one in replicas) == 8


def test_full_gpus_send_the_consumers_to_one_and_the_law_swings() -> None:
    policy = PaperPolicy(max_gpus=8)
    full = KioskSigns(waiting=10**9, processing=146, gpu_percent=100.0)
    assert kiosk_replicas(policy, full, KioskReplicas(8, 146)).consumers == 1
    # Waiting with going down does not help: full GPUs ask for one consumer all the time.
    consumers = [one.consumers for one in settle(policy, busy_per_consumer_percent=5.0, steps=200)]
    most = consumers.index(max(consumers))
    assert consumers[most] > 100 and min(consumers[most:]) == 1


def test_beyond_the_bound_the_code_shrinks_and_the_paper_stands_still() -> None:
    signs = KioskSigns(10**9, 160, 10.0)
    beyond = KioskReplicas(1, 160)
    assert kiosk_replicas(PaperPolicy(max_gpus=8, reading=CODE), signs, beyond).consumers == 120
    assert kiosk_replicas(PaperPolicy(max_gpus=8, reading=PAPER_TENTH), signs, beyond).consumers == 160


def test_a_capped_step_keeps_the_consumers_from_running_away() -> None:
    free = settle(PaperPolicy(max_gpus=8), busy_per_consumer_percent=0.1)
    capped = settle(PaperPolicy(max_gpus=8, max_growth=2.0), busy_per_consumer_percent=0.1)
    assert max(after.consumers / before.consumers for before, after in pairwise(free)) > 6
    assert max(after.consumers / before.consumers for before, after in pairwise(capped)) <= 2


def test_without_keys_the_kiosk_gives_its_servers_back() -> None:
    policy = PaperPolicy(max_gpus=8)
    assert kiosk_replicas(policy, KioskSigns(0, 0, 0.0), KioskReplicas(8, 1200)) == KioskReplicas(0, 1)
    # one stranded list of keys in work keeps every GPU on
    assert kiosk_replicas(policy, KioskSigns(0, 1, 80.0), KioskReplicas(8, 1200)).servers == 8
