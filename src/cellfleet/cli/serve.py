"""`cellfleet serve`: options → one service. Words only; see `cellfleet.service.serve`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, validators

from cellfleet.spec.choices import Device

_WHERE = Group("Where", sort_key=1)
_WORK = Group("Work", sort_key=2)
_WHO = Group("Who may do what", sort_key=3)
_MONEY = Group("Money", sort_key=4)


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """What is served where."""

    host: Annotated[str, Parameter(group=_WHERE, help="Name or address to listen at; 0.0.0.0: all.")] = "127.0.0.1"
    port: Annotated[
        int, Parameter(group=_WHERE, validator=validators.Number(gte=0, lte=65535), help="0: any that is free.")
    ] = 8000
    data: Annotated[
        str, Parameter(group=_WHERE, metavar="DIR", help="Folder for uploads, jobs, results, tokens and the ledger.")
    ] = "cellfleet-data"
    store: Annotated[
        str | None, Parameter(group=_WHERE, metavar="URL", help="Folder or bucket in place of DIR/store.")
    ] = None
    ledger: Annotated[
        str | None, Parameter(group=_WHERE, metavar="URL", help="Redis or Valkey in place of a private server.")
    ] = None
    public_url: Annotated[
        str | None, Parameter(group=_WHERE, metavar="URL", help="How clients reach it, if through a proxy.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Work:
    """Who does the work."""

    workers: Annotated[
        int, Parameter(group=_WORK, validator=validators.Number(gte=0), help="Workers to start; 0: elsewhere.")
    ] = 1
    trainers: Annotated[
        int | None,
        Parameter(
            group=_WORK,
            metavar="N",
            validator=validators.Number(gte=0),
            help="Trainers to start; 0: none, or elsewhere. [default: 1 where PyTorch is installed]",
        ),
    ] = None
    device: Annotated[Device, Parameter(group=_WORK, help="What computes; auto takes a GPU where there is one.")] = (
        "auto"
    )
    memory: Annotated[
        str | None,
        Parameter(group=_WORK, metavar="SIZE", help="For each worker, like 4GB. [default: a share of what is free]"),
    ] = None
    retention_days: Annotated[
        int | None,
        Parameter(
            group=_WORK, metavar="N", validator=validators.Number(gte=1), help="Delete jobs and uploads after N days."
        ),
    ] = None
    log: Annotated[
        Literal["text", "json"] | None, Parameter(group=_WORK, help="Log every request and task. [default: problems]")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Who:
    """Who may do what."""

    allow_input: Annotated[
        tuple[str, ...],
        Parameter(
            group=_WHO, metavar="PATH", show_default=False, help="Path or address that jobs may use; repeat for more."
        ),
    ] = ()
    kiosk_user: Annotated[
        str | None, Parameter(group=_WHO, metavar="NAME", help="Open the kiosk's routes; this user owns what comes.")
    ] = None
    user_header: Annotated[
        str | None, Parameter(group=_WHO, metavar="NAME", help="Header in which a proxy says who has logged in.")
    ] = None
    trust: Annotated[
        tuple[str, ...],
        Parameter(group=_WHO, metavar="IP", show_default=False, help="Address of that proxy; repeat for more."),
    ] = ()


@Parameter(name="*")
@dataclass(frozen=True)
class Money:
    """What it costs."""

    budget: Annotated[
        float | None,
        Parameter(
            group=_MONEY, metavar="USD", validator=validators.Number(gte=0), help="Of a month: then jobs are paused."
        ),
    ] = None
    prices: Annotated[
        str | None, Parameter(group=_MONEY, metavar="FILE", help="Price table. [default: that of the package]")
    ] = None
    machine: Annotated[
        str | None, Parameter(group=_MONEY, metavar="TYPE", help="What this runs on: n1-standard-8+nvidia-tesla-t4:1.")
    ] = None
    region: Annotated[str | None, Parameter(group=_MONEY, help="Where, for its prices: us-west1.")] = None
    spot: Annotated[bool, Parameter(group=_MONEY, show_default=False, help="It is a spot machine.")] = False


def serve(*, where: Where = Where(), work: Work = Work(), who: Who = Who(), money: Money = Money()) -> int:
    """Run the service; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt
    from cellfleet.observe.metrics import sharing_metrics

    with Interrupt() as interrupt, sharing_metrics():
        from cellfleet.observe.logs import VARIABLE, setup_logging
        from cellfleet.run.request import parse_memory

        _require_libraries()
        from cellfleet.service.serve import ServeOptions
        from cellfleet.service.serve import serve as run_service
        from cellfleet.service.settings import make_settings
        from cellfleet.spec.usage import Machine

        settings = make_settings(
            public_url=where.public_url,
            allowed_inputs=who.allow_input,
            kiosk_user=who.kiosk_user,
            user_header=who.user_header,
            trusted_proxies=who.trust,
            budget_usd=money.budget,
            prices=money.prices,
            retention_days=work.retention_days,
        )
        setup_logging(work.log, None if work.log or os.environ.get(VARIABLE) else "warning")
        options = ServeOptions(
            data=Path(where.data),
            host=where.host,
            port=where.port,
            ledger=where.ledger,
            store=where.store,
            workers=work.workers,
            trainers=work.trainers,
            device=work.device,
            memory_bytes=parse_memory(work.memory),
            log=work.log,
            machine=Machine(name=money.machine or "", region=money.region or "", spot=money.spot),
        )
        run_service(options, settings, interrupt.stop, _say)
    return 0


def _require_libraries() -> None:
    try:
        import fastapi  # noqa: F401
        import redis  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        from cellfleet.errors import UsageError

        what = f"the service needs a library that is not installed ({error.name})"
        raise UsageError("E915", what, action="pip install 'cellfleet[server]'") from error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
