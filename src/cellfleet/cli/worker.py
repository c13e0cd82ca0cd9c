"""`cellfleet worker`: options → one worker. Words only; see `cellfleet.worker`."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

from cyclopts import Parameter, validators

from cellfleet.spec.choices import Device

_POSITIVE = validators.Number(gt=0)


def worker(
    *,
    ledger: Annotated[str, Parameter(metavar="URL", help="Redis or Valkey: redis://host:6379/0, unix:///path.")],
    store: Annotated[str, Parameter(metavar="URL", help="Folder or bucket of the service.")],
    idle_timeout: Annotated[
        float | None, Parameter(metavar="S", validator=_POSITIVE, help="End after S seconds without work.")
    ] = None,
    grace: Annotated[
        float, Parameter(metavar="S", validator=_POSITIVE, help="After SIGTERM, seconds to finish what is begun.")
    ] = 30.0,
    device: Annotated[Device, Parameter(help="What computes; auto takes a GPU where there is one.")] = "auto",
    threads: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1), help="Processor threads. [default: all]")
    ] = None,
    memory: Annotated[
        str | None, Parameter(metavar="SIZE", help="Memory to use, like 4GB. [default: 60 % of what is free]")
    ] = None,
    with_parent: Annotated[
        bool, Parameter(show=False, help="End when standard input is closed, as it is when the parent has died.")
    ] = False,
) -> int:
    """Work off tasks of a service; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt

    with Interrupt() as interrupt:
        from cellfleet.jobs.work import Patience
        from cellfleet.run.request import parse_memory
        from cellfleet.worker.process import WorkerOptions, run_worker

        if with_parent:
            threading.Thread(target=_stop_at_end_of_input, args=(interrupt.stop,), daemon=True).start()
        patience = Patience(idle=idle_timeout, grace=grace)
        options = WorkerOptions(ledger, store, device, threads, parse_memory(memory), patience)
        worked = run_worker(options, interrupt.stop)
    sys.stderr.write(f"Worker ended: {worked.done} tasks done, {worked.failed} failed, {worked.released} given back.\n")
    return 0


def _stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()
