"""`cellfleet train`: options → one training run. Words only; the work is done in `cellfleet.training`."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cellfleet.spec.choices import Device, Network, Recipe


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeOptions:
    """What is trained, and for how long."""

    network: Annotated[
        Network,
        Parameter(help="unet and panoptic: ours. feature-net: the paper's, slow on a CPU. feature-net-3d: for stacks."),
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


_DEFAULT, _AS_THEY_ARE = RecipeOptions(), InputOptions()


def train(
    dataset: Annotated[
        Path,
        Parameter(help="Folder with images/ and labels/ (or cells/ and nuclei/) of equal stems, or train/ and val/."),
    ],
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="Folder for the model package; is made.")],
    name: Annotated[str | None, Parameter(help="Name of the model. [default: that of the folder]")] = None,
    images: InputOptions = _AS_THEY_ARE,
    options: RecipeOptions = _DEFAULT,
    device: Annotated[Device, Parameter(help="auto takes a GPU where there is one.")] = "auto",
) -> int:
    """Train a model on your own labelled images.

    Writes a bioimage.io package with ONNX weights; use it with 'cellfleet segment --model FOLDER'. To go on after a
    stop, run the same command again.
    """
    from cellfleet.training import train as run
    from cellfleet.training import train_spec, with_channels

    spec = train_spec(name or out.resolve().name, **asdict(options))
    if images != _AS_THEY_ARE:
        spec = with_channels(spec, images.channel or ["nuclear=1"], images.pixel_size)
    manifest = run(dataset, out, spec, device=device, tell=_tell)
    sys.stderr.write(f"Done: {manifest.name} in {out}. The model card is {out / 'README.md'}\n")
    for data, scores in manifest.scores.items():
        sys.stderr.write(
            f"  {data.capitalize()}: F1 {scores['f1']:.3f}, AP {scores['ap']:.3f} at IoU 0.5, "
            f"mean AP {scores['mean_ap']:.3f}\n"
        )
    return 0


def _tell(entry: dict[str, Any]) -> None:
    sys.stderr.write(
        f"  step {entry['step']:6d}  {entry['seconds'] / 60:6.1f} min  loss {entry['loss']:.3f}  "
        f"F1 {entry['f1']:.3f}  AP {entry['ap']:.3f}  mean AP {entry['mean_ap']:.3f}"
        f"{_of_nuclei(entry)}\n"
    )
    sys.stderr.flush()


def _of_nuclei(entry: dict[str, Any]) -> str:
    return f"  nuclei F1 {entry['nuclei_f1']:.3f}" if "nuclei_f1" in entry else ""
