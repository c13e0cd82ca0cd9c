"""The drawings of the report as inline SVG and HTML, coloured by the page's style sheet. Knows numbers, no records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 26, 44
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_STAGES = ("read", "preprocess", "predict", "postprocess", "measure", "write")


def grouped(number: float) -> str:
    """Return a whole number with narrow spaces between thousands."""
    return f"{round(number):,}".replace(",", "\u202f")


def short(number: float) -> str:
    """Return a length with three significant digits at most."""
    return f"{number:.3g}" if number < 1000 else grouped(number)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.42 s``, ``38 s``, ``13 min 8 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def histogram_svg(
    edges: Sequence[float], counts: Sequence[float], median: float, *, unit: str, name: str, things: str
) -> str:
    """Draw a histogram with axes and the median as a dashed line.

    Args:
        edges: From 0 upwards, one more than `counts`.
        counts: Height of each bar.
        median: Where the line stands.
        unit: Of edges and median; empty for plain numbers.
        name: What the edges measure: the text below the axis.
        things: What is counted, singular.
    """
    most, span = max(counts), edges[-1]
    floor = _TOP + _PLOT_HEIGHT
    bars = "".join(
        f'<rect class="bar" x="{_x(low, span) + 0.5:.1f}" y="{_y(count, most):.1f}" '
        f'width="{_x(high, span) - _x(low, span) - 1:.1f}" height="{floor - _y(count, most):.1f}">'
        f"<title>{short(low)}–{short(high)} {unit}: {grouped(count)} {things}s</title></rect>"
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count > 0
    )
    ticks = "".join(
        f'<text x="{_x(value, span):.1f}" y="{floor + 18}" text-anchor="middle">{short(value)}</text>'
        for value in _ticks(span, 8)
    )
    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
        f'y1="{_y(count, most):.1f}" y2="{_y(count, most):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{_y(count, most) + 4:.1f}" text-anchor="end">{grouped(count)}</text>'
        for count in _ticks(most, 5)
        if count == round(count)
    )
    at, text = _x(min(median, span), span), f"median {short(median)} {unit}".strip()
    side = ("start", 5) if at < _WIDTH * 0.7 else ("end", -5)
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Histogram of {things}s by {name}, {text}">{lines}{bars}'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>{ticks}'
        f'<line class="median" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 18}" y2="{floor}"/>'
        f'<text class="median-text" x="{at + side[1]:.1f}" y="{_TOP - 10}" text-anchor="{side[0]}">{text}</text>'
        f'<text x="{_LEFT + _PLOT_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{name}'
        f"{', ' + unit if unit else ''}</text></svg>"
    )


def _x(value: float, span: float) -> float:
    return _LEFT + _PLOT_WIDTH * value / span


def _y(count: float, most: float) -> float:
    return _TOP + _PLOT_HEIGHT * (1 - count / most)


def stage_bar(seconds: Mapping[str, float], busy_share: Mapping[str, float]) -> str:
    """Draw where the time went: one bar of all stages, and a table with seconds, share and busy share."""
    stages = [stage for stage in _STAGES if seconds.get(stage)] + [
        stage for stage in seconds if stage not in _STAGES and seconds[stage]
    ]
    total = sum(seconds[stage] for stage in stages)
    if not total:
        return ""
    parts, rows, position = [], [], 0.0
    for number, stage in enumerate(stages):
        share = seconds[stage] / total
        colour = f"stage-{number % len(_STAGES)}"
        parts.append(f'<rect class="{colour}" x="{position * 100:.3f}" y="0" width="{share * 100:.3f}" height="10"/>')
        busy = f"{busy_share[stage]:.0%}" if stage in busy_share else "–"
        rows.append(
            f'<tr><th scope="row"><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="{colour}" '
            f'width="10" height="10" rx="2"/></svg>{escape(stage)}</th><td>{duration(seconds[stage])}</td>'
            f"<td>{share:.0%}</td><td>{busy}</td></tr>"
        )
        position += share
    return (
        '<svg class="stages" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="Share of the time per stage; the table below has the numbers">{"".join(parts)}</svg>'
        '<table class="numbers"><thead><tr><th scope="col">Stage</th><th scope="col">Time</th>'
        '<th scope="col">Share</th><th scope="col">Cores busy</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _ticks(span: float, most: int) -> list[float]:
    """Return round numbers from 0 to `span`, at most `most` + 1 of them."""
    step = next(
        base * 10.0**power for power in range(-4, 12) for base in (1, 2, 5) if span / (base * 10.0**power) <= most
    )
    return [step * i for i in range(int(span / step + 1e-9) + 1)]
