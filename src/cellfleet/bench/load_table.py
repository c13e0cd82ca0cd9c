"""What a load shows: its tables, its numbers, and the figures of them. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cellfleet.bench.load import Load, LoadRun
from cellfleet.bench.statistics import bound_images_per_second, spread
from cellfleet.planning.paper import Table, table
from cellfleet.planning.paper_style import BLUE, GREEN, ORANGE, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINK_GBPS: Final = 100.0
"""Of the fastest network of a machine at the time of the paper: the bound of all transfers."""
STAGES: Final = ("transfer", "inference", "postprocessing")
_BINS: Final = 30


def images_table(runs: Sequence[LoadRun]) -> Table:
    """Return a row per image: where its time went."""
    rows: list[dict[str, Any]] = [
        {"repeat": repeat, "zip": one.zip, "image": one.image}
        | {f"{stage} (s)": getattr(one, stage) for stage in STAGES}
        for repeat, run in enumerate(runs, 1)
        for one in run.times
    ]
    return table("load-images", "Seconds of every image", rows)


def workers_table(runs: Sequence[LoadRun]) -> Table:
    """Return a row per look at how many workers run."""
    rows = [
        {"repeat": repeat, "seconds": seconds, "workers": workers}
        for repeat, run in enumerate(runs, 1)
        for seconds, workers in run.workers
    ]
    return table("load-workers", "Workers over time", rows)


def numbers_table(load: Load, runs: Sequence[LoadRun]) -> Table:
    """Return what people ask for first, as mean and standard deviation over the repeats."""
    priced = [run.usd for run in runs if run.usd is not None]
    per_image = runs[0].sent_bytes / load.images
    bound = bound_images_per_second(LINK_GBPS, per_image)
    throughput = spread([run.throughput for run in runs])
    rows = [
        _row("images", "", [float(len(run.times)) for run in runs]),
        _row("total time", "s", [run.seconds for run in runs]),
        _row("throughput", "images/s", [run.throughput for run in runs]),
        _row("offered", "images/s", [load.images_per_zip / load.every_seconds] if load.every_seconds else []),
        *(
            _row(
                f"{stage} per image", "s", [float(np.mean([getattr(one, stage) for one in run.times])) for run in runs]
            )
            for stage in STAGES
        ),
        _row("workers, most", "", [max((workers for _, workers in run.workers), default=0.0) for run in runs]),
        _row("machines busy", "s", [run.machine_seconds for run in runs]),
        _row("cost", "USD", priced if len(priced) == len(runs) else []),
        _row("upload of one image", "bytes", [per_image]),
        _row(f"bound by {LINK_GBPS:g} Gbps", "images/s", [bound]),
        _row("share of this bound", "%", [100 * throughput.mean / bound]),
    ]
    return table("load", "Load", rows)


def _row(what: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"what": what, "unit": unit, "mean": "not known", "sd": "", "repeats": 0}
    found = spread(values)
    return {
        "what": what,
        "unit": unit,
        "mean": found.mean,
        "sd": found.sd if found.runs > 1 else "",
        "repeats": found.runs,
    }


def draw_times(content: Table) -> Figure:
    """Draw a histogram of each stage, over the images of all repeats."""
    figure = new_figure(9, 2.8)
    for axes, stage, colour in zip(figure.subplots(1, 3), STAGES, (BLUE, ORANGE, GREEN), strict=True):
        seconds = [row[f"{stage} (s)"] for row in content.where()]
        axes.hist(seconds, bins=_BINS, color=colour)
        middle = float(np.median(seconds))
        axes.axvline(middle, color=SOFT, linewidth=1)
        axes.set_title(stage)
        axes.set_xlabel(f"seconds per image, median {middle:.2g}")
        axes.set_xlim(left=0)
    figure.axes[0].set_ylabel("images")
    return figure


def draw_workers(content: Table) -> Figure:
    """Draw how many workers ran over time, a line per repeat."""
    figure = new_figure(9, 2.4)
    axes = figure.subplots()
    for repeat in sorted({row["repeat"] for row in content.where()}):
        rows = content.where(repeat=repeat)
        axes.step(
            [row["seconds"] for row in rows], [row["workers"] for row in rows], where="post", label=f"repeat {repeat}"
        )
    axes.set_xlabel("seconds since the first upload began")
    axes.set_ylabel("workers that run")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure
