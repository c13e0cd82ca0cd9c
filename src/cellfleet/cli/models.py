"""`cellfleet models`: what comes with the package, one line per model; and a model as a server takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cellfleet.errors import UsageError

_NUMBERS = "Per channel, of pixels as 0…255; or one for all. [default: 127.5]"


def models(  # noqa: PLR0913 (options of a command)
    action: Annotated[
        Literal["list", "export", "package"], Parameter(name="ACTION", help="list, export, or package.")
    ] = "list",
    given: Annotated[
        str | None,
        Parameter(name="NAME", show_default=False, help="export: a model, or a package. package: an ONNX classifier."),
    ] = None,
    /,
    *,
    triton: Annotated[Path | None, Parameter(metavar="DIR", help="export: a model repository of Triton.")] = None,
    backend: Annotated[
        Literal["onnxruntime", "python"], Parameter(help="export: what runs the graph; python: NVIDIA's wheel.")
    ] = "onnxruntime",
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), help="package: folder to write; its name is the model's.")
    ] = None,
    version: Annotated[str, Parameter(help="package: of the model.")] = "1.0",
    classes: Annotated[Path | None, Parameter(help="package: text file, a class per line.")] = None,
    mean: Annotated[list[float] | None, Parameter(help=f"package: {_NUMBERS}")] = None,
    deviation: Annotated[list[float] | None, Parameter(help="package: likewise; (pixel - mean) / deviation.")] = None,
) -> int:
    """List models, export one, or make a package; the text of its help stands in `cellfleet.cli.help`."""
    if action == "list":
        return _list()
    if action == "package":
        return _package(given, out, version, classes, (tuple(mean or ()), tuple(deviation or ())))
    if given is None or triton is None:
        action_to_take = "Write: cellfleet models export NAME --triton DIR"
        raise UsageError("E527", "export needs a model and a folder", where="cellfleet models", action=action_to_take)
    from cellfleet.models.load import read_content
    from cellfleet.models.triton import served_models, write_repository

    for made in write_repository(triton, served_models(*read_content(given), backend)):
        sys.stdout.write(f"{triton / made}\n")
    return 0


def _package(
    graph: str | None,
    out: Path | None,
    version: str,
    classes: Path | None,
    scale: tuple[tuple[float, ...], tuple[float, ...]],
) -> int:
    from cellfleet.errors import OutputError
    from cellfleet.models.classifier_package import package_classifier

    if graph is None or out is None:
        action = "Write: cellfleet models package NET.onnx -o FOLDER"
        raise UsageError("E771", "package needs an ONNX file and a folder", where="cellfleet models", action=action)
    try:
        names = classes.read_text(encoding="utf-8").splitlines() if classes else ()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the classes cannot be read ({error})"
        raise OutputError("E767", what, where=str(classes), action="Give a text file, a class per line") from error
    made = package_classifier(
        Path(graph), out, name=out.name, version=version, classes=names, mean=scale[0], deviation=scale[1]
    )
    height, width = made.size
    sys.stdout.write(f"{made.name}:{made.version}  {len(made.classes)} classes  images of {height} x {width} px\n")
    return 0


def _list() -> int:
    from cellfleet.models import bundled_names, read_manifest

    rows = [("name", "version", "finds", "channels", "diameter (px)", "pixel size (µm)", "validation F1")]
    for name in bundled_names():
        manifest = read_manifest(name)
        best = f"{manifest.diameter_px:g}" if manifest.diameter_px else "any"
        size = f"{manifest.microns_per_pixel:g}" if manifest.microns_per_pixel else "any"
        found = "nuclei" if manifest.compartment == "nuclear" else "whole cells"
        f1 = manifest.scores.get("validation", {}).get("f1")
        score = "" if f1 is None else f"{f1:.3f}"
        rows.append((name, manifest.version, found, ", ".join(manifest.roles), best, size, score))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    return 0
