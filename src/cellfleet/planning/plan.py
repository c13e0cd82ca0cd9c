"""How long it will take and what it will cost: one pure function of what was counted, measured and priced.

    work      pixels × seconds per megapixel + images × seconds per image, in pieces (images, or parts of them)
    N workers start-up + ⌈pieces ÷ N⌉ × seconds per piece, and not before the upload and one piece more
    cost      N × (that − allocation) × price per hour, and requests to the bucket
    d = N · s the upload brings d images a second, a worker does s of them: N keep up, more of them wait

Pieces start as they arrive, so upload, start-up and work overlap. Spot machines that are taken back, which cost at most
a piece each, are left out. The simulator (`simulator.py`) agrees where nothing is taken back; a test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from cellfleet.errors import Notice, UsageError
from cellfleet.planning.formulas import images_per_second, workers_to_keep_up
from cellfleet.planning.prices import Price, Prices, Quote, stale
from cellfleet.planning.speeds import Rate, said
from cellfleet.spec.plan import Bottleneck, Counted, Hardware, Phase, Place, Plan, Size, Span
from cellfleet.spec.record import Told

PIECE_PIXELS: Final = 16_000_000
"""About what a block of a large image has."""
ASSUMED_MBPS: Final = 100.0
"""Upload where nobody said how fast it is, megabits a second."""
READS_PER_IMAGE, WRITES_PER_IMAGE = 3, 5
"""Requests to a bucket: the image's listing, header and pixels; labels, table, thumbnail, record and usage."""

_AS_FAST: Final = 1.02
"""A cluster that takes so much longer than another counts as fast as it."""
_START_UP_SPREAD: Final = 1.5
"""Factor up and down of a start-up that nobody measured."""
_BLOG = "DeepCell on Google Batch, 2024"
_CLOUD = (
    Phase(name="allocate", seconds=120.0, source=f"{_BLOG}: 5 min from nothing, 3 of them set-up"),
    Phase(name="pull", seconds=150.0, source=f"{_BLOG}: 2–3 min for an image of 3 GB"),
)
_SLURM = (Phase(name="allocate", seconds=0.0, source="the time in the queue is not known"),)
_LOAD, _WARM_UP = 10.0, 2.5
"""Seconds, of the same source."""


@dataclass(frozen=True)
class Wanted:
    """What is planned for."""

    model: str
    """``name:version``."""
    place: Place
    hardware: Hardware
    """Of one worker."""
    max_workers: int
    quote: Quote | None = None
    """What a worker's machine costs; None: nobody knows."""
    spot: bool = False
    upload_bytes: int = 0
    upload_mbps: float | None = None
    """None: not known."""
    in_bucket: bool = True
    """Images and results are in one, which counts requests."""
    unnamed_gpus: bool = False
    """A worker has a GPU, and nobody said of which kind."""
    fixed_workers: bool = False
    """There are `max_workers`, and no other number of them."""


def make_plan(counted: Counted, rate: Rate, wanted: Wanted, prices: Prices | None, today: date) -> Plan:
    """Return the plan.

    Args:
        counted: What is to do.
        rate: How fast one worker is.
        wanted: Where it is to be done.
        prices: The table that the quote is from; None where no price is asked for.
        today: For the warning of old prices.

    Raises:
        UsageError: E742, spot machines are wanted and their price is not known.
    """
    if wanted.spot and wanted.quote is not None:
        wanted.quote.hourly(spot=True)
    mbps = wanted.upload_mbps or (ASSUMED_MBPS if wanted.upload_bytes else None)
    upload = wanted.upload_bytes * 8.0 / (mbps * 1e6) if mbps else 0.0
    load = _Load(counted, rate, start_up(wanted.place, rate), upload)
    arrivals = images_per_second(mbps, wanted.upload_bytes / counted.images / 1e6) if mbps and upload else None
    keep_up = None if arrivals is None else workers_to_keep_up(arrivals, load.images_per_second)
    bill = _Bill(wanted.quote, prices if wanted.in_bucket else None, counted)
    sizes = tuple(_size(workers, load, bill) for workers in _numbers(wanted, keep_up))
    shortest = min(size.seconds.likely for size in sizes)
    fastest = next(size for size in sizes if size.seconds.likely <= shortest * _AS_FAST)
    return Plan(
        counted=counted,
        model=wanted.model,
        machine="" if wanted.quote is None else str(wanted.quote.machine),
        region="" if wanted.quote is None else wanted.quote.region,
        workers_on=said(wanted.hardware),
        seconds_per_megapixel=_span(rate.seconds_per_megapixel, rate.faster, rate.slower),
        seconds_per_image=rate.seconds_per_image,
        speed_source=rate.source,
        stage_seconds=rate.stage_seconds,
        upload_bytes=wanted.upload_bytes,
        upload_mbps=mbps,
        upload_seconds=upload,
        start_up=load.start_up,
        sizes=sizes,
        images_per_second=load.images_per_second,
        arrivals_per_second=arrivals,
        workers_to_keep_up=keep_up,
        cheapest=_cheapest(sizes, spot=wanted.spot),
        fastest=fastest.workers,
        bottleneck=load.bottleneck(fastest.workers),
        prices=prices.name if prices is not None and wanted.quote is not None else "",
        priced=min((row.date.isoformat() for row in bill.rows), default=""),
        notices=_notices(rate, wanted, counted, stale(bill.rows, today)),
    )


def start_up(place: Place, rate: Rate) -> tuple[Phase, ...]:
    """Return what a worker does before its first task; nothing where workers run already."""
    if place == "server":
        return ()
    before = {"here": (), "cloud": _CLOUD, "slurm": _SLURM}[place]
    phases = list(before)
    for name, measured, otherwise in (("load", rate.load_seconds, _LOAD), ("warm up", rate.warm_up_seconds, _WARM_UP)):
        if measured is not None:
            phases.append(Phase(name=name, seconds=measured, source="measured"))
        elif place != "here":
            phases.append(Phase(name=name, seconds=otherwise, source=_BLOG))
    return tuple(phases)


@dataclass(frozen=True)
class _Load:
    """What there is to do, and how long it takes."""

    counted: Counted
    rate: Rate
    start_up: tuple[Phase, ...]
    upload_seconds: float

    @property
    def images_per_second(self) -> float:
        """That one worker does."""
        return self.counted.images / self.work_seconds if self.work_seconds > 0 else math.inf

    @property
    def work_seconds(self) -> float:
        """That one worker takes for all."""
        by_pixels = self.counted.pixels / 1e6 * self.rate.seconds_per_megapixel
        return by_pixels + self.counted.images * self.rate.seconds_per_image

    def seconds(self, workers: int, *, pace: float = 1.0, start: float = 1.0) -> float:
        """Return the time to the last result when work takes `pace` and start-up `start` times what is likely."""
        pieces = max(self.counted.images, math.ceil(self.counted.pixels / PIECE_PIXELS))
        piece = self.work_seconds * pace / pieces
        ready = self.start_seconds * start
        worked = ready + math.ceil(pieces / workers) * piece
        arrived = max(self.upload_seconds, ready) + piece if self.upload_seconds else 0.0
        return max(worked, arrived)

    @property
    def start_seconds(self) -> float:
        return sum(phase.seconds for phase in self.start_up)

    @property
    def free_seconds(self) -> float:
        """Until the machine is there, and paid."""
        return sum(phase.seconds for phase in self.start_up if phase.name == "allocate")

    def bottleneck(self, workers: int) -> Bottleneck:
        """Return what takes longest."""
        work = self.work_seconds / workers
        if self.upload_seconds > max(work, self.start_seconds):
            return "upload"
        if self.start_seconds > work:
            return "start-up"
        return "gpu" if self.rate.gpu_seconds > self.rate.cpu_seconds else "cpu"


class _Bill:
    """What machine time and requests cost; remembers the rows of the table that it asked."""

    def __init__(self, quote: Quote | None, prices: Prices | None, counted: Counted) -> None:
        self.quote = quote
        self.rows: tuple[Price, ...] = () if quote is None else quote.rows
        self.requests_usd = 0.0
        for name, count in (("read", READS_PER_IMAGE), ("write", WRITES_PER_IMAGE)):
            if quote is None or prices is None:
                continue
            row = prices.unit("operations", name, quote.region, provider=quote.provider)
            if row is not None:
                self.rows += (row,)
                self.requests_usd += count * counted.images / 10_000 * row.on_demand

    def cost(self, machine_seconds: Span, *, spot: bool) -> Span | None:
        """Return what it costs; None where the price is not known."""
        hourly = None if self.quote is None else (self.quote.spot if spot else self.quote.on_demand)
        if hourly is None:
            return None
        low, likely, high = (
            seconds / 3600.0 * hourly + self.requests_usd
            for seconds in (machine_seconds.low, machine_seconds.likely, machine_seconds.high)
        )
        return Span(low=low, likely=likely, high=high)


def _size(workers: int, load: _Load, bill: _Bill) -> Size:
    spread, free = _START_UP_SPREAD, load.free_seconds
    low = load.seconds(workers, pace=1 / load.rate.faster, start=1 / spread)
    high = load.seconds(workers, pace=load.rate.slower, start=spread)
    seconds = Span(low=low, likely=load.seconds(workers), high=high)
    paid = Span(
        low=workers * (low - free / spread),
        likely=workers * (seconds.likely - free),
        high=workers * (high - free * spread),
    )
    return Size(
        workers=workers,
        seconds=seconds,
        machine_seconds=paid,
        on_demand_usd=bill.cost(paid, spot=False),
        spot_usd=bill.cost(paid, spot=True),
    )


def _numbers(wanted: Wanted, keep_up: int | None) -> list[int]:
    """Return the sizes that are worth a line: 1, 2, 4, …, the most, and what keeps up with the upload."""
    if wanted.fixed_workers:
        return [wanted.max_workers]
    doubling = {2**power for power in range(wanted.max_workers.bit_length())}
    return sorted(number for number in doubling | {wanted.max_workers, keep_up or 1} if number <= wanted.max_workers)


def _cheapest(sizes: Sequence[Size], *, spot: bool) -> int | None:
    """Return the number of workers that costs least; of equal ones the most, because they are faster."""
    costs = [(size.spot_usd if spot else size.on_demand_usd, size.workers) for size in sizes]
    known = [(round(cost.likely, 6), -workers) for cost, workers in costs if cost is not None]
    return -min(known)[1] if known else None


def _span(likely: float, faster: float, slower: float) -> Span:
    return Span(low=likely / faster, likely=likely, high=likely * slower)


def _notices(rate: Rate, wanted: Wanted, counted: Counted, old: Notice | None) -> tuple[Told, ...]:
    told = list(rate.notices)
    if old is not None:
        told.append(old)
    if counted.unreadable:
        text = f"{counted.unreadable} of {counted.looked_at} images that were looked at cannot be read."
        told.append(Notice("W705", text))
    if wanted.upload_bytes and wanted.upload_mbps is None:
        text = f"How fast uploads are is not known; taken as {ASSUMED_MBPS:.0f} Mbit/s. --upload-mbps says it."
        told.append(Notice("W706", text))
    if wanted.unnamed_gpus:
        text = (
            "The workers have GPUs of a kind that nobody named; reckoned as if the processor did their work: times are "
            "upper bounds. --machine, or machine of the fleet, names it."
        )
        told.append(Notice("W708", text))
    if wanted.spot:
        text = (
            "Spot machines may be taken back; each time at most one piece of work is done again, which is not reckoned."
        )
        told.append(Notice("W707", text))
    return tuple(Told(code=notice.code, what=notice.text) for notice in told)


def refuse_gpus_apart(quote: Quote) -> None:
    """Refuse a machine with several GPUs: one worker uses one. Raises `UsageError` E751."""
    if quote.gpus > 1:
        raise UsageError(
            "E751",
            f"{quote.machine} has {quote.gpus} GPUs, and a worker uses one",
            action="Plan with one GPU per machine and more machines",
        )
