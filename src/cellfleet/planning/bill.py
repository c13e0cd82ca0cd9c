"""From what a job took and what it costs to the bill. Pure; knows no store and no job's state.

Machine seconds times the price of the machine, requests times the price of requests. What nobody's price table knows
is left open rather than taken for nothing. Not in the bill: what machines idle and take to start (the cluster's, not
the job's), storage by the month, and traffic that leaves the cloud.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple

from cellfleet.errors import UsageError
from cellfleet.planning.prices import Prices, Quote
from cellfleet.spec.usage import Bill, BillLine, Costs, Machine, Usage, UserCosts

_HOUR: Final = 3600.0
_COUNTED: Final = 10_000
"""Requests for which a table states a price."""


@dataclass(frozen=True)
class Tariff:
    """What a bill asks of a price table; None where the table has no answer."""

    prices: Prices

    def usd_per_hour(self, machine: Machine) -> float | None:
        """Return the price of a machine with its accelerators."""
        quote = self._quote(machine)
        try:
            return None if quote is None else quote.hourly(spot=machine.spot)
        except UsageError:  # no source states a spot price
            return None

    def usd_for_requests(self, machine: Machine, reads: int, writes: int) -> float | None:
        """Return the price of requests to the bucket beside a machine."""
        quote = self._quote(machine)
        if quote is None:
            return None
        wanted = {"read": reads, "write": writes}
        rows = {name: self.prices.unit("operations", name, machine.region, provider=quote.provider) for name in wanted}
        if any(row is None for row in rows.values()):
            return None
        return math.fsum(row.on_demand * wanted[name] / _COUNTED for name, row in rows.items() if row is not None)

    def _quote(self, machine: Machine) -> Quote | None:
        try:
            return self.prices.machine(machine.name, machine.region) if machine.name else None
        except UsageError:  # the table has no such machine
            return None


class Subject(NamedTuple):
    """Of which job a bill is."""

    job: str
    name: str
    owner: str
    final: bool
    submitted_ms: int
    images: int
    pixels: int


def make_bill(subject: Subject, usages: Sequence[Usage], tariff: Tariff) -> Bill:
    """Make out a bill."""
    lines = tuple(_line(usage, tariff) for usage in usages)
    known = [line.usd for line in lines if line.usd is not None]
    machines_usd = math.fsum(known) if len(known) == len(lines) else None
    requests = [tariff.usd_for_requests(usage.machine, usage.reads, usage.writes) for usage in usages]
    requests_usd = math.fsum(filter(None, requests)) if None not in requests else None
    return Bill(
        job=subject.job,
        name=subject.name,
        owner=subject.owner,
        final=subject.final,
        submitted_ms=subject.submitted_ms,
        lines=lines,
        stages_usd=_by_stage(lines, usages),
        reads=sum(usage.reads for usage in usages),
        writes=sum(usage.writes for usage in usages),
        read_bytes=sum(usage.read_bytes for usage in usages),
        written_bytes=sum(usage.written_bytes for usage in usages),
        requests_usd=requests_usd,
        usd=None if machines_usd is None else machines_usd + (requests_usd or 0.0),
        prices=tariff.prices.name,
        images=subject.images,
        pixels=subject.pixels,
    )


def costs_of(month: str, bills: Iterable[Bill], *, budget_usd: float | None = None, paused: bool = False) -> Costs:
    """Sum up the bills of a month, by user, the dearest first."""
    ordered = sorted(bills, key=lambda bill: bill.owner)
    users = [_of_user(owner, list(group)) for owner, group in groupby(ordered, key=lambda bill: bill.owner)]
    days: dict[int, float] = defaultdict(float)
    for bill in ordered:
        days[datetime.fromtimestamp(bill.submitted_ms / 1000, UTC).day] += known_usd(bill)
    return Costs(
        month=month,
        budget_usd=budget_usd,
        usd=math.fsum(user.usd for user in users),
        unpriced_seconds=math.fsum(line.seconds for bill in ordered for line in bill.lines if line.usd is None),
        days_usd=tuple(days[day] for day in range(1, max(days, default=0) + 1)),
        users=tuple(sorted(users, key=lambda user: (-user.usd, user.owner))),
        paused=paused,
    )


def known_usd(bill: Bill) -> float:
    """Return what of a bill has a price."""
    return math.fsum(line.usd for line in bill.lines if line.usd is not None) + (bill.requests_usd or 0.0)


def _line(usage: Usage, tariff: Tariff) -> BillLine:
    price = tariff.usd_per_hour(usage.machine)
    return BillLine(
        machine=usage.machine,
        seconds=usage.seconds,
        gpu_seconds=usage.seconds * usage.machine.gpus,
        usd_per_hour=price,
        usd=None if price is None else price * usage.seconds / _HOUR,
    )


def _by_stage(lines: Sequence[BillLine], usages: Sequence[Usage]) -> dict[str, float]:
    """Divide what machines cost by what threads did on them, machine by machine."""
    stages: dict[str, float] = defaultdict(float)
    for line, usage in zip(lines, usages, strict=True):
        total = math.fsum(usage.stage_seconds.values())
        if line.usd and total:
            for stage, seconds in usage.stage_seconds.items():
                stages[stage] += line.usd * seconds / total
    return dict(stages)


def _of_user(owner: str, bills: Sequence[Bill]) -> UserCosts:
    lines = [line for bill in bills for line in bill.lines]
    return UserCosts(
        owner=owner,
        jobs=len(bills),
        images=sum(bill.images for bill in bills),
        pixels=sum(bill.pixels for bill in bills),
        seconds=math.fsum(line.seconds for line in lines),
        gpu_seconds=math.fsum(line.gpu_seconds for line in lines),
        usd=math.fsum(known_usd(bill) for bill in bills),
    )
