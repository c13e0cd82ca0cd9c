"""`cellfleet train`: options → one training run. Words only; the work is done in `cellfleet.training`."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cellfleet.cli.training_words import point_line, score_lines
from cellfleet.errors import UsageError
from cellfleet.spec.choices import Device, Network, Recipe


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeOptions:
    """What is trained, and for how long."""

    network: Annotated[
        Network,
        Parameter(
            help="unet and panoptic: ours. detector: boxes and masks. feature-net: the paper's, slow on a CPU. "
            "feature-net-3d: for stacks."
        ),
    ] = "unet"
    receptive_field: Annotated[
        int | None, Parameter(help="Of the feature-nets, px. [default: 41]", show_default=False)
    ] = None
    frames: Annotated[
        int | None, Parameter(help="Planes that feature-net-3d looks at. [default: 5]", show_default=False)
    ] = None
    recipe: Annotated[Recipe, Parameter(help="fast: AdamW with a cosine. paper: SGD, rate × 0.95 per epoch.")] = "fast"
    minutes: Annotated[float | None, Parameter(help="Budget, minutes without validation. [default: 20]")] = None
    steps: Annotated[int | None, Parameter(help="Budget in steps of 12 crops, instead of minutes.")] = None
    seed: Annotated[int, Parameter(help="Decides weights, crops and a missing split.")] = 0


@Parameter(name="*")
@dataclass(frozen=True)
class InputOptions:
    """What the images show."""

    channel: Annotated[
        list[str] | None,
        Parameter(help="Of images with several channels, what one shows: nuclear=1. Repeat it; membrane=2+3 sums two."),
    ] = None
    pixel_size: Annotated[
        float | None, Parameter(help="µm per pixel of all images. [default: judged by the objects]", show_default=False)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class There:
    """Where it is trained."""

    on: Annotated[
        str | None, Parameter(metavar="SERVER", help="Train there: address of a server, or its name in the settings.")
    ] = None
    compare_with: Annotated[
        str | None, Parameter(metavar="MODEL", help="--on: published model. [default: the server's first]")
    ] = None
    detach: Annotated[
        bool, Parameter(show_default=False, help="--on: leave when the server has the run; its id goes to stdout.")
    ] = False


_DEFAULT, _AS_THEY_ARE, _HERE = RecipeOptions(), InputOptions(), There()


def train(
    dataset: Annotated[
        str,
        Parameter(help="Folder with images/ and labels/ (or cells/ and nuclei/) of equal stems, or train/ and val/."),
    ],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="Folder for the model package; is made. Needed without --on.")
    ] = None,
    name: Annotated[str | None, Parameter(help="Name of the model. [default: that of the folder]")] = None,
    images: InputOptions = _AS_THEY_ARE,
    options: RecipeOptions = _DEFAULT,
    device: Annotated[Device, Parameter(help="auto takes a GPU where there is one.")] = "auto",
    there: There = _HERE,
    start: Annotated[
        str | None,
        Parameter(name="--from", metavar="MODEL", help="Begin with the weights of this model, or of a run's folder."),
    ] = None,
) -> int:
    """Train a model on your own labelled images; the text of its help stands in `cellfleet.cli.help`."""
    if there.on is not None:
        return _train_there(dataset, out, name, images, options, device, there, start)
    if out is None or there != _HERE:
        raise _unfit("--out is missing" if out is None else "--detach and --compare-with need --on")
    from cellfleet.training import train as run
    from cellfleet.training import train_spec, with_channels

    spec = train_spec(name or out.resolve().name, **asdict(options))
    if images != _AS_THEY_ARE:
        spec = with_channels(spec, images.channel or ["nuclear=1"], images.pixel_size)
    manifest = run(dataset, out, spec, device=device, tell=_tell, start=start)
    sys.stderr.write(f"Done: {manifest.name} in {out}. The model card is {out / 'README.md'}\n")
    sys.stderr.writelines(score_lines(manifest.scores))
    return 0


def _train_there(
    dataset: str,
    out: Path | None,
    name: str | None,
    images: InputOptions,
    options: RecipeOptions,
    device: Device,
    there: There,
    start: str | None,
) -> int:
    from cellfleet.cli.training_session import train_there

    if device != "auto":
        raise _unfit("--device is of this machine, and --on trains elsewhere")
    settings = {
        **asdict(options),
        "channels": images.channel or (),
        "microns_per_pixel": images.pixel_size,
        "compare_with": there.compare_with,
        "start": start,
    }
    called = name or (out.resolve().name if out is not None else Path(dataset.rstrip("/")).stem)
    assert there.on is not None, "it was looked at"
    return train_there(there.on, dataset, called, settings, out, detach=there.detach)


def _unfit(what: str) -> UsageError:
    action = "Say where the model goes with -o, or where it is trained with --on; 'cellfleet train --help' has all"
    return UsageError("E991", what, where="cellfleet train", action=action)


def _tell(entry: dict[str, Any]) -> None:
    sys.stderr.write(point_line(entry))
    sys.stderr.flush()
