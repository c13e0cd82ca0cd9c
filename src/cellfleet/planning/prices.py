"""What machines, storage and transfers cost: dated tables, each row with its date and its source.

A table is a CSV file (docs/how-to/plan.md): one row per thing and region, $ per unit on demand and as spot. The package
brings two: what the DeepCell Kiosk reckoned with in 2019, and one of today. Prices are what a source stated on a day;
nothing here asks a provider, and a price that no source states is not there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, get_args

from cellfleet.errors import Notice, UsageError

Provider = Literal["gcp", "aws", "azure"]
Kind = Literal["machine", "gpu", "storage", "egress", "operations", "fee"]

TODAY: Final = "2026-11-23"
"""Name of the table that holds unless another is asked for."""
KIOSK: Final = "2019-06-17"
TABLES: Final = (TODAY, KIOSK)
STALE_DAYS: Final = 180
"""A price older than this is told with a warning."""

_ANYWHERE = "*"
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_COLUMNS: Final = (
    "provider", "region", "kind", "name", "vcpus", "memory_gb", "gpu", "gpus", "unit", "on_demand", "spot", "date",
    "source",
)  # fmt: skip


@dataclass(frozen=True)
class Price:
    """One row: what one unit of one thing costs in one region, according to one source."""

    provider: str
    region: str
    """``*``: the source names none, or it is the same everywhere."""
    kind: Kind
    name: str
    """Machine type, accelerator type, or class of storage, transfer or request."""
    vcpus: int
    """Of a machine; 0 of anything else."""
    memory_gb: float
    gpu: str
    """Accelerator type that a machine comes with and that its price includes; "" for none."""
    gpus: int
    unit: str
    """``hour``, ``GB-month``, ``GB``, ``10k`` (requests) or ``run``; a GB is what the provider counts, 2³⁰ bytes."""
    on_demand: float
    """USD."""
    spot: float | None
    """USD; None: no source states it."""
    date: date
    """The day for which the source states it; where it states none, the day on which it was read."""
    source: str


@dataclass(frozen=True)
class MachineType:
    """A machine with what is plugged into it, as ``n1-standard-8+nvidia-tesla-t4:1`` says it."""

    name: str
    gpu: str = ""
    gpus: int = 0

    def __str__(self) -> str:
        return f"{self.name}+{self.gpu}:{self.gpus}" if self.gpus else self.name


@dataclass(frozen=True)
class Quote:
    """What one machine costs in one region, and what it is."""

    machine: MachineType
    provider: str
    region: str
    vcpus: int
    memory_gb: float
    gpu: str
    """Accelerator, whether it is plugged in or part of the machine; "" for none."""
    gpus: int
    on_demand: float
    """USD an hour."""
    spot: float | None
    """USD an hour; None: no source states it."""
    rows: tuple[Price, ...]
    """What it is added up from."""

    def hourly(self, *, spot: bool) -> float:
        """Return USD an hour.

        Raises:
            UsageError: E742, the table has no spot price for it.
        """
        if not spot:
            return self.on_demand
        if self.spot is None:
            raise UsageError(
                "E742",
                f"the price table has no spot price for {self.machine} in {self.region}",
                action="Plan on demand, or give a table that has it with --prices",
            )
        return self.spot


@dataclass(frozen=True)
class Prices:
    """One table."""

    name: str
    rows: tuple[Price, ...]

    def machine(self, machine: str | MachineType, region: str = "") -> Quote:
        """Return what a machine costs.

        Args:
            machine: Type with its accelerators, such as ``n1-standard-8+nvidia-tesla-t4:1``.
            region: Empty: the first that the table has it in.

        Raises:
            UsageError: E740, the table knows no such machine or accelerator, or the text is none; E741, not there.
        """
        wanted = machine if isinstance(machine, MachineType) else parse_machine(machine)
        host = self._row("machine", wanted.name, region)
        rows: tuple[Price, ...] = (host,)
        gpu, gpus = host.gpu, host.gpus
        on_demand, spot = host.on_demand, host.spot
        if wanted.gpus:
            card = self._row("gpu", wanted.gpu, host.region if region == "" else region)
            rows += (card,)
            gpu, gpus = card.name, host.gpus + wanted.gpus
            on_demand += wanted.gpus * card.on_demand
            spot = None if spot is None or card.spot is None else spot + wanted.gpus * card.spot
        return Quote(
            machine=wanted,
            provider=host.provider,
            region=region or host.region,
            vcpus=host.vcpus,
            memory_gb=host.memory_gb,
            gpu=gpu,
            gpus=gpus,
            on_demand=on_demand,
            spot=spot,
            rows=rows,
        )

    def unit(self, kind: Kind, name: str, region: str, *, provider: str) -> Price | None:
        """Return the row of a class of storage, transfer or request; None where the table has none."""
        found = [row for row in self.rows if (row.provider, row.kind, row.name) == (provider, kind, name)]
        return next((row for row in found if row.region in {region, _ANYWHERE}), None)

    def machines(self, region: str = "") -> tuple[Price, ...]:
        """Return every machine that can be had in a region (empty: anywhere)."""
        return tuple(row for row in self.rows if row.kind == "machine" and _is_in(row, region))

    def _row(self, kind: Kind, name: str, region: str) -> Price:
        named = [row for row in self.rows if row.kind == kind and row.name == name]
        if not named:
            what = "machine type" if kind == "machine" else "accelerator"
            known = sorted({row.name for row in self.rows if row.kind == kind and _is_in(row, region)})
            raise UsageError(
                "E740",
                f"the price table {self.name} has no {what} {name!r}. It has: {', '.join(known) or 'none there'}",
                action="Choose one of these, or give a table of your own with --prices",
            )
        here = next((row for row in named if _is_in(row, region)), None)
        if here is None:
            regions = sorted({row.region for row in named})
            raise UsageError(
                "E741",
                f"the price table {self.name} has no {name} in region {region!r}, but in: {', '.join(regions)}",
                action="Choose one of these with --region, or give a table of your own with --prices",
            )
        return here


def _is_in(row: Price, region: str) -> bool:
    return not region or row.region in {region, _ANYWHERE}


def parse_machine(text: str) -> MachineType:
    """Return the machine that a text names, as the DeepCell team's batch jobs write it.

    Raises:
        UsageError: E740.
    """
    name, plus, accelerators = text.strip().partition("+")
    gpu, colon, count = accelerators.partition(":")
    if name and not plus:
        return MachineType(name)
    if name and gpu and (not colon or (count.isascii() and count.isdigit() and 0 < int(count) <= 64)):
        return MachineType(name, gpu, int(count or 1))
    raise UsageError(
        "E740",
        f"{text!r} is no machine type",
        action="Write MACHINE or MACHINE+ACCELERATOR:COUNT, such as n1-standard-8+nvidia-tesla-t4:1",
    )


def stale(rows: Iterable[Price], today: date) -> Notice | None:
    """Return a warning where the oldest of the prices that were used is older than `STALE_DAYS`."""
    oldest = min(rows, key=lambda row: row.date, default=None)
    if oldest is None or (today - oldest.date).days <= STALE_DAYS:
        return None
    days = (today - oldest.date).days
    return Notice(
        "W703", f"The price of {oldest.name} is of {oldest.date}, {days} days old. --prices takes newer ones."
    )


def load_prices(given: str | Path | None = None) -> Prices:
    """Return a table of the package by its name, or one of the user's by its path.

    Args:
        given: None: the newest of the package.

    Raises:
        UsageError: E743, neither; E744, the file is no price table.
    """
    wanted = str(given or TODAY)
    if wanted in TABLES:
        return _bundled(wanted)
    try:
        text = Path(wanted).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(
            "E743",
            f"the price table cannot be read ({error})",
            where=wanted,
            action=f"Give a CSV file, or one of: {', '.join(TABLES)}",
        ) from error
    return read_prices(text, wanted)


@cache
def _bundled(name: str) -> Prices:
    return read_prices((files("cellfleet.planning") / "tables" / f"{name}.csv").read_text(encoding="utf-8"), name)


def read_prices(text: str, name: str) -> Prices:
    """Return the table that a CSV text holds.

    Raises:
        UsageError: E744.
    """
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Price] = []
    try:
        missing = [column for column in _COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            raise ValueError(f"without the columns {', '.join(missing)}")
        rows.extend(_price(line) for line in lines)
    except (ValueError, csv.Error) as error:
        raise UsageError(
            "E744",
            f"the price table is not usable: line {max(1, lines.line_num)}: {error}",
            where=name,
            action="docs/how-to/plan.md shows the columns",
        ) from error
    return Prices(name, tuple(rows))


def _price(line: dict[str, str | None]) -> Price:
    def word(column: str) -> str:
        return (line[column] or "").strip()

    def number(column: str) -> float:
        value = float(word(column) or 0)
        if not 0 <= value < 1e6:
            raise ValueError(f"{column} {word(column)!r} is no amount")
        return value

    kind: Kind | None = next((kind for kind in _KINDS if kind == word("kind")), None)
    if kind is None:
        raise ValueError(f"kind {word('kind')!r} is none of {', '.join(_KINDS)}")
    if not (word("provider") and word("region") and word("name") and word("unit") and word("on_demand")):
        raise ValueError("provider, region, name, unit or on_demand is empty")
    return Price(
        provider=word("provider"),
        region=word("region"),
        kind=kind,
        name=word("name"),
        vcpus=int(number("vcpus")),
        memory_gb=number("memory_gb"),
        gpu=word("gpu"),
        gpus=int(number("gpus")),
        unit=word("unit"),
        on_demand=number("on_demand"),
        spot=number("spot") if word("spot") else None,
        date=date.fromisoformat(word("date")),
        source=word("source"),
    )
