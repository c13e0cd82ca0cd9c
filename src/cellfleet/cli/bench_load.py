"""`cellfleet bench load`: a load on a running server, measured. Words and files only; `bench` brings it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cellfleet.cli.session import EXIT_DONE
from cellfleet.errors import InputError, UsageError


def load(  # noqa: PLR0913 (options of a command)
    *,
    on: Annotated[str | None, Parameter(help="Server, as of 'cellfleet segment'. [default: this machine]")] = None,
    zips: Annotated[int, Parameter(help="Zips of a repeat.")] = 10,
    every: Annotated[float, Parameter(help="Seconds from one upload's start to the next's.")] = 5.0,
    images_per_zip: Annotated[int, Parameter(help="Images of a zip.")] = 100,
    image: Annotated[Path | None, Parameter(help="Image that all are. [default: a sample]", show_default=False)] = None,
    model: Annotated[str, Parameter(help="Model of the server.")] = "nuclei",
    repeats: Annotated[int, Parameter(help="How often all of it is done.")] = 3,
    machine: Annotated[str | None, Parameter(help="Type of the workers' machines, where they do not say it.")] = None,
    prices: Annotated[str | None, Parameter(help="Price table. [default: the newest]")] = None,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="Folder for tables, JSON, figures.")] = Path(
        "bench-load"
    ),
    figures: Annotated[Literal["both", "svg", "png", "none"], Parameter(help="Kinds of figures.")] = "both",
) -> int:
    """Bring a load to a server; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.bench.files import aligned, write_bench
    from cellfleet.bench.load import Load, run_load
    from cellfleet.bench.load_table import draw_times, draw_workers, images_table, numbers_table, workers_table
    from cellfleet.client.client import Client
    from cellfleet.planning.paper import said
    from cellfleet.planning.prices import load_prices

    if min(zips, images_per_zip, repeats) < 1 or every < 0:
        what = "--zips, --images-per-zip and --repeats are whole numbers from 1 on, --every seconds from 0 on"
        raise UsageError("E771", what, action="Correct them")
    quote = load_prices(prices).machine(machine) if machine else None
    content, file_name = _image(image)
    wanted = Load(content, file_name, zips, every, model, images_per_zip)
    runs = []
    with Client(on) as client:
        server = client.about().cellfleet
        for repeat in range(1, repeats + 1):
            run = run_load(client, wanted, quote)
            sys.stderr.write(f"Repeat {repeat}: {len(run.times)} images in {run.seconds:.1f} s\n")
            runs.append(run)
    numbers, times, workers = numbers_table(wanted, runs), images_table(runs), workers_table(runs)
    sys.stdout.write(aligned(numbers, said))
    drawings = [("load-images", draw_times, times), ("load-workers", draw_workers, workers)]
    summary = {"server": server, "model": model, "zips": zips, "every_seconds": every, "images_per_zip": images_per_zip}
    write_bench(out, "load", [numbers, times, workers], summary, drawings, figures)
    sys.stderr.write(f"Written to {out}\n")
    return EXIT_DONE


def _image(given: Path | None) -> tuple[bytes, str]:
    from cellfleet.samples import read_sample

    if given is None:
        return read_sample("small_nuclei.tif"), "small_nuclei.tif"
    try:
        return given.read_bytes(), given.name
    except OSError as error:
        what = f"the image cannot be read ({error.strerror or error})"
        raise InputError("E773", what, where=str(given), action="Give an image file with --image") from error
