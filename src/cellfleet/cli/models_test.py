"""`cellfleet models test`: does a model do what its package says, on this machine, and how fast?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cellfleet.spec.choices import Device

if TYPE_CHECKING:
    from cellfleet.models.package import Package
    from cellfleet.run.trial import Trial


def test(
    model: Annotated[str, Parameter(name="MODEL", help="Name, folder or zip of a package, or its address.")],
    /,
    *,
    outputs: Annotated[
        str | None,
        Parameter(metavar="MEANINGS", help="What the output channels are: foreground, interior, boundary, …"),
    ] = None,  # noqa: PT028 (a command, no test)
    device: Annotated[Device, Parameter(help="auto, cpu or cuda.")] = "auto",  # noqa: PT028
) -> int:
    """Try a model; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.run.trial import open_package, try_model

    checked = open_package(model, outputs=words(outputs))
    trial = try_model(checked, model, device=device)
    lines = [("model", called(checked.package)), *_understood(checked.package)]
    lines += [("hash", f"ok ({checked.package.sha256[:12]})"), ("graph", f"opens ({trial.device})")]
    lines += [("example", "predicted as it says" if checked.package.has_test else "none in the package")]
    sys.stdout.writelines(f"{name:<8} {said}\n" for name, said in [*lines, *_measured(trial)])
    return 0


def words(outputs: str | None) -> list[str]:
    """Return the words of ``--outputs``."""
    return [one.strip() for one in outputs.split(",")] if outputs else []


def called(package: Package) -> str:
    """Return name and version of a package."""
    return f"{package.declared.name}:{package.declared.version}"


def _understood(package: Package) -> list[tuple[str, str]]:
    """Return how a package of others is taken, which nobody may have said in so many words."""
    if not package.is_adapted or package.manifest.adaptor is None:
        return []
    manifest, adaptor = package.manifest, package.manifest.adaptor
    outputs = ", ".join(meaning for output in adaptor.outputs for meaning in output.channels)
    steps = ", ".join(step.step for step in adaptor.input.steps)
    size = f"{manifest.microns_per_pixel:g} µm/px" if manifest.microns_per_pixel else "any pixel size"
    return [
        ("input", f"{', '.join(manifest.roles)}; {size}; {steps or 'no preprocessing'}"),
        ("outputs", f"{outputs}: objects by {adaptor.recipe}"),
    ]


def _measured(trial: Trial) -> list[tuple[str, str]]:
    if trial.objects is None or trial.seconds_per_megapixel is None:
        return []
    return [
        ("image", f"{trial.objects} objects in a drawing of {trial.discs} discs"),
        ("speed", f"{trial.seconds_per_megapixel:.2f} s per megapixel on one thread"),
    ]
