"""`cellfleet mesmer`: the options of ``run_app.py mesmer`` of deepcell-applications. Words only; see `run.mesmer`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, validators

from cellfleet.spec.choices import CompartmentChoice, Device

_ORIGINAL = Group("As of run_app.py", sort_key=1)
_OURS = Group("Our own", sort_key=2)


@Parameter(name="*", group=_ORIGINAL)
@dataclass(frozen=True)
class Stains:
    """The two images."""

    nuclear_image: Annotated[
        Path,
        Parameter(name=("--nuclear-image", "-n"), help="TIFF, PNG, JPEG or .npy; any other format."),
    ]
    nuclear_channel: Annotated[
        tuple[int, ...],
        Parameter(
            name=("--nuclear-channel", "-nc"),
            consume_multiple=True,
            help="Channels of it from 0; several are summed.",
        ),
    ] = (0,)
    membrane_image: Annotated[
        Path | None,
        Parameter(name=("--membrane-image", "-m"), help="[default: the membrane channel is blank]"),
    ] = None
    membrane_channel: Annotated[
        tuple[int, ...],
        Parameter(
            name=("--membrane-channel", "-mc"),
            consume_multiple=True,
            help="Channels of it from 0; several are summed.",
        ),
    ] = (0,)


@Parameter(name="*", group=_ORIGINAL)
@dataclass(frozen=True)
class Output:
    """The file that is written."""

    output_directory: Annotated[Path, Parameter(name=("--output-directory", "-o"), help="Is made.")] = Path("output")
    output_name: Annotated[str, Parameter(name=("--output-name", "-f"), help="A TIFF of int32. Must not be there.")] = (
        "mask.tif"
    )
    squeeze: Annotated[bool, Parameter(show_default=False, help="(Y, X) instead of (1, Y, X, 1).")] = False


@Parameter(name="*", group=_ORIGINAL)
@dataclass(frozen=True)
class Inference:
    """What is found."""

    image_mpp: Annotated[float, Parameter(help="µm per pixel, whatever the file says.")] = 0.5
    compartment: Annotated[
        CompartmentChoice, Parameter(name=("--compartment", "-c"), help="both: (1, Y, X, 2), the cells first.")
    ] = "whole-cell"
    batch_size: Annotated[
        int | None, Parameter(name=("--batch-size", "-b"), show_default=False, help="Has no meaning here: ignored.")
    ] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"] | None,
        Parameter(name=("--log-level", "-L"), show_default=False, help="Has no meaning here: ignored."),
    ] = None

    @property
    def ignored(self) -> tuple[str, ...]:
        """Options that were given and mean nothing."""
        given = {"--batch-size": self.batch_size, "--log-level": self.log_level}
        return tuple(name for name, value in given.items() if value is not None)


@Parameter(name="*", group=_OURS)
@dataclass(frozen=True)
class Ours:
    """What the original has not."""

    model: Annotated[str, Parameter(help="Name or folder of a model of a nuclear and a membrane channel.")] = "tissue"
    device: Annotated[Device, Parameter(help="What computes; auto: a GPU if there is one.")] = "auto"
    threads: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1), help="Processor threads. [default: all]")
    ] = None


def mesmer(
    *, stains: Stains, output: Output = Output(), inference: Inference = Inference(), ours: Ours = Ours()
) -> int:
    """Segment two images into one TIFF; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.models import load_model
    from cellfleet.run.mesmer import Order, run_mesmer

    membrane = (stains.membrane_image, stains.membrane_channel) if stains.membrane_image else None
    order = Order(
        nuclear=(stains.nuclear_image, stains.nuclear_channel),
        membrane=membrane,
        out=output.output_directory / output.output_name,
        microns_per_pixel=inference.image_mpp,
        compartment=inference.compartment,
        squeeze=output.squeeze,
    )
    for name in inference.ignored:
        sys.stderr.write(f"{name} has no meaning here and is ignored.\n")
    for notice in run_mesmer(order, load_model(ours.model, device=ours.device), threads=ours.threads):
        sys.stderr.write(f"{notice}\n")
    sys.stderr.write(f"Wrote {order.out}\n")
    return 0
