"""From settings and options to what a batch system is to start. Asks no batch system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import ValidationError

from cellfleet.errors import UsageError
from cellfleet.planning.prices import Quote, load_prices
from cellfleet.spec.fleet import BatchSystem, FleetSpec
from cellfleet.stores.settings import FILE, named_tables
from cellfleet.stores.url import is_url, local_path

SYSTEMS: Final[tuple[BatchSystem, ...]] = get_args(BatchSystem)
FOLDER: Final = ".cellfleet-fleet"
GRACE_SECONDS: Final = 25
"""A spot machine has 30 s after it was told to go."""
_IMAGE: Final = "ghcr.io/cellfleet/cellfleet:latest"
_GPU_SUFFIX: Final = "-gpu"
"""Of the tag; the chart says the same."""
_SYSTEM_GB: Final = 40
"""Of a boot disk: operating system, driver and container image."""


@dataclass(frozen=True)
class Wanted:
    """Workers to start, alike."""

    fleet: FleetSpec
    name: str
    """Of this request: letters, digits and dashes."""
    workers: int
    command: tuple[str, ...]
    """Of one worker, without the program's name."""
    disk_gb: int


def find_fleet(on: str, options: Mapping[str, Any]) -> FleetSpec | None:
    """Return the fleet that ``--on`` means: a batch system, or the name of a table ``[fleets.NAME]``; None: neither.

    Args:
        on: The word.
        options: What the command line says; goes before the settings. None: not said.

    Raises:
        UsageError: E720, the settings make no fleet; E965, they cannot be read.
    """
    table = next((table for name, table in named_tables("fleets") if name == on), None)
    if table is None and on not in SYSTEMS:
        return None
    where = {} if table else {"where": on}
    said = {name: value for name, value in options.items() if value is not None}
    place = str(table.file) if table else "--on"
    try:
        return FleetSpec(**{**where, **(table.values if table else {}), **said})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        action = f"Say it in a table [fleets.{on}] of {FILE} (docs/how-to/batch.md)"
        raise UsageError("E720", f"{field}: {what}" if field else what, where=place, action=action) from error


def fleet_store(fleet: FleetSpec, out: str) -> str:
    """Return where a fleet keeps its jobs: beside the results' bucket or folder, unless it is said."""
    if fleet.store is not None:
        return fleet.store
    folder = local_path(out) if is_url(out) else out
    if folder is None:
        scheme, _, rest = out.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}/{FOLDER}/{fleet.name}"
    return os.path.join(os.path.dirname(os.path.abspath(folder)), FOLDER, fleet.name)


def worker_command(fleet: FleetSpec, store: str) -> tuple[str, ...]:
    """Return the words after ``cellfleet`` for one worker."""
    words = ["worker", "--ledger", "store:", "--store", store, "--log", "json"]
    words += ["--idle-timeout", f"{fleet.idle_timeout:g}", "--grace", str(GRACE_SECONDS)]
    words += ["--device", "cuda"] if has_gpu(fleet) else ["--device", "cpu"]
    if fleet.machine is not None:
        words += ["--machine", fleet.machine]
    if fleet.region is not None:
        words += ["--region", fleet.region]
    return (*words, "--spot") if fleet.spot else tuple(words)


def has_gpu(fleet: FleetSpec) -> bool:
    """Say whether its workers have one."""
    return fleet.gpus > 0 if fleet.where == "slurm" else quote(fleet).gpus > 0


def container_image(fleet: FleetSpec) -> str:
    """Return what its machines run: cellfleet for processors knows no GPU, and refuses ``--device cuda``."""
    return fleet.image or (_IMAGE + _GPU_SUFFIX if has_gpu(fleet) else _IMAGE)


def quote(fleet: FleetSpec) -> Quote:
    """Return what the machine of a fleet is: processors, memory, GPUs.

    Raises:
        UsageError: E740, the price table has no such machine.
    """
    assert fleet.machine is not None, "the fleet was checked"
    return load_prices().machine(fleet.machine)


def disk_gb(fleet: FleetSpec, largest_image_bytes: int) -> int:
    """Return the size of a boot disk: a worker keeps two copies of an image's results while it writes them."""
    return fleet.disk_gb or _SYSTEM_GB + -(-2 * largest_image_bytes // 10**9)
