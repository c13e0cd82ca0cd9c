"""`cellfleet models package`: an ONNX file of an image classifier as a package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_NUMBERS = "Per channel, of pixels as 0…255; or one for all. [default: 127.5]"


def package(
    graph: Annotated[Path, Parameter(name="FILE", help="ONNX file of an image classifier.")],
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), help="Folder to write; its name is the model's.")],
    version: Annotated[str, Parameter(help="Of the model.")] = "1.0",
    classes: Annotated[Path | None, Parameter(help="Text file, a class per line.")] = None,
    mean: Annotated[list[float] | None, Parameter(help=_NUMBERS)] = None,
    deviation: Annotated[list[float] | None, Parameter(help="Likewise; (pixel - mean) / deviation.")] = None,
) -> int:
    """Make a package; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.errors import OutputError
    from cellfleet.models.classifier_package import package_classifier

    try:
        names = classes.read_text(encoding="utf-8").splitlines() if classes else ()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the classes cannot be read ({error})"
        raise OutputError("E767", what, where=str(classes), action="Give a text file, a class per line") from error
    made = package_classifier(
        graph,
        out,
        name=out.name,
        version=version,
        classes=names,
        mean=tuple(mean or ()),
        deviation=tuple(deviation or ()),
    )
    height, width = made.size
    sys.stdout.write(f"{made.name}:{made.version}  {len(made.classes)} classes  images of {height} x {width} px\n")
    return 0
