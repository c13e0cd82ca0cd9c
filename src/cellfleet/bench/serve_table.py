"""What the serving benchmark shows: its table, and the chart of it. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellfleet.bench.serve import Measured, efficiencies
from cellfleet.bench.statistics import usd_per_1000
from cellfleet.planning.paper import Table, table
from cellfleet.planning.paper_style import BLUE, INK, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def serve_table(measured: Sequence[Measured], usd_per_hour: float | None, replicas_per_machine: int) -> Table:
    """Return a row per configuration.

    Args:
        measured: At least one.
        usd_per_hour: Of one machine; None: not known.
        replicas_per_machine: 0: all are on one.
    """
    pairs = zip(measured, efficiencies(measured), strict=True)
    rows = [_row(one, efficiency, usd_per_hour, replicas_per_machine) for one, efficiency in pairs]
    return table("serve", "Serving benchmark", rows)


def _row(one: Measured, efficiency: float | None, usd: float | None, replicas_per_machine: int) -> dict[str, Any]:
    asked = one.configuration
    machines = math.ceil(asked.replicas / replicas_per_machine) if replicas_per_machine else 1
    return {
        "model": asked.model,
        "device": asked.device,
        "replicas": asked.replicas,
        "concurrency per replica": asked.concurrency,
        "images": one.images,
        "images/s": one.throughput,
        "p50 (ms)": 1000 * one.latency.p50,
        "p95 (ms)": 1000 * one.latency.p95,
        "p99 (ms)": 1000 * one.latency.p99,
        "variation": one.latency.variation,
        "efficiency": "" if efficiency is None else efficiency,
        "right": f"{one.right}/{one.checked}",
        "$ per 1000 images": "" if usd is None else usd_per_1000(usd * machines, one.throughput),
    }


def draw_serve(content: Table) -> Figure:
    """Draw throughput, and the p95 of latency, of each row."""
    rows = content.where()
    figure = new_figure(9, 1.2 + 0.34 * len(rows))
    throughput, latency = figure.subplots(1, 2, sharey=True)
    names = [
        f"{row['model']}, {row['replicas']} × {row['device']}, {row['concurrency per replica']} at a time"
        for row in rows
    ]
    places = range(len(rows))
    for axes, column, colour in ((throughput, "images/s", BLUE), (latency, "p95 (ms)", ORANGE)):
        values = [row[column] for row in rows]
        axes.barh(places, values, color=colour, height=0.65)
        for place, value in zip(places, values, strict=True):
            axes.text(value, place, f" {value:.3g}", va="center", color=INK, fontsize=9)
        axes.set_xlim(0, 1.18 * max(values))
        axes.set_xlabel("images per second" if axes is throughput else "95 % of the answers within, ms")
    throughput.set_yticks(list(places), names)
    throughput.invert_yaxis()
    return figure
