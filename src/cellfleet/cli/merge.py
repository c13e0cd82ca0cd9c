"""`cellfleet merge`: the end of a run that several machines shared. Words only; see `cellfleet.run.merge`."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter, validators

from cellfleet.spec.choices import Progress


def merge(
    results: Annotated[str, Parameter(name="RESULTS", help="Folder or bucket that the shards wrote to.")],
    /,
    *,
    threads: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1), help="Processor threads. [default: all]")
    ] = None,
    memory: Annotated[
        str | None, Parameter(metavar="SIZE", help="Memory to use, like 4GB. [default: 60 % of what is free]")
    ] = None,
    progress: Annotated[
        Progress, Parameter(help="auto: bar on a terminal, else a line per 30 s. json: lines on stdout.")
    ] = "auto",
) -> int:
    """Put the parts of a shared run together; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt, exit_code

    with Interrupt() as interrupt:
        from cellfleet.cli.progress import narrator
        from cellfleet.run.merge import merge as put_together
        from cellfleet.run.request import parse_memory
        from cellfleet.spec.segment import RunOptions

        options = RunOptions(threads=threads, memory_bytes=parse_memory(memory), progress=progress)
        with narrator(progress, results, sys.stderr, sys.stdout) as tell:
            return exit_code(put_together(results, options, tell=tell, stop=interrupt.stop))
