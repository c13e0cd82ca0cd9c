"""`cellfleet export`: finished results in further formats. Words only; the work stands in `cellfleet.run.export`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cellfleet.cli.session import EXIT_DONE, EXIT_SOME_FAILED, EXIT_STOPPED, Interrupt
from cellfleet.spec.choices import Format

if TYPE_CHECKING:
    from cellfleet.run.export import Exported


def export(
    results: Annotated[str, Parameter(name="RESULTS", help="Folder or bucket address that segment wrote with -o.")],
    /,
    *,
    format: Annotated[tuple[Format, ...], Parameter(help="Result file; repeat for several.")],
    out: Annotated[
        str | None, Parameter(name=("--out", "-o"), help="Where to write. [default: beside the other results]")
    ] = None,
    overwrite: Annotated[bool, Parameter(show_default=False, help="Write again what is there.")] = False,
) -> int:
    """Write finished results in further formats; the text of its help stands in `cellfleet.cli.help`."""
    with Interrupt() as interrupt:
        from cellfleet.cli.progress import narrator
        from cellfleet.run.export import export as write_formats

        forms, target = tuple(dict.fromkeys(format)), results if out is None else out
        with narrator("auto", target, sys.stderr, sys.stdout) as tell:
            done = write_formats(results, forms, out, overwrite=overwrite, tell=tell, stop=interrupt.stop)
    sys.stderr.write(_closing(done, forms, target) + "\n")
    if done.stopped:
        return EXIT_STOPPED
    return EXIT_SOME_FAILED if done.failed else EXIT_DONE


def _closing(done: Exported, forms: tuple[str, ...], target: str) -> str:
    if done.stopped:
        return "Stopped. Run the same command again to go on."
    if done.already_done == done.images:
        return f"Nothing to do: {', '.join(forms)} of all {_images(done.images)} stand in {target}"
    failed = f", {done.failed} failed" if done.failed else ""
    before = f" ({done.already_done} were there)" if done.already_done else ""
    return f"Done: {', '.join(forms)} of {_images(done.images - done.failed)}{before} in {target}{failed}"


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
