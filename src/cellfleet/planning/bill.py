"""From what a job took and what it costs to the bill. Pure; knows no store and no job's state.

Machine seconds times the price of the machine, requests times the price of requests. What nobody's price table knows
is left open rather than taken for nothing. Not in the bill: what machines idle and take to start (the cluster's, not
the job's), storage by the month, and traffic that leaves the cloud.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import starmap
from typing import Final, NamedTuple

from cellfleet.errors import UsageError
from cellfleet.planning.prices import Prices, Quote
from cellfleet.spec.job import FINAL_JOB_STATES, JobState
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
    state: JobState
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
        final=subject.state in FINAL_JOB_STATES,
        complete=subject.state == "done",
        submitted_ms=subject.submitted_ms,
        lines=lines,
        stages_usd=_by_stage(lines),
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


class Sums:
    """What bills of one month come to, by user and day. Grows bill by bill, so none of them needs to be kept."""

    def __init__(self, bills: Iterable[Bill] = ()) -> None:
        """Begin with these."""
        self.users: dict[str, UserSums] = defaultdict(UserSums)
        """By name."""
        for bill in bills:
            self.add(bill)

    @classmethod
    def of(cls, users: Mapping[str, UserSums]) -> Sums:
        """Return the sums of these users, by name."""
        sums = cls()
        sums.users.update(users)
        return sums

    def add(self, bill: Bill) -> None:
        """Add a bill."""
        user, usd = self.users[bill.owner], known_usd(bill)
        user.jobs += 1
        user.images += bill.images
        user.pixels += bill.pixels
        user.seconds += math.fsum(line.seconds for line in bill.lines)
        user.gpu_seconds += math.fsum(line.gpu_seconds for line in bill.lines)
        user.unpriced_seconds += math.fsum(line.seconds for line in bill.lines if line.usd is None)
        user.usd += usd
        user.days[datetime.fromtimestamp(bill.submitted_ms / 1000, UTC).day] += usd

    def copy(self) -> Sums:
        """Return sums that grow on their own."""
        other = Sums()
        for owner, user in self.users.items():
            other.users[owner] = replace(user, days=user.days.copy())
        return other

    @property
    def usd(self) -> float:
        """Of all users together, of what has a price."""
        return math.fsum(user.usd for user in self.users.values())

    def costs(
        self, month: str, owner: str | None = None, *, budget_usd: float | None = None, paused: bool = False
    ) -> Costs:
        """Return the sums of one user, or of all, the dearest first."""
        users = {name: user for name, user in self.users.items() if owner in {None, name}}
        days = defaultdict[int, float](float)
        for user in users.values():
            for day, usd in user.days.items():
                days[day] += usd
        return Costs(
            month=month,
            budget_usd=budget_usd,
            usd=math.fsum(user.usd for user in users.values()),
            unpriced_seconds=math.fsum(user.unpriced_seconds for user in users.values()),
            days_usd=tuple(days[day] for day in range(1, max(days, default=0) + 1)),
            users=tuple(sorted(starmap(_of_user, users.items()), key=lambda user: (-user.usd, user.owner))),
            paused=paused,
        )


@dataclass
class UserSums:
    """What the bills of a user come to."""

    jobs: int = 0
    images: int = 0
    pixels: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    unpriced_seconds: float = 0.0
    usd: float = 0.0
    days: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Day of the month → USD."""


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
        stage_seconds=usage.stage_seconds,
    )


def _by_stage(lines: Sequence[BillLine]) -> dict[str, float]:
    """Divide what machines cost by what threads did on them, machine by machine."""
    stages: dict[str, float] = defaultdict(float)
    for line in lines:
        for stage, usd in line.stages_usd.items():
            stages[stage] += usd
    return dict(stages)


def _of_user(owner: str, user: UserSums) -> UserCosts:
    return UserCosts(
        owner=owner,
        jobs=user.jobs,
        images=user.images,
        pixels=user.pixels,
        seconds=user.seconds,
        gpu_seconds=user.gpu_seconds,
        usd=user.usd,
    )
