"""A plan as a table and sentences. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from cellfleet.cli.progress import count, duration

if TYPE_CHECKING:
    from cellfleet.spec.plan import Plan, Size, Span

_BOUNDS = {
    "upload": "the upload: more workers would wait for it",
    "start-up": "starting the workers: more of them, or faster ones, gain little",
    "gpu": "the GPU",
    "cpu": "the processor",
}


def write_plan(plan: Plan, *, spot: bool, stream: TextIO) -> None:
    """Write what there is to do, the table, and what bounds it."""
    stream.writelines(f"{line}\n" for line in _lines(plan, spot=spot))


def _lines(plan: Plan, *, spot: bool) -> Iterator[str]:
    yield _what(plan)
    yield f"Model {plan.model}, {_pace(plan)}; {plan.speed_source}."
    yield _upload(plan)
    if plan.start_up:
        phases = ", ".join(f"{phase.name} {duration(phase.seconds)} ({phase.source})" for phase in plan.start_up)
        yield f"Before the first image: {phases}."
    yield ""
    yield from _table(plan, spot=spot)
    yield ""
    yield f"What bounds it: {_bound(plan)}."
    if plan.workers_to_keep_up is not None and plan.arrivals_per_second is not None:
        yield (
            f"d = N · s: the upload brings {plan.arrivals_per_second:.3g} images/s, a worker does "
            f"{plan.images_per_second:.3g}: {_workers(plan.workers_to_keep_up)} keep{_s(plan)} up."
        )
    if plan.prices:
        yield f"Prices: table {plan.prices}, the oldest of {plan.priced}; {plan.machine} in {plan.region}."
    for told in plan.notices:
        yield f"{told.what} [{told.code}]"


def _s(plan: Plan) -> str:
    return "s" if plan.workers_to_keep_up == 1 else ""


def _what(plan: Plan) -> str:
    seen = plan.counted
    size = f"{pixels(seen.pixels)}, {size_of(seen.bytes)}"
    if seen.looked_at == seen.images:
        return f"{_images(seen.images)}, {size}."
    return f"{_images(seen.images)}, about {size} (reckoned from the headers of {count(seen.looked_at)})."


def _pace(plan: Plan) -> str:
    return f"{plan.seconds_per_megapixel.likely:.3g} s per megapixel on {plan.workers_on}"


def _upload(plan: Plan) -> str:
    if not plan.upload_bytes or plan.upload_mbps is None:
        return "Upload: none."
    return f"Upload: {size_of(plan.upload_bytes)} at {plan.upload_mbps:g} Mbit/s, {duration(plan.upload_seconds)}."


def _bound(plan: Plan) -> str:
    bound = _BOUNDS[plan.bottleneck]
    if plan.bottleneck != "cpu" or not plan.stage_seconds:
        return bound
    stage, seconds = max(plan.stage_seconds.items(), key=lambda item: item[1])
    return f"{bound}, {seconds / sum(plan.stage_seconds.values()):.0%} of it for the stage {stage}"


def _table(plan: Plan, *, spot: bool) -> Iterator[str]:
    costs = any(size.on_demand_usd for size in plan.sizes)
    spots = any(size.spot_usd for size in plan.sizes)
    heads = ["workers", "time", *["on demand"] * costs, *["spot"] * spots, ""]
    rows = [heads]
    for size in plan.sizes:
        row = [count(size.workers), _between(size.seconds)]
        if costs:
            row.append(_usd(size.on_demand_usd))
        if spots:
            row.append(_usd(size.spot_usd))
        rows.append([*row, _marks(plan, size)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if not i else cell.ljust(width) for i, (cell, width) in enumerate(_paired(row, widths))
        )
        yield f"  {'   '.join(cells)}".rstrip()


def _paired(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, int]]:
    return zip(row, widths, strict=True)


def _marks(plan: Plan, size: Size) -> str:
    if len(plan.sizes) == 1:
        return ""
    marks = ["cheapest"] * (size.workers == plan.cheapest) + ["fastest"] * (size.workers == plan.fastest)
    return f"← {', '.join(marks)}" if marks else ""


def _between(span: Span) -> str:
    low, high = duration(span.low), duration(span.high)
    return low if low == high else f"{low} – {high}"


def _usd(span: Span | None) -> str:
    if span is None:
        return "–"
    low, high = _money(span.low), _money(span.high)
    return low if low == high else f"{low} – {high}"


def _money(usd: float) -> str:
    if 0 < usd < 0.01:
        return "< $0.01"
    return f"${usd:.2f}" if usd < 100 else f"${count(round(usd))}"


def _images(number: int) -> str:
    return f"{count(number)} image{'s' * (number != 1)}"


def _workers(number: int) -> str:
    return f"{count(number)} worker{'s' * (number != 1)}"


def pixels(number: int) -> str:
    """Return a number of pixels as people say it."""
    for size, name in ((1e12, "terapixels"), (1e9, "gigapixels"), (1e6, "megapixels")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{count(number)} pixels"


def size_of(number: int) -> str:
    """Return a number of bytes as people say it."""
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number} bytes"
