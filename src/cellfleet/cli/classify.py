"""`cellfleet classify`: options → one run of a classifier. Words only; everything that is done stands in `run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter, validators

from cellfleet.cli.segment import HowToRun, Where, check_where
from cellfleet.spec.choices import TOP

_INPUT = Group("Input", sort_key=1)
_MODEL = Group("Model", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)
_RUN = Group("Run", sort_key=4)
_USUAL = HowToRun()


@Parameter(name="*")
@dataclass(frozen=True)
class ClassesOptions:
    """What is told of the images."""

    model: Annotated[
        str, Parameter(name=("--model", "-m"), group=_MODEL, help="Folder, or name on the server of --on.")
    ]
    top: Annotated[
        int, Parameter(group=_MODEL, validator=validators.Number(gte=1, lte=1000), help="Classes told of each image.")
    ] = TOP
    channel: Annotated[
        tuple[str, ...],
        Parameter(
            group=_INPUT,
            show_default=False,
            metavar="STR",
            help="Number from 1 or name; one becomes all channels of the model. Else repeat for each.",
        ),
    ] = ()
    axes: Annotated[
        str | None, Parameter(group=_INPUT, help="A letter per dimension: T C Z Y X S. [default: as in file]")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class TablesOptions:
    """What is written where."""

    out: Annotated[
        str, Parameter(name=("--out", "-o"), group=_OUTPUT, metavar="PATH", help="Folder or bucket for the results.")
    ]
    overwrite: Annotated[
        bool, Parameter(group=_OUTPUT, show_default=False, help="Redo images and replace results of other settings.")
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Server:
    """Which machine computes."""

    on: Annotated[str | None, Parameter(group=_RUN, metavar="SERVER", help="Compute there; address or name.")] = None
    detach: Annotated[
        bool, Parameter(group=_RUN, show_default=False, help="With --on: leave as soon as the server has the job.")
    ] = False


def classify(
    inputs: Annotated[
        tuple[str, ...],
        Parameter(name="INPUT...", group=_INPUT, help="Images, folders, zips, OME-Zarrs, patterns, addresses."),
    ],
    /,
    *,
    tell: ClassesOptions,
    write: TablesOptions,
    how: HowToRun = _USUAL,
    where: Server = Server(),
) -> int:
    """Say of every image what it shows; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt, run_session, run_session_there

    check_where(how, Where(on=where.on, detach=where.detach))
    with Interrupt() as interrupt:
        from cellfleet.run.request import make_spec, parse_memory, parse_shard
        from cellfleet.spec.segment import ChannelChoice, RunOptions

        channels = [ChannelChoice.parse(text) for text in tell.channel]
        spec = make_spec(model=tell.model, channels=channels, axes=tell.axes, top=tell.top)
        options = RunOptions(
            device=how.device,
            threads=how.threads,
            formats=(),
            memory_bytes=parse_memory(how.memory),
            overwrite=write.overwrite,
            progress=how.progress,
            shard=parse_shard(how.shard),
        )
        if where.on is None:
            return run_session(inputs, write.out, spec, options, interrupt)
        return run_session_there(inputs, write.out, spec, options, interrupt, server=where.on, detach=where.detach)
