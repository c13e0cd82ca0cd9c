"""The figures of the node-pool blog. Draws, reckons nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellfleet.planning.paper import Table
from cellfleet.planning.paper_style import BLUE, DARK_GREEN, DARK_ORANGE, GREEN, INK, ORANGE, SKY, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_pools(content: Table) -> Figure:
    """Time and paid machine time of 15 images on 4 GPUs."""
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    names = [row[0] for row in content.rows]
    for axes, key, title in (
        (left, "end_to_end_min", "End to end, minutes"),
        (right, "paid_node_min", "Paid, machine-minutes"),
    ):
        for place, row in enumerate(content.where()):
            colour = BLUE if row["system"].startswith("cellfleet") else ORANGE
            axes.barh(place, row[key], 0.72, color=colour)
            if key == "paid_node_min":
                axes.barh(place, row["work_node_min"], 0.72, color="black", alpha=0.28)
            axes.text(row[key], place, f" {row[key]:.3g}", va="center", fontsize=9)
        axes.set_title(title)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        axes.grid(axis="x")
    right.text(26, 4, "dark: the work itself, which\nthe blog counts as billed", fontsize=9, va="center", color=SOFT)
    left.invert_yaxis()
    return figure


def draw_savings(content: Table) -> Figure:
    """The savings curve."""
    figure = new_figure(7.2, 4.0)
    axes = figure.subplots()
    rows = content.where()
    jobs = [row["jobs"] for row in rows]
    no_pool, pool = [row["no_pool_min"] for row in rows], [row["pool_min"] for row in rows]
    axes.fill_between(jobs, pool, no_pool, step="mid", color=GREEN, alpha=0.18, linewidth=0)
    axes.plot(jobs, no_pool, color=ORANGE, drawstyle="steps-mid", linewidth=2)
    axes.plot(jobs, pool, color=BLUE, drawstyle="steps-mid", linewidth=2)
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    axes.text(16.6, no_pool[-1], "a node for each job", color=DARK_ORANGE, va="center", bbox=plain)
    axes.text(16.6, pool[-1], "a pool of 4 nodes", color=BLUE, va="center", bbox=plain)
    axes.text(14.5, 9.3, "saved:\n5.4 min", color=DARK_GREEN, ha="center", va="center")
    axes.annotate("12.0", (15, no_pool[14]), textcoords="offset points", xytext=(0, 6), ha="center")
    axes.annotate("6.6", (15, pool[14]), textcoords="offset points", xytext=(0, -14), ha="center")
    axes.set_xlim(0.5, 21)
    axes.set_ylim(0, 13.5)
    axes.set_xticks([1, 4, 8, 12, 16])
    axes.set_xlabel("jobs of 3 minutes, 60 % of it set-up")
    axes.set_ylabel("minutes")
    axes.grid(axis="y")
    return figure


def draw_shares(content: Table) -> Figure:
    """The set-up-share curve."""
    figure = new_figure(7.2, 4.0)
    axes = figure.subplots()
    curve = content.rows[:-3]
    minutes = [row[0] for row in curve]
    axes.plot(minutes, [row[1] for row in curve], color=ORANGE, linewidth=2)
    axes.plot(minutes, [row[2] for row in curve], color=BLUE, linewidth=2)
    axes.set_xscale("log")
    for job, percent, _ in content.rows[-3:]:
        axes.plot(job, percent, "o", color=ORANGE, markersize=6)
        axes.annotate(
            f"{percent:.0f} %" if float(percent) > 10 else f"{percent:.1f} %",
            (float(job), float(percent)),
            textcoords="offset points",
            xytext=(8, 5),
        )
    axes.text(2.3, 69, "3 min of set-up\n(fetch and unpack 3 GB)", color=DARK_ORANGE, va="center")
    axes.text(0.115, 13, "13 s (load the model,\nonce for a worker)", color=BLUE, va="center")
    axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.set_ylim(0, 100)
    axes.set_xlabel("length of the job without set-up, minutes")
    axes.set_ylabel("set-up, % of the time")
    axes.grid()
    return figure


def draw_phases(content: Table) -> Figure:
    """Shares of the phases, with the total beside."""
    figure = new_figure(8.0, 2.8)
    axes = figure.subplots()
    rows = content.where()
    for place, row in enumerate(rows):
        left = 0.0
        for phase, colour in (("preprocess", SKY), ("inference", BLUE), ("postprocess", ORANGE)):
            share = row[f"{phase}_percent"]
            axes.barh(place, share, 0.66, left=left, color=colour, label=phase if place == 0 else None)
            if share > 6:
                ink = "white" if colour == BLUE else INK
                axes.text(left + share / 2, place, f"{share:.0f} %", ha="center", va="center", color=ink, fontsize=9)
            left += share
        axes.text(101.5, place, f"{row['s_per_megapixel']:.2g} s/Mpx", va="center")
    axes.set_yticks(range(len(rows)), [row["system"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel("share of the time of an image, %")
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, handlelength=1.2)
    return figure
