"""What the simulated kiosk promises: all images done, bounds kept, and the swings that its law has."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.planning.formulas import StartUp, bound_seconds
from cellfleet.planning.policies import CODE, PAPER_PLAIN, PAPER_TENTH, PaperPolicy, Reading
from cellfleet.planning.simulator import uploaded
from cellfleet.planning.simulator_kiosk import Kiosk, KioskOutcome, simulate_kiosk

START_UP = StartUp(allocate_seconds=120, pull_seconds=180, load_seconds=10, warm_up_seconds=3)


def run(images: int, per_second: float, policy: PaperPolicy, *, images_per_key: int = 1) -> KioskOutcome:
    """A run as the paper's, with 6.3 images a second on a V100."""
    kiosk = Kiosk(policy, 6.3, 2.8, 3.4, START_UP, images_per_key=images_per_key)
    return simulate_kiosk(uploaded(images, per_task=100, per_second=per_second), kiosk)


@settings(deadline=None, max_examples=40)
@given(
    images=st.integers(1, 2000),
    per_second=st.one_of(st.just(math.inf), st.floats(0.5, 300)),
    max_gpus=st.integers(1, 8),
    reading=st.sampled_from([CODE, PAPER_TENTH, PAPER_PLAIN]),
    growth=st.sampled_from([None, 1.5, 2.0]),
)
def test_every_image_passes_a_server_once_and_no_run_beats_its_bounds(
    images: int, per_second: float, max_gpus: int, reading: Reading, growth: float | None
) -> None:
    policy = PaperPolicy(max_gpus, reading=reading, max_growth=growth)
    outcome = run(images, per_second, policy)
    assert outcome.images == images
    assert outcome.server_busy_seconds == pytest.approx(images / 6.3)
    assert outcome.makespan_seconds >= bound_seconds(images, per_second, max_gpus, 6.3) * (1 - 1e-9)
    assert outcome.server_seconds >= outcome.server_busy_seconds
    assert all(before.seconds < after.seconds for before, after in pairwise(outcome.timeline))
    assert max(sample.servers for sample in outcome.timeline) <= max_gpus
    assert max(sample.consumers for sample in outcome.timeline) <= 150 * max_gpus


def test_equal_runs_are_equal() -> None:
    policy = PaperPolicy(4, reading=CODE)
    assert run(20_000, 20, policy) == run(20_000, 20, policy)


def test_the_papers_90_minutes() -> None:
    # 100 000 images, 4 GPUs, 240 Mbps: between the upload's 83 minutes and what the installed rule makes of it.
    paper = run(100_000, 20, PaperPolicy(4, reading=PAPER_TENTH)).makespan_seconds / 60
    code = run(100_000, 20, PaperPolicy(4, reading=CODE)).makespan_seconds / 60
    assert 83 < paper < 90 < code < 100


def test_bundling_images_leaves_times_and_machine_hours() -> None:
    policy = PaperPolicy(8, reading=PAPER_TENTH)
    single = run(100_000, 200, policy)
    bundled = run(100_000, 200, policy, images_per_key=10)
    assert bundled.makespan_seconds == pytest.approx(single.makespan_seconds, rel=0.03)
    assert bundled.server_seconds == pytest.approx(single.server_seconds, rel=0.03)


def test_bundling_leaves_the_keys_that_the_rule_counts() -> None:
    policy = PaperPolicy(4, reading=CODE)
    single = run(20_000, 200, policy)
    bundled = run(20_000, 200, policy, images_per_key=10)
    peak, bundled_peak = (max(sample.waiting for sample in one.timeline) for one in (single, bundled))
    assert bundled_peak == pytest.approx(peak, rel=0.05)
    assert bundled.makespan_seconds == pytest.approx(single.makespan_seconds, rel=0.1)


def test_consumers_at_most_double_or_grow_to_four_at_a_step() -> None:
    ready = [sample.consumers for sample in run(20_000, math.inf, PaperPolicy(8)).timeline]
    assert all(after <= max(2 * before, 4) for before, after in pairwise(ready))
    assert max(ready) > 100


def test_a_machine_that_is_not_there_yet_is_not_billed() -> None:
    outcome = run(1000, math.inf, PaperPolicy(1))
    assert outcome.server_seconds == pytest.approx(outcome.makespan_seconds - START_UP.allocate_seconds, abs=10)


def test_the_installed_rule_swings_where_the_papers_formula_stands() -> None:
    # On one GPU consumers pass the bound of 150; the rule then shrinks them by a quarter at a time, and full GPUs ask
    # for one consumer only: the GPU idles a fifth of the time.
    paper = run(100_000, 20, PaperPolicy(1, reading=PAPER_TENTH))
    code = run(100_000, 20, PaperPolicy(1, reading=CODE))
    assert paper.server_busy_seconds / paper.server_seconds > 0.95
    assert code.server_busy_seconds / code.server_seconds < 0.85
    assert min(sample.consumers for sample in code.timeline[100:-100]) == 1


def test_servers_go_when_every_queue_is_empty() -> None:
    outcome = run(1000, math.inf, PaperPolicy(4))
    assert outcome.server_seconds < 4 * (outcome.makespan_seconds + 10)
