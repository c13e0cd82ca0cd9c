"""What jobs cost, as a table for people and as a file for spreadsheets. Asks no server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from cellfleet.cli.jobs_table import usd
from cellfleet.cli.progress import count, duration
from cellfleet.cli.table_file import save_table

if TYPE_CHECKING:
    from cellfleet.spec.usage import Bill, Costs

_HEADS = ("user", "jobs", "images", "machines", "GPUs", "cost")


def write_costs(costs: Costs, stream: TextIO) -> None:
    """Write a line per user, the dearest first, and the sum."""
    rows = [
        (
            user.owner,
            str(user.jobs),
            count(user.images),
            duration(user.seconds),
            duration(user.gpu_seconds) if user.gpu_seconds else "",
            usd(user.usd),
        )
        for user in costs.users
    ]
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    for row in (_HEADS, *rows) if rows else ():
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        stream.write("  ".join(cells).rstrip() + "\n")
    of = "" if costs.budget_usd is None else f" of a budget of {usd(costs.budget_usd)}"
    stream.write(f"{costs.month}: {usd(costs.usd)}{of}\n")
    if costs.paused:
        stream.write("The budget is spent: jobs are paused.\n")
    if costs.unpriced_seconds:
        took = duration(costs.unpriced_seconds)
        stream.write(f"Not in it: {took} of machines without a known price (`cellfleet worker --machine`).\n")


def save_bills(bills: Iterable[Bill], where: str) -> None:
    """Write a table with a row per job and kind of machine.

    Raises:
        UsageError: E970, the name ends neither in .csv nor in .parquet.
        OutputError: E301–E308, it cannot be written.
    """
    import pyarrow

    rows = [row for bill in bills for row in _rows(bill)]
    save_table(pyarrow.Table.from_pylist(rows, schema=_schema(_stage_columns(rows))), where)


def _rows(bill: Bill) -> list[dict[str, Any]]:
    job = {
        "job": bill.job,
        "name": bill.name,
        "user": bill.owner,
        "submitted": bill.submitted_ms,
        "final": bill.final,
        "images": bill.images,
        "pixels": bill.pixels,
        "job_usd": bill.usd,
        "requests_usd": bill.requests_usd,
        "reads": bill.reads,
        "writes": bill.writes,
        "read_bytes": bill.read_bytes,
        "written_bytes": bill.written_bytes,
        "prices": bill.prices,
    }
    machines = [
        {
            "machine": line.machine.name,
            "region": line.machine.region,
            "spot": line.machine.spot,
            "seconds": line.seconds,
            "gpu_seconds": line.gpu_seconds,
            "usd_per_hour": line.usd_per_hour,
            "machine_usd": line.usd,
            **{f"{stage}_seconds": seconds for stage, seconds in line.stage_seconds.items()},
            **{f"{stage}_usd": usd for stage, usd in line.stages_usd.items()},
        }
        for line in bill.lines
    ]
    return [{**job, **machine} for machine in machines or [{}]]


def _stage_columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the columns of all known stages, in the order of the work, and of those that a newer worker tells of."""
    from cellfleet.observe.table import STAGES

    found = {name.removesuffix("_seconds") for row in rows for name in row if name.endswith("_seconds")}
    stages = [*STAGES, *sorted(found - {*STAGES, "gpu"})]
    return [f"{stage}_{unit}" for stage in stages for unit in ("seconds", "usd")]


def _schema(stages: Iterable[str]) -> Any:
    import pyarrow

    kinds = {
        "string": ("job", "name", "user", "machine", "region", "prices"),
        "bool": ("final", "spot"),
        "int64": ("images", "pixels", "reads", "writes", "read_bytes", "written_bytes"),
        "double": ("seconds", "gpu_seconds", "usd_per_hour", "machine_usd", "requests_usd", "job_usd"),
    }
    types = {name: pyarrow.type_for_alias(kind) for kind, names in kinds.items() for name in names}
    types["submitted"] = pyarrow.timestamp("ms", tz="UTC")
    order = (
        "job", "name", "user", "submitted", "final", "images", "pixels", "machine", "region", "spot", "seconds",
        "gpu_seconds", "usd_per_hour", "machine_usd", "requests_usd", "job_usd", "reads", "writes", "read_bytes",
        "written_bytes", "prices",
    )  # fmt: skip
    columns = [(name, types[name]) for name in order]
    return pyarrow.schema([*columns, *((name, pyarrow.float64()) for name in stages)])
