"""What a cluster of one description costs an hour: when nothing is to do, and when everything runs.

Adds up prices of a table; what the table has no price for is named, never taken for nothing. Knows no provider's API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from cellfleet.errors import UsageError
from cellfleet.planning.prices import Price, Prices, load_prices
from cellfleet.spec.cluster import ClusterSpec
from cellfleet.spec.machines import GKE_ACCELERATORS, Where

HOURS_PER_MONTH: Final = 730.0
SYSTEM_DISK_GB: Final = 50
"""Of the machine that always runs; its ledger's volume adds 4."""
_PROVIDERS: Final[dict[Where, str]] = {"gke": "gcp", "eks": "aws", "aks": "azure"}


@dataclass(frozen=True)
class CostPart:
    """One thing that costs money."""

    name: str
    least: int
    """How many there are when nothing is to do."""
    most: int
    usd_per_hour: float | None
    """For each; None: the table has no price."""
    note: str = ""


@dataclass(frozen=True)
class ClusterCosts:
    """What a cluster costs beside its bucket, which is billed by what lies in it."""

    parts: tuple[CostPart, ...]
    priced: date | None
    """Day of the oldest price in it."""

    @property
    def idle(self) -> float:
        """USD an hour when nothing is to do, of what has a price."""
        return sum(part.least * part.usd_per_hour for part in self.parts if part.usd_per_hour is not None)

    @property
    def full(self) -> float:
        """USD an hour when every machine runs, of what has a price."""
        return sum(part.most * part.usd_per_hour for part in self.parts if part.usd_per_hour is not None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What costs something, and the table does not say how much."""
        return tuple(part.name for part in self.parts if part.usd_per_hour is None and part.most)

    def part(self, name: str) -> CostPart | None:
        """Return one part."""
        return next((part for part in self.parts if part.name == name), None)


def cluster_costs(spec: ClusterSpec, prices: Prices | None = None) -> ClusterCosts:
    """Add up what a cluster costs.

    Args:
        spec: The cluster. Where it is a Kubernetes that is there already, its owner knows what it costs.
        prices: None: those of the package.
    """
    table, rows = prices or load_prices(), list[Price]()
    provider = _PROVIDERS.get(spec.where)
    if provider is None:
        return ClusterCosts((), None)
    parts = [
        _unit("control plane", table.unit("fee", "cluster", spec.region or "", provider=provider), 1.0, rows),
        _machine("system machine", spec.system_machine, (1, 1), spec.region or "", table, rows, spot=False),
    ]
    if spec.where == "gke":
        disk = table.unit("storage", "pd-standard", spec.region or "", provider=provider)
        parts.append(_unit("disk", disk, SYSTEM_DISK_GB / HOURS_PER_MONTH, rows))
    if spec.gpu:
        bounds, region = (spec.gpu.min, spec.gpu.max), spec.region or ""
        parts.append(_machine("GPU machine", gpu_machine(spec), bounds, region, table, rows, spot=spec.gpu.spot))
    bounds = (spec.cpu.min, spec.cpu.max)
    parts.append(_machine("CPU machine", spec.cpu_machine, bounds, spec.region or "", table, rows, spot=spec.cpu.spot))
    return ClusterCosts(tuple(parts), min((row.date for row in rows), default=None))


def gpu_machine(spec: ClusterSpec) -> str | None:
    """Return the machine of the GPU pool with its GPU, as price tables name it."""
    machine = spec.gpu_machine
    if spec.gpu and machine and spec.where == "gke" and machine.startswith("n1-"):
        return f"{machine}+{GKE_ACCELERATORS[spec.gpu.type]}:1"
    return machine


def costs_in_words(spec: ClusterSpec, costs: ClusterCosts) -> str:
    """Say in a few sentences what follows for the purse."""
    if not costs.parts:
        return "What the machines cost, the owner of this Kubernetes knows."
    text = (
        f"Idle it costs ${costs.idle:.2f} an hour (${costs.idle * HOURS_PER_MONTH:.0f} a month); "
        f"with every machine running ${costs.full:.2f} an hour."
    )
    if costs.unknown:
        text += f" Not counted, because there is no price for it here: {', '.join(costs.unknown)}."
    extra = costs.full - costs.idle
    budget = spec.budget_per_month
    if budget is not None and extra > 0:
        text += (
            f" The budget of ${budget:g} a month is for jobs: {budget / extra:.0f} hours with every machine. With what "
            f"it costs idle that makes ${budget + costs.idle * HOURS_PER_MONTH:.0f}; machines that wait are not in it."
        )
    return text


def _machine(
    name: str,
    machine: str | None,
    bounds: tuple[int, int],
    region: str,
    table: Prices,
    rows: list[Price],
    *,
    spot: bool,
) -> CostPart:
    least, most = bounds
    for place in (region, ""):
        try:
            quote = table.machine(machine or "none", place)
        except UsageError:
            continue
        rows.extend(quote.rows)
        notes = [] if place else [f"price of {quote.region}"]
        if spot and quote.spot is None:
            notes.append("price on demand, spot is cheaper")
        usd = quote.spot if spot and quote.spot is not None else quote.on_demand
        return CostPart(name, least, most, usd, "; ".join(notes))
    return CostPart(name, least, most, None)


def _unit(name: str, row: Price | None, hourly: float, rows: list[Price]) -> CostPart:
    if row is None:
        return CostPart(name, 1, 1, None)
    rows.append(row)
    return CostPart(name, 1, 1, row.on_demand * hourly)
