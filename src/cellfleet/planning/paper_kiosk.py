"""The figures of the DeepCell Kiosk's paper, simulated: time and cost of 10 000 to a million images on 1 to 8 GPUs.

The paper is Bannon et al. 2021, "DeepCell Kiosk: scaling deep learning-enabled cellular image analysis with Kubernetes"
(doi 10.1038/s41592-020-01023-0); constants that it does not print are those of the programs that its figures were made
with (github.com/vanvalenlab: publication-figures, kiosk-client, kiosk-console). The same runs are simulated with
cellfleet's workers. Every number here is a simulation's, but for `PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from cellfleet.planning.formulas import StartUp, images_per_second, workers_to_keep_up
from cellfleet.planning.paper import Cell, Table, table
from cellfleet.planning.plan import READS_PER_IMAGE, WRITES_PER_IMAGE
from cellfleet.planning.policies import CODE, PAPER_TENTH, PaperPolicy, Reading, WorkPolicy
from cellfleet.planning.prices import KIOSK, Price, Prices, load_prices
from cellfleet.planning.simulator import Fleet, Outcome, simulate, uploaded
from cellfleet.planning.simulator_kiosk import Kiosk, KioskOutcome, simulate_kiosk

IMAGES: Final = (10_000, 100_000, 1_000_000)
GPUS: Final = (1, 4, 8)
MBPS: Final = (240, 2400)
IMAGES_PER_ZIP: Final = 100
MEGABYTES: Final = 1.5
"""Of an image of 1280 × 1080 pixels."""
RESULT_MEGABYTES: Final = 0.0056
TENSOR_MEGABYTES: Final = 11.010048
"""An image's tiles as float32, as the kiosk sends them to a server; two heads come back, each as large."""
MEGAPIXELS: Final = 1280 * 1080 / 2**20

V100_IMAGES_PER_SECOND: Final = 1_000_000 / (8 * 5.5 * 3600)
"""6.3: what a million images in 5.5 hours on eight GPUs make. The paper says "5–10 frames per second" of such GPUs."""
BEFORE_SECONDS, AFTER_SECONDS = 2.8, 3.4
"""A consumer's own time on an image: transfers 1.3 s and post-processing 1.0 s, the middles of the axes of the paper's
histograms (a server's images are moved twice as often, which is in the axis), and 3.9 s to encode and decode tensors,
measured (docs/reference/paper-figures.md). Before and after the server."""
CPU_PER_CONSUMER: Final = 0.3
"""vCPUs that a consumer requests."""
START_UP: Final = StartUp(allocate_seconds=120, pull_seconds=180, load_seconds=10, warm_up_seconds=3)
"""Of a GPU machine, as DeepCell on Google Batch saw it."""
CPU_SECONDS_PER_MEGAPIXEL: Final = 0.33
"""Of cellfleet without a GPU, end to end on one thread: benchmarks/results/end_to_end.md."""
CPU_MACHINE_VCPUS: Final = 16

ZONES: Final = 2
_REGION: Final = "us-central1"
TASK_IMAGES: Final = 20


class Published(NamedTuple):
    """What the paper prints."""

    images: int
    gpus: int
    mbps: int
    hours: float
    dollars: float


PUBLISHED: Final = (Published(100_000, 4, 240, 1.5, 10.0), Published(1_000_000, 8, 2400, 5.5, 250.0))
"""The preprint's "~90 min" and "~$10"; the article's "~5.5 h for ~US$250, with a cost below US$100 achievable". The
second names no cluster: of theirs only eight GPUs at 2.4 Gbps can do it."""


@dataclass(frozen=True)
class Scenario:
    """One cell of the paper's grid."""

    images: int
    gpus: int
    mbps: int

    @property
    def per_second(self) -> float:
        """Images that the upload brings."""
        return images_per_second(self.mbps, MEGABYTES)


@cache
def run_kiosk(scenario: Scenario, reading: Reading) -> KioskOutcome:
    """Simulate the kiosk with one reading of its law."""
    kiosk = Kiosk(
        PaperPolicy(scenario.gpus, reading=reading),
        V100_IMAGES_PER_SECOND,
        BEFORE_SECONDS,
        AFTER_SECONDS,
        START_UP,
        images_per_key=max(1, min(20, scenario.images // 10_000)),
    )
    bundles = uploaded(scenario.images, per_task=IMAGES_PER_ZIP, per_second=scenario.per_second)
    return simulate_kiosk(bundles, kiosk)


@cache
def run_cellfleet(scenario: Scenario, *, images_per_second_each: float = V100_IMAGES_PER_SECOND) -> Outcome:
    """Simulate cellfleet's workers, as many at most as the kiosk has GPUs, each as fast as one of the kiosk's servers.

    They start when the first images arrive, and are gone when nothing is left and the cool-down has passed. One task to
    each: with more the fleet swings under a steady upload, because start-up is long.
    """
    policy = WorkPolicy(scenario.gpus, tasks_per_worker=1.0, cool_down_seconds=60.0)
    fleet = Fleet(policy, 1.0 / images_per_second_each, start_up=START_UP)
    bundles = uploaded(scenario.images, per_task=TASK_IMAGES, per_second=scenario.per_second)
    return simulate(bundles, fleet)


class Bill(NamedTuple):
    """A run's parts in USD."""

    gpu: float
    cpu: float
    data: float
    zones: float
    """Traffic between zones."""

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def label(prices: Prices) -> str:
    """Name a table by its newest row's date."""
    return str(max(row.date for row in prices.rows))


def _machine(prices: Prices, *names: str) -> float:
    """Spot price of the first of these machines that the table has; in the paper's region, if it has that."""
    region = _REGION if prices.machines(_REGION) else ""
    known = {row.name for row in prices.machines(region)}
    name = next((name for name in names if name.partition("+")[0] in known), names[-1])
    return prices.machine(name, region).hourly(spot=True)


def _unit(prices: Prices, *name: str) -> float:
    """Price of storage, transfer or requests; where the table lacks it, the kiosk's of 2019."""
    kind, what = name
    found: Price | None = None
    for source in (prices, load_prices(KIOSK)):
        found = found or source.unit(kind, what, _REGION, provider="gcp")  # type: ignore[arg-type]
    assert found is not None, f"the kiosk's table has every unit, so {name}, too"
    return found.on_demand


def gpu_machine(prices: Prices) -> float:
    """USD an hour of a V100 and its host as spot machine; where the table lacks n1-highmem-2, on n1-standard-2."""
    return _machine(prices, "n1-highmem-2+nvidia-tesla-v100:1", "n1-standard-2+nvidia-tesla-v100:1")


def cpu_hour(prices: Prices) -> float:
    """USD an hour of a vCPU of a spot machine."""
    return _machine(prices, "n1-standard-4") / 4


def _storage(prices: Prices, images: int, hours: float) -> float:
    gigabytes = images * (MEGABYTES + RESULT_MEGABYTES) / 1000
    # The figures' program counts half: inputs are there longer than results.
    kept = 0.5 * gigabytes * hours / (24 * 30) * _unit(prices, "storage", "standard")
    return kept + images * RESULT_MEGABYTES / 1000 * _unit(prices, "egress", "internet")


def kiosk_bill(outcome: KioskOutcome, prices: Prices) -> Bill:
    """What a run of the kiosk costs, counted as the paper's figures do, on spot machines, as its installer has them."""
    images = outcome.images
    requests = (2 * IMAGES_PER_ZIP + 1) * images / IMAGES_PER_ZIP / 10_000
    operations = requests * (_unit(prices, "operations", "write") + _unit(prices, "operations", "read"))
    moved = images * 3 * TENSOR_MEGABYTES / 1000
    return Bill(
        gpu=outcome.server_seconds / 3600 * gpu_machine(prices),
        cpu=outcome.consumer_seconds / 3600 * CPU_PER_CONSUMER * cpu_hour(prices),
        data=_storage(prices, images, outcome.makespan_seconds / 3600) + operations,
        zones=moved * (1 - 1 / ZONES) * _unit(prices, "egress", "inter-zone"),
    )


def cellfleet_bill(outcome: Outcome, prices: Prices) -> Bill:
    """What the same costs with cellfleet on the same machines: no consumers, and no pixels between zones."""
    return Bill(
        gpu=outcome.billed_seconds / 3600 * gpu_machine(prices),
        cpu=0.0,
        data=_cellfleet_data(outcome, prices),
        zones=0.0,
    )


def cpu_bill(outcome: Outcome, prices: Prices) -> Bill:
    """What cellfleet without GPUs costs, on spot machines of `CPU_MACHINE_VCPUS`."""
    cpu = outcome.billed_seconds / 3600 * CPU_MACHINE_VCPUS * cpu_hour(prices)
    return Bill(gpu=0.0, cpu=cpu, data=_cellfleet_data(outcome, prices), zones=0.0)


def _cellfleet_data(outcome: Outcome, prices: Prices) -> float:
    reads = READS_PER_IMAGE * _unit(prices, "operations", "read")
    writes = WRITES_PER_IMAGE * _unit(prices, "operations", "write")
    requests = outcome.images / 10_000 * (reads + writes)
    return _storage(prices, outcome.images, outcome.makespan_seconds / 3600) + requests


def run_cpus(scenario: Scenario) -> Outcome:
    """Simulate cellfleet on CPU machines, as many at most as the upload needs."""
    speed = CPU_MACHINE_VCPUS / (CPU_SECONDS_PER_MEGAPIXEL * MEGAPIXELS)
    machines = workers_to_keep_up(scenario.per_second, speed)
    return run_cellfleet(Scenario(scenario.images, machines, scenario.mbps), images_per_second_each=speed)


def grid() -> list[Scenario]:
    """Every cell of the paper's grid."""
    return [Scenario(images, gpus, mbps) for mbps in MBPS for gpus in GPUS for images in IMAGES]


SYSTEMS: Final = ("kiosk, paper's formula", "kiosk, installed rule", "cellfleet")


def _runs(scenario: Scenario, prices: Prices) -> Sequence[tuple[str, float, float, Bill]]:
    """Each system's hours, GPU hours and bill."""
    found = []
    for system, reading in zip(SYSTEMS, (PAPER_TENTH, CODE), strict=False):
        kiosk = run_kiosk(scenario, reading)
        found.append((system, kiosk.makespan_seconds, kiosk.server_seconds, kiosk_bill(kiosk, prices)))
    ours = run_cellfleet(scenario)
    found.append((SYSTEMS[2], ours.makespan_seconds, ours.billed_seconds, cellfleet_bill(ours, prices)))
    return [(system, span / 3600, gpu / 3600, bill) for system, span, gpu, bill in found]


def time_and_cost(prices: Prices) -> Table:
    """Fig. 2b and 2c, and the same at the other upload speed (S5, S6)."""
    rows: list[dict[str, Cell]] = []
    for scenario in grid():
        bound = scenario.images / scenario.per_second / 3600
        for system, hours, gpu_hours, bill in _runs(scenario, prices):
            row: dict[str, Cell] = {
                "images": scenario.images,
                "gpus": scenario.gpus,
                "upload_mbps": scenario.mbps,
                "system": system,
                "upload_hours": bound,
                "hours": hours,
                "gpu_hours": gpu_hours,
            }
            rows.append(row | {f"{part}_usd": value for part, value in bill._asdict().items()})
            rows[-1]["total_usd"] = bill.total
    return table(f"deepcell-time-and-cost-{label(prices)}", "Time and cost of the paper's runs", rows)


def sizing() -> Table:
    """S1: GPUs that an upload can keep busy, by the speed of the network (d = N s)."""
    rows: list[dict[str, Cell]] = []
    for mbps in (10, 50, 250, 700, 1200, 1800, 2400, 3000):
        for step in range(231):
            speed = 0.5 * 10 ** (step / 100)
            # Theirs: an image of one byte per pixel, and rounded down, so that no GPU ever waits.
            theirs = max(1, round(mbps / (speed * 1280 * 1080 * 8 / 1e6) - 0.5))
            ours = workers_to_keep_up(images_per_second(mbps, MEGABYTES), speed)
            rows.append({"upload_mbps": mbps, "images_per_second": speed, "gpus_paper": theirs, "gpus_cellfleet": ours})
    return table("deepcell-sizing", "GPUs that keep up with an upload", rows)


def online() -> Table:
    """Machines over time for 100 000 images, 4 GPUs, 240 Mbps."""
    scenario = Scenario(100_000, 4, 240)
    rows: list[dict[str, Cell]] = []
    for system, reading in zip(SYSTEMS, (PAPER_TENTH, CODE), strict=False):
        rows += [
            _online(system, sample.seconds, sample.waiting, sample.servers, sample.consumers)
            for sample in run_kiosk(scenario, reading).timeline[::4]
        ]
    rows += [
        _online(SYSTEMS[2], sample.seconds, sample.waiting * TASK_IMAGES, sample.ready, 0)
        for sample in run_cellfleet(scenario).timeline[::4]
    ]
    return table("deepcell-online", "Resources online", rows)


def _online(system: str, seconds: float, waiting: int, gpus: int, consumers: int) -> dict[str, Cell]:
    return {
        "system": system,
        "minutes": seconds / 60,
        "images_waiting": waiting,
        "gpus": gpus,
        "consumers": consumers,
    }


def headline(tables: Sequence[Prices]) -> Table:
    """The two runs that the paper prints, by the prices of several tables."""
    rows: list[dict[str, Cell]] = []
    for published in PUBLISHED:
        scenario = Scenario(published.images, published.gpus, published.mbps)
        for prices in tables:
            for system, hours, _, bill in _runs(scenario, prices):
                rows.append(_headline(published, label(prices), system, hours, bill))
            cpus = run_cpus(scenario)
            bill = cpu_bill(cpus, prices)
            rows.append(_headline(published, label(prices), "cellfleet, no GPU", cpus.makespan_seconds / 3600, bill))
    return table("deepcell-headline", "The paper's two printed runs", rows)


def _headline(published: Published, prices: str, system: str, hours: float, bill: Bill) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "images": published.images,
        "published_hours": published.hours,
        "published_usd": published.dollars,
        "prices": prices,
        "system": system,
        "hours": hours,
    }
    row |= {f"{part}_usd": value for part, value in bill._asdict().items()}
    row["total_usd"] = bill.total
    return row
