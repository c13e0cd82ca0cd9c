"""Plans: the formulas give what a hand gives, sizes of a cluster are in order, the bottleneck is the right one."""

from __future__ import annotations

import dataclasses
import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import UsageError
from cellfleet.planning.formulas import StartUp
from cellfleet.planning.plan import PIECE_PIXELS, Wanted, make_plan, start_up
from cellfleet.planning.prices import KIOSK, load_prices
from cellfleet.planning.simulator import FixedPool, Fleet, simulate, uploaded
from cellfleet.planning.speeds import Rate, rate_on
from cellfleet.spec.plan import Counted, Hardware, Plan, PlanRequest, Speed

MODEL = "a" * 64
HERE = Hardware(cpu="EPYC", threads=4)
T4 = Hardware(cpu="", threads=8, gpu="nvidia-tesla-t4", machine="n1-standard-8+nvidia-tesla-t4:1")
TODAY = date(2026, 11, 24)


def counted(images: int, pixels: int) -> Counted:
    return Counted(images=images, pixels=pixels, bytes=2 * pixels, looked_at=images)


def rate(seconds: float, **more: float) -> Rate:
    known = {"gpu_seconds": 0.0, "cpu_seconds": seconds, "load_seconds": 0.0, "warm_up_seconds": 0.0} | more
    return Rate(seconds, 1.0, 1.0, stage_seconds={}, source="by hand", **known)  # type: ignore[arg-type]


def plan(images: Counted, pace: Rate, wanted: Wanted) -> Plan:
    return make_plan(images, pace, wanted, load_prices(KIOSK), date(2019, 6, 18))


def test_a_plan_on_one_machine_is_pixels_times_speed() -> None:
    found = plan(counted(10, 20_000_000), rate(0.5), Wanted("m:1", "here", HERE, 1, fixed_workers=True))
    [size] = found.sizes
    assert size.seconds.likely == pytest.approx(10.0) and size.machine_seconds.likely == pytest.approx(10.0)
    assert (size.on_demand_usd, found.cheapest, found.fastest, found.bottleneck) == (None, None, 1, "cpu")
    assert found.images_per_second == pytest.approx(1.0) and found.workers_to_keep_up is None


def test_the_kiosks_hundred_thousand_images_are_bound_by_its_upload() -> None:
    """100 000 images of 1.5 MB over 250 Mbit/s bring 20.8 a second; a V100 that does 4.6 needs five beside it."""
    quote = load_prices(KIOSK).machine("n1-highmem-2+nvidia-tesla-v100:1")
    images = counted(100_000, 100_000 * 1_382_400)
    wanted = Wanted("m:1", "server", HERE, 8, quote, spot=True, upload_bytes=100_000 * 1_500_000, upload_mbps=250)
    found = plan(images, rate(1 / 4.6 / 1.3824, gpu_seconds=1.0), wanted)
    assert found.arrivals_per_second == pytest.approx(20.83, abs=0.01)
    assert found.workers_to_keep_up == 5 and [size.workers for size in found.sizes] == [1, 2, 4, 5, 8]
    assert found.upload_seconds == pytest.approx(4800.0) and found.bottleneck == "upload"
    assert found.fastest == 5, "the upload takes 80 min, and more than five workers wait for it"
    five = found.sizes[3]
    assert five.seconds.likely == pytest.approx(4800 + 1 / 4.6, rel=1e-6)
    machines = 5 * five.seconds.likely / 3600 * (0.025 + 0.74)
    requests = 100_000 / 10_000 * (3 * 0.004 + 5 * 0.05)
    assert five.spot_usd is not None and five.spot_usd.likely == pytest.approx(machines + requests)


def test_the_start_up_is_waited_for_but_its_first_part_is_not_paid() -> None:
    quote = load_prices().machine("n1-standard-8+nvidia-tesla-t4:1", "us-central1")
    found = make_plan(counted(4, 4_000_000), rate(10.0), Wanted("m:1", "cloud", T4, 4, quote), load_prices(), TODAY)
    four = found.sizes[-1]
    assert [phase.name for phase in found.start_up] == ["allocate", "pull", "load", "warm up"]
    assert four.seconds.likely == pytest.approx(120 + 150 + 10)
    assert four.machine_seconds.likely == pytest.approx(4 * (150 + 10))
    assert found.bottleneck == "start-up"
    assert four.on_demand_usd is not None
    requests = 4 / 10_000 * (3 * 0.004 + 5 * 0.05)
    assert four.on_demand_usd.likely == pytest.approx(4 * 160 / 3600 * 0.73 + requests)


def test_workers_that_run_already_need_no_start() -> None:
    assert start_up("server", rate(1.0)) == () and start_up("here", rate(1.0)) != ()


def test_every_start_up_phase_tells_where_its_number_is_from() -> None:
    unmeasured = Rate(1.0, 1.0, 1.0, 0.0, 1.0, None, None, {}, "")
    for place in ("here", "cloud", "slurm"):
        for phases in (start_up(place, unmeasured), start_up(place, rate(1.0))):  # type: ignore[arg-type]
            assert all(phase.source for phase in phases)
    assert start_up("here", unmeasured) == ()


@given(
    st.integers(1, 100_000),
    st.floats(0.01, 50.0),
    st.floats(0.01, 20.0),
    st.integers(1, 300),
    st.sampled_from([0, 10**9, 10**12]),
)
def test_more_workers_are_never_slower_and_never_less_machine_time_than_the_work(
    images: int, megapixels: float, pace: float, workers: int, upload: int
) -> None:
    pixels = round(images * megapixels * 1e6)
    wanted = Wanted("m:1", "cloud", T4, workers, upload_bytes=upload, upload_mbps=100.0)
    found = make_plan(counted(images, pixels), rate(pace), wanted, None, TODAY)
    seconds = [size.seconds.likely for size in found.sizes]
    assert seconds == sorted(seconds, reverse=True)
    work = pixels / 1e6 * pace
    start = sum(phase.seconds for phase in found.start_up)
    piece = work / max(images, math.ceil(pixels / PIECE_PIXELS))
    for size in found.sizes:
        assert size.machine_seconds.likely >= work * (1 - 1e-9)
        if not upload:
            assert size.machine_seconds.likely <= (work + size.workers * (start + piece)) * (1 + 1e-9)
        assert size.seconds.low <= size.seconds.likely <= size.seconds.high
    assert found.fastest in [size.workers for size in found.sizes]


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("mbps", [None, 80.0, 8000.0])
def test_the_formula_agrees_with_the_simulator_where_nothing_is_taken_back(workers: int, mbps: float | None) -> None:
    images, pace = 600, 0.8
    todo = counted(images, images * 2_000_000)
    upload = todo.bytes if mbps else 0
    wanted = Wanted("m:1", "cloud", T4, workers, upload_bytes=upload, upload_mbps=mbps)
    found = make_plan(todo, rate(pace), wanted, None, TODAY)
    times = {phase.name.replace(" ", "_"): phase.seconds for phase in found.start_up}
    start = StartUp(*(times.get(name, 0.0) for name in ("allocate", "pull", "load", "warm_up")))
    per_second = found.arrivals_per_second or math.inf
    outcome = simulate(
        uploaded(images, per_task=1, per_second=per_second),
        Fleet(FixedPool(workers, idle_seconds=1e6), seconds_per_image=2.0 * pace, start_up=start),
    )
    assert found.sizes[-1].seconds.likely == pytest.approx(outcome.makespan_seconds, rel=0.02)


def test_a_gpu_or_a_processor_is_named_as_what_bounds() -> None:
    wanted = Wanted("m:1", "server", T4, 2)
    assert plan(counted(100, 10**8), rate(1.0, gpu_seconds=1.0, cpu_seconds=0.3), wanted).bottleneck == "gpu"
    assert plan(counted(100, 10**8), rate(1.0, gpu_seconds=0.2, cpu_seconds=1.0), wanted).bottleneck == "cpu"


def test_a_spot_price_that_is_not_known_is_an_error_where_spot_is_wanted() -> None:
    quote = load_prices().machine("g4dn.xlarge", "us-east-1")
    with pytest.raises(UsageError, match="E742"):
        make_plan(counted(1, 10**6), rate(1.0), Wanted("m:1", "cloud", T4, 1, quote, spot=True), load_prices(), TODAY)


def test_an_upload_of_unknown_speed_and_old_prices_are_told() -> None:
    quote = load_prices(KIOSK).machine("n1-standard-1")
    wanted = Wanted("m:1", "cloud", HERE, 1, quote, upload_bytes=10**6)
    found = make_plan(counted(1, 10**6), rate(1.0), wanted, load_prices(KIOSK), TODAY)
    assert {told.code for told in found.notices} == {"W703", "W706"} and found.priced == KIOSK


# --- speeds


def speed(hardware: Hardware, megapixels: float = 100.0, **stages: float) -> Speed:
    on_gpu = stages.get("predict", 0.0) if hardware.gpu else 0.0
    rest = sum(stages.values()) - on_gpu
    return Speed(
        model=MODEL,
        hardware=hardware,
        images=100,
        megapixels=megapixels,
        seconds=max(on_gpu, rest / hardware.threads),
        stage_seconds=stages,
    )


def test_a_speed_that_was_measured_is_taken_as_it_is() -> None:
    found = rate_on([speed(HERE, predict=300.0, postprocess=100.0)], HERE)
    assert found.seconds_per_megapixel == pytest.approx(1.0) and found.slower < 1.2 and not found.notices


def of_images(
    sizes: list[float], by_image: float, by_megapixel: float, hardware: Hardware = HERE, **stages: float
) -> Speed:
    """Return the sums over images of these megapixels."""
    seconds = [by_image + by_megapixel * size for size in sizes]
    return Speed(
        model=MODEL,
        hardware=hardware,
        images=len(sizes),
        megapixels=sum(sizes),
        seconds=sum(seconds) / hardware.threads,
        stage_seconds=stages or {"predict": sum(seconds)},
        squared_megapixels=sum(size**2 for size in sizes),
        weighted_seconds=sum(size * took for size, took in zip(sizes, seconds, strict=True)),
    )


@given(st.floats(0.0, 10.0), st.floats(0.001, 10.0), st.lists(st.floats(0.1, 4.0), min_size=1, max_size=20))
def test_what_every_image_takes_is_told_from_what_its_pixels_take(
    by_image: float, by_megapixel: float, sizes: list[float]
) -> None:
    found = rate_on([of_images([*sizes, 0.05, 8.0], by_image, by_megapixel)], HERE)
    assert found.seconds_per_image == pytest.approx(by_image / 4, rel=1e-4, abs=1e-4)
    assert found.seconds_per_megapixel == pytest.approx(by_megapixel / 4, rel=1e-4, abs=1e-4)


def test_of_images_of_one_size_writing_the_files_is_taken_for_what_every_image_takes() -> None:
    alike = of_images([2.0] * 10, 1.0, 1.0, predict=18.0, write=12.0)
    found = rate_on([alike], HERE)
    assert found.seconds_per_image == pytest.approx(1.2 / 4)
    assert found.seconds_per_megapixel == pytest.approx(0.9 / 4)


def test_a_gpu_that_bounds_the_work_does_it_by_the_pixel() -> None:
    measured = of_images([1.0, 3.0], 0.1, 1.0, T4, predict=4.0, write=0.2)
    assert rate_on([measured], T4).seconds_per_image == 0.0


def test_a_plan_adds_what_images_take_to_what_pixels_take() -> None:
    both = rate(0.5)
    [size] = plan(
        counted(10, 20_000_000),
        dataclasses.replace(both, seconds_per_image=2.0),
        Wanted("m:1", "here", HERE, 1, fixed_workers=True),
    ).sizes
    assert size.machine_seconds.likely == pytest.approx(10 * 2.0 + 20 * 0.5)


def test_only_a_bucket_counts_requests() -> None:
    prices = load_prices(KIOSK)
    quote = prices.machine("n1-standard-4", "")
    costs = []
    for in_bucket in (True, False):
        wanted = Wanted("m:1", "server", HERE, 1, quote=quote, in_bucket=in_bucket)
        [size] = plan(counted(10_000, 20_000_000), rate(0.5), wanted).sizes
        assert size.on_demand_usd is not None
        costs.append(size.on_demand_usd.likely)
    assert costs[0] - costs[1] == pytest.approx(3 * 0.004 + 5 * 0.05)


def test_twice_the_threads_are_twice_as_fast() -> None:
    found = rate_on([speed(HERE, predict=300.0, postprocess=100.0)], HERE.model_copy(update={"threads": 8}))
    assert found.seconds_per_megapixel == pytest.approx(0.5) and found.slower > 1.2


def test_more_threads_beside_a_gpu_do_not_make_it_faster_than_the_gpu() -> None:
    measured = speed(Hardware(cpu="Xeon", threads=2, gpu="Tesla T4"), predict=50.0, postprocess=200.0)
    assert measured.seconds == 100.0
    found = rate_on([measured], T4)
    assert found.seconds_per_megapixel == pytest.approx(0.5), "the processor's 2 s/8 threads are 0.25: the GPU bounds"
    assert found.gpu_seconds > found.cpu_seconds and not found.notices


def test_a_processor_stands_in_for_a_gpu_that_nobody_measured_and_it_is_told() -> None:
    found = rate_on([speed(HERE, predict=300.0, postprocess=100.0)], T4)
    assert found.seconds_per_megapixel == pytest.approx(0.5)
    assert [notice.code for notice in found.notices] == ["W704"] and found.faster > found.slower


def test_a_gpu_says_nothing_of_a_processor() -> None:
    with pytest.raises(UsageError, match="E750"):
        rate_on([speed(Hardware(cpu="Xeon", threads=2, gpu="Tesla T4"), predict=50.0)], HERE)


def test_the_same_machine_goes_before_the_same_gpu_and_more_before_less() -> None:
    like = speed(Hardware(cpu="Xeon", threads=8, gpu="NVIDIA T4"), 1000.0, predict=900.0)
    same = speed(T4.model_copy(update={"cpu": "Xeon", "gpu": "Tesla T4"}), 10.0, predict=5.0)
    assert rate_on([like, same], T4).seconds_per_megapixel == pytest.approx(0.5)
    assert rate_on([like], T4).seconds_per_megapixel == pytest.approx(0.9)


def test_measurements_of_several_workers_add_up() -> None:
    fast, slow = speed(HERE, 300.0, predict=300.0), speed(HERE, 100.0, predict=900.0)
    assert rate_on([fast, slow], HERE).seconds_per_megapixel == pytest.approx((75 + 225) / 400)


def test_what_a_plan_is_asked_for_is_either_inputs_or_a_count() -> None:
    for wrong in ({}, {"inputs": ("set:1",), "counted": counted(1, 1)}):
        with pytest.raises(ValueError, match="either"):
            PlanRequest(**wrong)  # type: ignore[arg-type]
