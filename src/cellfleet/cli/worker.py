"""`cellfleet worker`: options → one worker. Words only; see `cellfleet.worker`."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from cellfleet.errors import LedgerError, OutputError
from cellfleet.spec.choices import Device

_POSITIVE = validators.Number(gt=0)
_EXIT_AGAIN = 5
"""Tells whoever keeps workers running that this one is to be started again, which 2, 4 and 6 do not."""
_MAY_PASS = frozenset({"E301", "E323", "E801", "E807"})
"""Ledger or store do not answer, or are full."""


@Parameter(name="*")
@dataclass(frozen=True)
class Means:
    """What the work may use."""

    device: Annotated[Device, Parameter(help="What computes; auto takes a GPU where there is one.")] = "auto"
    threads: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1), help="Processor threads. [default: all]")
    ] = None
    memory: Annotated[
        str | None, Parameter(metavar="SIZE", help="Memory to use, like 4GB. [default: 60 % of what is free]")
    ] = None
    model_server: Annotated[
        str | None, Parameter(metavar="URL", help="Triton that predicts instead of this process: grpc://host:8001.")
    ] = None
    machine: Annotated[
        str | None, Parameter(metavar="TYPE", help="What to bill: a machine type, n1-standard-8+nvidia-tesla-t4:1.")
    ] = None
    region: Annotated[str | None, Parameter(help="Of the cloud, for its prices: us-west1.")] = None
    spot: Annotated[bool, Parameter(help="Bill the price of machines that may be taken away.")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Watched:
    """What operators see of it."""

    log: Annotated[Literal["text", "json"] | None, Parameter(help="Log every task. [default: problems, as text]")] = (
        None
    )
    metrics: Annotated[str | None, Parameter(metavar="HOST:PORT", help="Where Prometheus may ask for metrics.")] = None


def worker(
    *,
    ledger: Annotated[str, Parameter(metavar="URL", help="Redis or Valkey: redis://host:6379/0; store: for none.")],
    store: Annotated[str, Parameter(metavar="URL", help="Folder or bucket of the service.")],
    idle_timeout: Annotated[
        float | None, Parameter(metavar="S", validator=_POSITIVE, help="End after S seconds without work.")
    ] = None,
    grace: Annotated[
        float, Parameter(metavar="S", validator=_POSITIVE, help="After SIGTERM, seconds to finish what is begun.")
    ] = 30.0,
    means: Means = Means(),
    watched: Watched = Watched(),
    with_parent: Annotated[
        bool, Parameter(show=False, help="End when standard input is closed, as it is when the parent has died.")
    ] = False,
) -> int:
    """Work off tasks of a service; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt

    with Interrupt() as interrupt, contextlib.ExitStack() as stack:
        from cellfleet.jobs.work import Patience
        from cellfleet.observe.logs import VARIABLE, setup_logging
        from cellfleet.observe.metrics import serving_metrics
        from cellfleet.run.request import parse_memory
        from cellfleet.spec.usage import Machine
        from cellfleet.worker.process import WorkerOptions, run_worker

        if with_parent:
            threading.Thread(target=stop_at_end_of_input, args=(interrupt.stop,), daemon=True).start()
        patience, memory = Patience(idle=idle_timeout, grace=grace), parse_memory(means.memory)
        billed = Machine(name=means.machine or "", region=means.region or "", spot=means.spot)
        options = WorkerOptions(
            ledger, store, means.device, means.threads, memory, means.model_server, billed, patience
        )
        form = watched.log
        setup_logging(form, None if form or os.environ.get(VARIABLE) else "warning", worker=options.name)
        if watched.metrics is not None:
            stack.enter_context(serving_metrics(watched.metrics))
        try:
            worked = run_worker(options, interrupt.stop)
        except (LedgerError, OutputError) as error:
            if error.code in _MAY_PASS:
                error.exit_code = _EXIT_AGAIN
            raise
    sys.stderr.write(f"Worker ended: {worked.done} tasks done, {worked.failed} failed, {worked.released} given back.\n")
    return 0


def stop_at_end_of_input(stop: threading.Event) -> None:
    """Set `stop` when standard input is closed, as it is when the parent has died."""
    # Not sys.stdin.read: a thread that waits there has a lock without which Python cannot end.
    while os.read(0, 4096):
        pass
    stop.set()
