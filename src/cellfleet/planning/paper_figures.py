"""All figures of `cellfleet bench paper`: which there are, the tables they are drawn from, and the numbers in words.

Knows no folder and no command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from cellfleet.planning.formulas import workers_to_keep_up
from cellfleet.planning.paper import Cell, Table, table
from cellfleet.planning.paper_batch import IDEAL, phases, pools, savings, shares
from cellfleet.planning.paper_draw_batch import draw_phases, draw_pools, draw_savings, draw_shares
from cellfleet.planning.paper_draw_kiosk import draw_cost, draw_headline, draw_online, draw_sizing, draw_time
from cellfleet.planning.paper_kiosk import (
    V100_IMAGES_PER_SECOND,
    Scenario,
    headline,
    label,
    online,
    sizing,
    time_and_cost,
)
from cellfleet.planning.prices import Prices

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawing(NamedTuple):
    """A figure: name of its files, the table that it shows, and who draws it."""

    name: str
    content: Table
    drawer: Callable[[Table], Figure]


class Everything(NamedTuple):
    """What `cellfleet bench paper` makes."""

    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    numbers: Table


def everything(then: Prices, today: Prices) -> Everything:
    """Simulate all runs and return their tables, drawings and numbers.

    Args:
        then: The kiosk's prices of 2019.
        today: Today's.
    """
    grid, grid_today = time_and_cost(then), time_and_cost(today)
    heads, law, machines = headline([then, today]), sizing(), online()
    blog, saved, share, parts = pools(), savings(), shares(), phases()
    drawings = (
        Drawing("deepcell-time", grid, draw_time),
        Drawing("deepcell-cost", grid, draw_cost),
        Drawing("deepcell-headline", heads, draw_headline),
        Drawing("deepcell-online", machines, draw_online),
        Drawing("deepcell-sizing", law, draw_sizing),
        Drawing("batch-savings", saved, draw_savings),
        Drawing("batch-pools", blog, draw_pools),
        Drawing("batch-set-up-share", share, draw_shares),
        Drawing("phases", parts, draw_phases),
    )
    tables = (grid, grid_today, heads, machines, law, saved, blog, share, parts)
    return Everything(tables, drawings, _numbers(label(then), label(today), tables))


_KIOSK: Final = "kiosk, paper's formula"


def _numbers(then: str, today: str, tables: Sequence[Table]) -> Table:
    """The papers' printed numbers beside what comes out here."""
    by_name = {content.name: content for content in tables}
    rows = [*_kiosk_numbers(by_name["deepcell-headline"], then, today), *_batch_numbers(by_name)]
    return table("numbers", "The papers' numbers", rows)


def _row(what: str, unit: str, printed: Cell, theirs: Cell, ours: Cell) -> dict[str, Cell]:
    return {"what": what, "unit": unit, "printed": printed, "theirs, simulated": theirs, "cellfleet": ours}


def _kiosk_numbers(heads: Table, then: str, today: str) -> Iterator[dict[str, Cell]]:
    for images, name, hours, dollars in (
        (100_000, "100 000 images", "1.5", "10"),
        (1_000_000, "1 000 000 images", "5.5", "250"),
    ):
        rows = {(row["prices"], row["system"]): row for row in heads.where(images=images)}
        law, rule, ours = rows[then, _KIOSK], rows[then, "kiosk, installed rule"], rows[then, "cellfleet"]
        yield _row(f"{name}: time, the paper's formula", "h", hours, law["hours"], ours["hours"])
        yield _row(f"{name}: time, the installed rule", "h", hours, rule["hours"], ours["hours"])
        yield _row(f"{name}: cost, prices of 2019", "$", dollars, law["total_usd"], ours["total_usd"])
        single = law["total_usd"] - law["zones_usd"]
        yield _row(f"{name}: the same in one zone", "$", "< 100" if images > 100_000 else "", single, ours["total_usd"])
        law, ours = rows[today, _KIOSK], rows[today, "cellfleet"]
        yield _row(f"{name}: cost, prices of {today[:4]}", "$", "", law["total_usd"], ours["total_usd"])
        cpus = rows[today, "cellfleet, no GPU"]
        yield _row(f"{name}: cost without a GPU, {today[:4]}", "$", "", "", cpus["total_usd"])
    keep = workers_to_keep_up(Scenario(1, 1, 240).per_second, V100_IMAGES_PER_SECOND)
    yield _row("GPUs that keep up with 240 Mbps", "", "", "", keep)


def _batch_numbers(by_name: dict[str, Table]) -> Iterator[dict[str, Cell]]:
    yield _row("15 jobs of 3 min, 4 nodes, no pool", "min", "12", IDEAL.no_pool_seconds / 60, "")
    yield _row("the same with a pool", "min", "6.5", IDEAL.cold_pool_seconds / 60, "")
    blog = {row["system"]: row["end_to_end_min"] for row in by_name["batch-pools"].where()}
    yield _row("15 images, no pool", "min", "32.5", blog["DeepCell, no pool"], "")
    yield _row("15 images, cold", "min", "7.5", blog["DeepCell, cold pool"], blog["cellfleet, cold"])
    yield _row("15 images, cold, start-up of 2 min", "min", "", "", blog["cellfleet, cold, small image"])
    yield _row("15 images, warm", "min", "2.5", blog["DeepCell, warm pool"], blog["cellfleet, warm"])
    for job, percent, ours in by_name["batch-set-up-share"].rows[-3:]:
        printed = {1.0: "~75", 30.0: "~10"}.get(float(job), "negligible")
        yield _row(f"share of set-up in a job of {job:g} min", "%", printed, percent, ours)
    for row in by_name["phases"].where():
        ours = row["system"].startswith("cellfleet")
        share = row["inference_percent"]
        yield _row(
            f"inference, share of the time: {row['system']}", "%", "", "" if ours else share, share if ours else ""
        )
