"""`cellfleet triton`: options → what stands beside a Triton server. Words only; see `cellfleet.models.sidecar`."""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

from cyclopts import Parameter, validators


def triton(
    *,
    server: Annotated[str, Parameter(metavar="URL", help="The Triton beside it: grpc://127.0.0.1:8001.")],
    store: Annotated[str, Parameter(metavar="URL", help="Folder or bucket of the service.")],
    model: Annotated[
        tuple[str, ...],
        Parameter(
            negative_iterable=(), show_default=False, help="Serve this NAME[:VERSION]; repeatable. [default: all]"
        ),
    ] = (),
    backend: Annotated[
        Literal["onnxruntime", "python"], Parameter(help="What runs the graphs; python: NVIDIA's wheel.")
    ] = "onnxruntime",
    probes: Annotated[
        str | None, Parameter(metavar="HOST:PORT", help="Answer /health/live, /health/ready and /metrics there.")
    ] = None,
    every: Annotated[
        float, Parameter(metavar="S", validator=validators.Number(gt=0), help="Seconds between two canaries.")
    ] = 5.0,
    log: Annotated[
        Literal["text", "json"] | None, Parameter(help="Log every change. [default: problems, as text]")
    ] = None,
) -> int:
    """Give a Triton its models; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt

    with Interrupt() as interrupt, contextlib.ExitStack() as stack:
        from cellfleet.inference.triton_client import connect
        from cellfleet.models.repository import Repository
        from cellfleet.models.sidecar import Sidecar
        from cellfleet.observe.logs import setup_logging
        from cellfleet.observe.probes import serving_probes
        from cellfleet.stores.cache import cache_folder
        from cellfleet.stores.place import open_place

        setup_logging(log, None if log else "warning")
        sidecar = Sidecar(Repository(open_place(store), cache_folder()), connect(server), server, backend, model)
        if probes is not None:
            answers = {"/health/ready": sidecar.not_ready, "/health/live": sidecar.not_live}
            stack.enter_context(serving_probes(probes, answers))
        sidecar.run(interrupt.stop, every)
    return 0
