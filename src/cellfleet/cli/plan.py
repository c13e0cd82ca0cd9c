"""`cellfleet plan`: what a run would take. Words only; what is reckoned stands in `cellfleet.jobs.estimate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter, validators

from cellfleet.cli.segment import InputOptions, ModelOptions
from cellfleet.errors import UsageError
from cellfleet.spec.choices import Device

if TYPE_CHECKING:
    from cellfleet.jobs.estimate import Target
    from cellfleet.planning.prices import Prices
    from cellfleet.spec.plan import Plan
    from cellfleet.spec.segment import SegmentSpec

_INPUT = Group("Input", sort_key=1)
_WHERE = Group("Where", sort_key=3)
_MONEY = Group("Money", sort_key=4)
_OUTPUT = Group("Output", sort_key=5)
_PATIENCE_SECONDS = 15.0
_AS_IN_FILE, _USUAL_MODEL = InputOptions(), ModelOptions()
_HERE, _CLOUDS, _SLURM = "here", ("gcp-batch", "aws-batch"), "slurm"


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which machines compute."""

    on: Annotated[
        str,
        Parameter(
            group=_WHERE,
            metavar="WHERE",
            help="here, a server (address or name), a cluster.yaml, a fleet, gcp-batch, aws-batch or slurm.",
        ),
    ] = _HERE
    machine: Annotated[
        str | None,
        Parameter(group=_WHERE, metavar="TYPE", help="Of one worker: n1-standard-8+nvidia-tesla-t4:1, g4dn.xlarge, …"),
    ] = None
    region: Annotated[
        str | None, Parameter(group=_WHERE, help="Of the machines. [default: the first with a price]")
    ] = None
    max_workers: Annotated[
        int | None,
        Parameter(group=_WHERE, validator=validators.Number(gte=1, lte=10_000), help="Most workers. [default: 8]"),
    ] = None
    upload_mbps: Annotated[
        float | None,
        Parameter(
            group=_WHERE,
            metavar="MBIT/S",
            validator=validators.Number(gt=0),
            help="How fast you upload. [default: 100]",
        ),
    ] = None
    device: Annotated[Device, Parameter(group=_WHERE, help="here: what computes.")] = "auto"
    threads: Annotated[
        int | None, Parameter(group=_WHERE, validator=validators.Number(gte=1), help="here: how many. [default: all]")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Money:
    """What it costs."""

    spot: Annotated[
        bool, Parameter(group=_MONEY, show_default=False, help="Machines that the cloud may take back.")
    ] = False
    prices: Annotated[
        str | None,
        Parameter(group=_MONEY, metavar="FILE", help="Price table, or one of the package's. [default: the newest]"),
    ] = None


def plan(
    inputs: Annotated[
        tuple[str, ...],
        Parameter(name="INPUT...", group=_INPUT, help="As for segment: files, folders, zips, patterns, addresses."),
    ],
    /,
    *,
    read: InputOptions = _AS_IN_FILE,
    find: ModelOptions = _USUAL_MODEL,
    where: Where = Where(),
    money: Money = Money(),
    json: Annotated[bool, Parameter(group=_OUTPUT, show_default=False, help="The plan as one JSON object.")] = False,
) -> int:
    """Say what a run would take; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.plan_table import write_plan
    from cellfleet.planning.prices import load_prices
    from cellfleet.run.request import make_spec
    from cellfleet.spec.segment import ChannelChoice

    spec = make_spec(
        model=find.model,
        channels=[ChannelChoice.parse(text) for text in read.channel],
        microns_per_pixel=read.pixel_size,
        diameter_px=find.diameter,
        compartment=find.compartment,
        axes=read.axes,
    )
    prices = load_prices(money.prices)
    made = _planned(inputs, spec, where, money, prices)
    if json:
        sys.stdout.write(made.model_dump_json(indent=2) + "\n")
    else:
        write_plan(made, spot=money.spot, stream=sys.stdout)
    return 0


def _planned(inputs: Sequence[str], spec: SegmentSpec, where: Where, money: Money, prices: Prices) -> Plan:
    from cellfleet.jobs.estimate import estimate

    target = _target(where, money)
    if target is None:
        return _ask_server(inputs, spec, where, money)
    return estimate(inputs, spec, target, prices, tell=_say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _target(where: Where, money: Money) -> Target | None:
    """Return where the work is to be done; None: a server knows."""
    from cellfleet.jobs.estimate import Target
    from cellfleet.stores.settings import named_tables

    machine, region, most = where.machine or "", where.region or "", where.max_workers or 8
    if where.on == _HERE:
        return Target("here", machine, region, money.spot, device=where.device, threads=where.threads)
    if any(name == where.on for name, _ in named_tables("fleets")):
        return _of_fleet(where, money)
    if where.on in _CLOUDS or where.on == _SLURM:
        if where.on in _CLOUDS and not machine:
            action = "Say it with --machine, such as n1-standard-8+nvidia-tesla-t4:1"
            raise UsageError("E753", "a plan for a cloud needs the type of the machines", where=where.on, action=action)
        slurm = Target("slurm", machine, region, money.spot, most, upload_mbps=where.upload_mbps, threads=where.threads)
        return slurm if where.on == _SLURM else replace(slurm, place="cloud")
    if where.on.endswith((".yaml", ".yml")):
        return _of_cluster(where, money)
    return None


def _of_fleet(where: Where, money: Money) -> Target | None:
    """Return what a fleet of the settings starts; options go before its table."""
    from cellfleet.cluster.batch.fleet import find_fleet
    from cellfleet.jobs.estimate import Target

    said = {"machine": where.machine, "region": where.region, "max_workers": where.max_workers}
    fleet = find_fleet(where.on, {**said, "spot": money.spot or None})
    assert fleet is not None, "its table was seen"
    return Target(
        "slurm" if fleet.where == "slurm" else "cloud",
        fleet.machine or "",
        fleet.region or "",
        fleet.spot,
        fleet.max_workers,
        upload_mbps=where.upload_mbps,
        threads=where.threads or (fleet.cpus if fleet.where == "slurm" else None),
        gpus=fleet.gpus,
    )


def _of_cluster(where: Where, money: Money) -> Target:
    """Return the pool of a described cluster that runs the workers; options go before the file."""
    from pathlib import Path

    from cellfleet.jobs.estimate import Target
    from cellfleet.planning.cluster_costs import gpu_machine
    from cellfleet.spec.cluster_file import parse_cluster

    try:
        spec = parse_cluster(Path(where.on).read_bytes(), where.on)
    except OSError as error:
        action = "Give the path of a cluster.yaml; 'cellfleet cluster init' makes one"
        raise UsageError("E754", f"the description cannot be read ({error})", where=where.on, action=action) from error
    pool = spec.gpu or spec.cpu
    return Target(
        "cloud",
        where.machine or (gpu_machine(spec) if spec.gpu else spec.cpu_machine) or "",
        where.region or spec.region or "",
        money.spot or pool.spot,
        where.max_workers or pool.max,
        upload_mbps=where.upload_mbps,
    )


def _ask_server(inputs: Sequence[str], spec: SegmentSpec, where: Where, money: Money) -> Plan:
    """Let a server plan: it knows its workers. What only this machine can read is counted here."""
    from cellfleet.client.client import Client
    from cellfleet.jobs.census import count_images
    from cellfleet.spec.plan import Plan, PlanRequest
    from cellfleet.stores.url import is_url

    there = all(is_url(given) or given.startswith("set:") for given in inputs)
    counted = None if there else count_images(inputs, axes=spec.axes)
    request = PlanRequest(
        inputs=tuple(inputs) if there else (),
        counted=counted,
        segment=spec,
        machine=where.machine or "",
        region=where.region or "",
        spot=money.spot,
        max_workers=where.max_workers or 8,
        upload_bytes=counted.bytes if counted else 0,
        upload_mbps=where.upload_mbps,
    )
    with Client(where.on, patience_seconds=_PATIENCE_SECONDS) as client:
        return client.connection.ask("POST", "/api/v1/plan", Plan, body=request)
