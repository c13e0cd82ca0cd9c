"""The figures of the kiosk's paper. The same system has the same colour and mark in each. Draws, reckons nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cellfleet.planning.paper import Table
from cellfleet.planning.paper_style import BLUE, DARK_ORANGE, GREEN, GREY, INK, ORANGE, SKY, SOFT, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {"kiosk, paper's formula": ORANGE, "kiosk, installed rule": VERMILION, "cellfleet": BLUE}
MARKS: Final = {"kiosk, paper's formula": "o", "kiosk, installed rule": "s", "cellfleet": "D"}
PARTS: Final = (
    ("gpu_usd", "GPU machines", BLUE),
    ("cpu_usd", "CPU machines", SKY),
    ("data_usd", "storage and requests", GREEN),
    ("zones_usd", "traffic between zones", GREY),
)


def draw_time(content: Table) -> Figure:
    """Fig. 2b: hours over GPUs, a panel for each upload speed, a colour for each system, a group for each size."""
    figure = new_figure(9.6, 5.0)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, mbps in ((left, 240), (right, 2400)):
        _time_panel(axes, content, mbps)
    left.set_ylabel("time, hours")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3, fontsize=9, handletextpad=0.2)
    return figure


def _time_panel(axes: Axes, content: Table, mbps: int) -> None:
    axes.set_yscale("log")
    axes.set_title(f"Upload of {mbps} Mbps" if mbps < 1000 else f"Upload of {mbps / 1000:g} Gbps")
    for images, label in ((10_000, "10 thousand"), (100_000, "100 thousand"), (1_000_000, "1 million images")):
        rows = content.where(images=images, upload_mbps=mbps)
        bound = rows[0]["upload_hours"]
        axes.plot([-0.3, 2.4], [bound, bound], color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.text(2.45, bound, "upload alone", color=SOFT, fontsize=8, va="center")
        for offset, (system, colour) in zip((-0.13, 0, 0.13), COLOURS.items(), strict=True):
            hours = [row["hours"] for row in rows if row["system"] == system]
            axes.plot(
                [place + offset for place in range(3)],
                hours,
                MARKS[system],
                color=colour,
                markersize=6,
                label=system if images == 10_000 else None,
            )
        first = next(row["hours"] for row in rows if row["system"] == "cellfleet")
        axes.text(-0.32, first, label, ha="right", va="center", fontsize=9)
    published = {240: (1, 1.5, "published: ~90 min"), 2400: (2, 5.5, "published: ~5.5 h")}[mbps]
    axes.plot(published[0] - 0.27, published[1], "x", color=INK, markersize=8, markeredgewidth=2)
    axes.annotate(
        published[2],
        (published[0] - 0.27, published[1]),
        textcoords="offset points",
        xytext=(0, -16),
        ha="right",
        fontsize=9,
    )
    axes.set_xlim(-1.6, 3.2)
    axes.set_xticks(range(3), ["1 GPU", "4 GPUs", "8 GPUs"])
    axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.grid(axis="y")


def draw_cost(content: Table) -> Figure:
    """Fig. 2c: USD per 100 000 images, stacked, for each number of GPUs and images, kiosk beside cellfleet."""
    figure = new_figure(9.6, 6.0)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, mbps in zip(panels, (240, 2400), strict=True):
        _cost_panel(axes, content, mbps)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9, handlelength=1.2)
    return figure


def _cost_panel(axes: Axes, content: Table, mbps: int) -> None:
    axes.set_title(f"Upload of {mbps} Mbps" if mbps < 1000 else f"Upload of {mbps / 1000:g} Gbps")
    places, labels = [], []
    for group, gpus in enumerate((1, 4, 8)):
        for step, (images, label) in enumerate(((10_000, "10 K"), (100_000, "100 K"), (1_000_000, "1 M"))):
            place = group * 3.6 + step
            places.append(place)
            labels.append(label)
            for system, offset in (("kiosk, paper's formula", -0.2), ("cellfleet", 0.2)):
                row = content.where(images=images, gpus=gpus, upload_mbps=mbps, system=system)[0]
                _stack(axes, place + offset, row, 100_000 / images, labelled=len(places) == 1 and offset < 0)
        labels[-2] += f"\n{gpus} GPU{'s' if gpus > 1 else ''}"
    axes.set_xticks(places, labels)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("USD per 100 000 images")
    axes.annotate("kiosk", (-0.2, 24.5), ha="center", fontsize=9, rotation=90)
    axes.annotate("cellfleet", (0.2, 7.5), ha="center", fontsize=9, rotation=90)
    axes.set_ylim(0, 33)
    axes.grid(axis="y")


def _stack(axes: Axes, place: float, row: dict[str, Any], factor: float, *, labelled: bool) -> None:
    below = 0.0
    for part, name, colour in PARTS:
        value = row[part] * factor
        axes.bar(place, value, 0.36, bottom=below, color=colour, label=name if labelled else None)
        below += value


def draw_sizing(content: Table) -> Figure:
    """S1: GPUs that an upload keeps busy, over the network's speed."""
    figure = new_figure(8.0, 4.2)
    axes = figure.subplots()
    shades = {10: "#8FB8D8", 50: SKY, 250: "#3C97CF", 700: BLUE, 1200: "#005A8D", 2400: "#002F4A"}
    for mbps, colour in shades.items():
        rows = content.where(upload_mbps=mbps)
        speeds, counts = [row["images_per_second"] for row in rows], [row["gpus_cellfleet"] for row in rows]
        axes.plot(speeds, counts, color=colour, linewidth=1.8, drawstyle="steps-post")
        name = f"{mbps} Mbps" if mbps < 1000 else f"{mbps / 1000:g} Gbps"
        if mbps > 50:
            axes.text(mbps / 96, 8.12, name, fontsize=9, ha="center", color=colour)
    axes.text(0.53, 2.1, "10 Mbps", fontsize=9, va="bottom", color=INK)
    axes.text(1.6, 4.1, "50 Mbps", fontsize=9, va="bottom", color=INK)
    axes.axvline(6.3, ymax=0.93, color=ORANGE, linewidth=1.4)
    axes.text(6.1, 2.9, "V100 in the paper:\n6.3 images/s", color=DARK_ORANGE, fontsize=9, ha="right", va="center")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100], ["0.5", "1", "2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_xlim(0.5, 100)
    axes.set_ylim(0.8, 8.0)
    axes.set_xlabel("speed of one GPU, images of 1.5 MB per second")
    axes.set_ylabel("GPUs that keep up with the upload")
    axes.grid()
    return figure


def draw_online(content: Table) -> Figure:
    """What waits and what is there over time, one column for each system."""
    figure = new_figure(9.6, 5.4)
    panels = figure.subplots(3, 3, sharex=True, sharey="row")
    rows = (("images_waiting", "images waiting", 1000.0), ("gpus", "GPUs", 1.0), ("consumers", "consumers", 1.0))
    for column, (system, colour) in enumerate(COLOURS.items()):
        found = content.where(system=system)
        minutes = [row["minutes"] for row in found]
        for line, (key, label, unit) in enumerate(rows):
            axes = panels[line, column]
            values, edges = _steps([row[key] / unit for row in found], minutes)
            axes.stairs(values, edges, fill=True, facecolor=f"{colour}40", edgecolor=colour, linewidth=1.2)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            if column == 0:
                axes.set_ylabel(label + (",\nthousands" if unit > 1 else ""))
        panels[0, column].set_title(system)
        panels[2, column].set_xlabel("minutes")
    panels[2, 2].text(0.5, 0.5, "none needed", transform=panels[2, 2].transAxes, ha="center", color=SOFT)
    return figure


def _steps(values: list[float], moments: list[float]) -> tuple[list[float], list[float]]:
    """Values and the edges between them, with equal neighbours as one step: a small file."""
    kept = [at for at in range(len(values) - 1) if at == 0 or values[at] != values[at - 1]]
    return [values[at] for at in kept], [*(moments[at] for at in kept), moments[-1]]


def draw_headline(content: Table) -> Figure:
    """The two printed runs: USD, stacked, by the prices of 2019 and of today."""
    figure = new_figure(9.6, 4.6)
    panels = figure.subplots(1, 2)
    systems = ("kiosk, paper's formula", "cellfleet", "cellfleet, no GPU")
    for axes, (images, name, printed) in zip(
        panels, ((100_000, "100 000 images, 240 Mbps", 10), (1_000_000, "A million images, 2.4 Gbps", 250)), strict=True
    ):
        place, ticks, labels = 0.0, [], []
        for system in systems:
            for prices in dict.fromkeys(row["prices"] for row in content.where(images=images)):
                row = content.where(images=images, system=system, prices=prices)[0]
                _stack_wide(axes, place, row, labelled=place == 0)
                inside = f" (${row['total_usd'] - row['zones_usd']:.0f} in one zone)" if row["zones_usd"] else ""
                said = f"${row['total_usd']:.0f}{inside}"
                axes.annotate(
                    said,
                    (row["total_usd"], place),
                    textcoords="offset points",
                    xytext=(5, 0),
                    va="center",
                    fontsize=9,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
                ticks.append(place)
                labels.append(f"{system.split(', paper')[0]}, {prices[:4]}")
                place += 1
            place += 0.4
        axes.axvline(printed, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(printed, -0.75, f"published ~${printed}", ha="center", fontsize=9)
        axes.set_yticks(ticks, labels)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_title(name, pad=14)
        axes.set_xlabel("USD")
        axes.set_xlim(0, 1.95 * max(row["total_usd"] for row in content.where(images=images)))
        axes.grid(axis="x")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=9, handlelength=1.2)
    return figure


def _stack_wide(axes: Axes, place: float, row: dict[str, Any], *, labelled: bool) -> None:
    left = 0.0
    for part, name, colour in PARTS:
        axes.barh(place, row[part], 0.78, left=left, color=colour, label=name if labelled else None)
        left += row[part]
