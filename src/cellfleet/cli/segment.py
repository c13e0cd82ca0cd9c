"""`cellfleet segment`: options → one run. Words only; everything that is done stands in `cellfleet.run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter, validators

from cellfleet.errors import UsageError
from cellfleet.spec.choices import CompartmentChoice, Device, Format, Progress

_INPUT = Group("Input", sort_key=1)
_MODEL = Group("Model", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)
_RUN = Group("Run", sort_key=4)
_FLEET = Group("With --on and a batch system", sort_key=5)


@Parameter(name="*")
@dataclass(frozen=True)
class InputOptions:
    """How to read the images."""

    channel: Annotated[
        tuple[str, ...],
        Parameter(
            group=_INPUT,
            show_default=False,
            metavar="STR",
            help="Number from 1, name or role=name; a+b: sum. Repeat per role.",
        ),
    ] = ()
    pixel_size: Annotated[
        float | None,
        Parameter(name=("--pixel-size", "--image-mpp"), group=_INPUT, help="µm per pixel. [default: as in the file]"),
    ] = None
    axes: Annotated[
        str | None,
        Parameter(group=_INPUT, help="A letter per dimension: T C Z Y X S. [default: as in file]"),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class ModelOptions:
    """What finds the cells."""

    model: Annotated[
        str, Parameter(name=("--model", "-m"), group=_MODEL, help="Name ('cellfleet models' lists them) or folder.")
    ] = "nuclei"
    diameter: Annotated[
        float | None,
        Parameter(group=_MODEL, help="Typical diameter of a cell, px. [default: from pixel size or estimated]"),
    ] = None
    compartment: Annotated[
        CompartmentChoice | None,
        Parameter(name=("--compartment", "-c"), group=_MODEL, help="What to outline. [default: all]"),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """What is written where."""

    out: Annotated[
        str, Parameter(name=("--out", "-o"), group=_OUTPUT, metavar="PATH", help="Folder or bucket for the results.")
    ]
    format: Annotated[
        tuple[Format, ...],
        Parameter(
            group=_OUTPUT, show_default=False, help="Result file; repeat for several. [default: labels-tiff, csv]"
        ),
    ] = ("labels-tiff", "csv")
    overwrite: Annotated[
        bool, Parameter(group=_OUTPUT, show_default=False, help="Redo images and replace results of other settings.")
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class HowToRun:
    """What changes no result."""

    device: Annotated[Device, Parameter(group=_RUN, help="What computes; auto: a GPU if there is one.")] = "auto"
    threads: Annotated[
        int | None, Parameter(group=_RUN, validator=validators.Number(gte=1), help="Processor threads. [default: all]")
    ] = None
    memory: Annotated[
        str | None,
        Parameter(group=_RUN, metavar="SIZE", help="Memory to use, like 4GB. [default: 60 % of what is free]"),
    ] = None
    shard: Annotated[
        str | None,
        Parameter(
            group=_RUN, metavar="I/N", help="Do part I of N (auto: as the array job says), then 'cellfleet merge'."
        ),
    ] = None
    progress: Annotated[
        Progress, Parameter(group=_RUN, help="auto: bar on a terminal, else a line per 30 s. json: lines on stdout.")
    ] = "auto"


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which machine computes."""

    on: Annotated[
        str | None,
        Parameter(
            group=_RUN,
            metavar="WHERE",
            help="Compute there: a server, or gcp-batch, aws-batch, slurm; address or name.",
        ),
    ] = None
    detach: Annotated[
        bool, Parameter(group=_RUN, show_default=False, help="With --on: leave as soon as the server has the job.")
    ] = False
    machine: Annotated[
        str | None, Parameter(group=_FLEET, metavar="TYPE", help="Such as n1-standard-8+nvidia-tesla-t4:1.")
    ] = None
    spot: Annotated[bool | None, Parameter(group=_FLEET, help="Cheaper machines that may be taken away.")] = None
    max_workers: Annotated[
        int | None, Parameter(group=_FLEET, validator=validators.Number(gte=1), help="At most so many. [default: 4]")
    ] = None
    min_workers: Annotated[
        int | None, Parameter(group=_FLEET, validator=validators.Number(gte=0), help="To start at once. [default: 0]")
    ] = None
    dry_run: Annotated[
        bool, Parameter(group=_FLEET, show_default=False, help="Show what would be asked of it, and do nothing.")
    ] = False

    @property
    def fleet(self) -> dict[str, object]:
        """What is said of a fleet."""
        names = ("machine", "spot", "max_workers", "min_workers")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def segment(
    inputs: Annotated[
        tuple[str, ...],
        Parameter(name="INPUT...", group=_INPUT, help="Images, folders, zips, OME-Zarrs, patterns, addresses."),
    ],
    /,
    *,
    read: InputOptions = InputOptions(),
    find: ModelOptions = ModelOptions(),
    write: OutputOptions,
    how: HowToRun = HowToRun(),
    where: Where = Where(),
) -> int:
    """Segment every image into a folder; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt, run_session, run_session_there

    check_where(how, where)
    with Interrupt() as interrupt:
        # The libraries take half a second to load: a Ctrl-C meanwhile is a stop, too.
        from cellfleet.run.request import make_spec, parse_memory, parse_shard
        from cellfleet.spec.segment import ChannelChoice, RunOptions

        spec = make_spec(
            model=find.model,
            channels=[ChannelChoice.parse(text) for text in read.channel],
            microns_per_pixel=read.pixel_size,
            diameter_px=find.diameter,
            axes=read.axes,
            compartment=find.compartment,
        )
        options = RunOptions(
            device=how.device,
            threads=how.threads,
            formats=tuple(dict.fromkeys(write.format)),
            memory_bytes=parse_memory(how.memory),
            overwrite=write.overwrite,
            progress=how.progress,
            shard=parse_shard(how.shard),
        )
        if where.on is not None:
            from cellfleet.cluster.batch.fleet import find_fleet

            fleet = find_fleet(where.on, where.fleet)
            if fleet is not None:
                from cellfleet.cli.fleet_session import run_fleet_session

                order = inputs, write.out, spec, options.formats
                return run_fleet_session(order, fleet, interrupt, detach=where.detach, dry_run=where.dry_run)
            _refuse_fleet_options(where)
            return run_session_there(inputs, write.out, spec, options, interrupt, server=where.on, detach=where.detach)
        return run_session(inputs, write.out, spec, options, interrupt)


def check_where(how: HowToRun, where: Where) -> None:
    """Raise `UsageError` E970 for options that do not go together."""
    if where.on is None:
        if where.detach:
            raise UsageError("E970", "there is nothing to leave", where="--detach", action="Say where with --on, too")
        _refuse_fleet_options(where)
        return
    usual = HowToRun()
    for name in ("device", "threads", "memory", "shard"):
        if getattr(how, name) != getattr(usual, name):
            what = "says how this machine computes, and with --on it does not"
            raise UsageError("E970", what, where=f"--{name}", action="Leave it out, or leave out --on")


def _refuse_fleet_options(where: Where) -> None:
    """Raise `UsageError` E970 for options of a fleet where there is none."""
    given = [*where.fleet, *(["dry_run"] if where.dry_run else [])]
    if given:
        action = "Add --on gcp-batch, aws-batch, slurm or the name of a fleet, or leave it out"
        option = f"--{given[0].replace('_', '-')}"
        raise UsageError(
            "E970", "says something of a fleet's workers, and there is no fleet", where=option, action=action
        )
