"""`cellfleet bench serve`: how fast models are served. Words and files only; `bench` measures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cellfleet.cli.session import EXIT_DONE, EXIT_SOME_FAILED
from cellfleet.errors import UsageError

if TYPE_CHECKING:
    from cellfleet.bench.serve import Measured

TALK = "talk"


def serve(  # noqa: PLR0913 (options of a command)
    models: Annotated[
        list[str] | None, Parameter(name="MODEL", help="ONNX file, package, network's name; with --url: served name.")
    ] = None,
    /,
    *,
    url: Annotated[
        list[str] | None, Parameter(help="Server of the Open Inference Protocol; several: replicas.")
    ] = None,
    token: Annotated[str | None, Parameter(help="Sent to the servers.", env_var="CELLFLEET_TOKEN")] = None,
    reference: Annotated[Path | None, Parameter(help="ONNX file whose answers are right.")] = None,
    replicas: Annotated[str, Parameter(help="Numbers of replicas, such as 1,2,4.")] = "1",
    concurrency: Annotated[str, Parameter(help="Requests under way for each replica, such as 1,4.")] = "1,4",
    device: Annotated[Literal["cpu", "cuda", "both"], Parameter(help="Without --url: what computes.")] = "cpu",
    images: Annotated[int, Parameter(help="Requests for each configuration.")] = 100,
    side: Annotated[int, Parameter(help="Height and width where a model takes any, px.")] = 256,
    machine: Annotated[str | None, Parameter(help="Type of a machine, for its price, as of 'cellfleet plan'.")] = None,
    replicas_per_machine: Annotated[
        int | None, Parameter(help="Of one machine. [default: with --url 1, else all]", show_default=False)
    ] = None,
    prices: Annotated[str | None, Parameter(help="Price table. [default: the newest]")] = None,
    networks: Annotated[
        Path | None, Parameter(help="Folder for the networks' packages. [default: a cache]", show_default=False)
    ] = None,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="Folder for table, JSON and chart.")] = Path(
        "bench-serve"
    ),
    figures: Annotated[Literal["both", "svg", "png", "none"], Parameter(help="Kinds of charts.")] = "both",
) -> int:
    """Measure how models are served; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.bench.files import aligned, write_bench
    from cellfleet.bench.serve import over_grid
    from cellfleet.bench.serve_open import Opener, grid
    from cellfleet.bench.serve_table import draw_serve, serve_table
    from cellfleet.planning.paper import said
    from cellfleet.planning.prices import load_prices

    names = _models(models)
    if images < 1 or side < 1:
        raise UsageError("E771", "--images and --side are whole numbers from 1 on", action="Correct them")
    usd = load_prices(prices).machine(machine).on_demand if machine else None
    opener = Opener(tuple(url or ()), token, reference, networks)
    cells = grid(
        names, _numbers("--replicas", replicas), _numbers("--concurrency", concurrency), device, len(url or ())
    )
    measured = list(_told(over_grid(cells, opener.endpoint, opener.reference, images=images, side=side)))
    content = serve_table(measured, usd, int(bool(url)) if replicas_per_machine is None else replicas_per_machine)
    sys.stdout.write(aligned(content, said))
    write_bench(out, "serve", [content], {"machine_type": machine}, [("serve", draw_serve, content)], figures)
    sys.stderr.write(f"Written to {out}\n")
    return EXIT_DONE if all(one.right == one.checked for one in measured) else EXIT_SOME_FAILED


def _told(measured: Iterable[Measured]) -> Iterator[Measured]:
    """Pass on what was measured, and say it at once: all of it may take hours."""
    for one in measured:
        asked = one.configuration
        sys.stderr.write(
            f"{asked.model}, {asked.replicas} x {asked.device}, {asked.concurrency} at a time: "
            f"{one.throughput:.3g} images/s, {one.right} of {one.checked} checked answers right\n"
        )
        yield one


def _models(given: list[str] | None) -> list[str]:
    from cellfleet.bench.networks import NETWORKS

    if not given:
        raise UsageError(
            "E769", "no model is named", action=f"Give an ONNX file, or a network: {TALK}, {', '.join(NETWORKS)}"
        )
    return [name for one in given for name in (NETWORKS if one == TALK else (one,))]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) <= 1000 for word in words):
        raise UsageError(
            "E771", f"{option} {text!r}: expected whole numbers from 1 on, with commas", action="Correct it"
        )
    return tuple(int(word) for word in words)
