"""`cellfleet models export`: a model as a bioimage.io package in one file, or for a Triton server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cellfleet.errors import UsageError


def export(
    model: Annotated[str, Parameter(name="MODEL", help="Name of a model, or folder of a package.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), metavar="ZIP", help="bioimage.io package to write.")
    ] = None,
    triton: Annotated[Path | None, Parameter(metavar="DIR", help="Model repository of Triton to write to.")] = None,
    backend: Annotated[
        Literal["onnxruntime", "python"], Parameter(help="--triton: what runs the graph; python: NVIDIA's wheel.")
    ] = "onnxruntime",
) -> int:
    """Export a model; the text of its help stands in `cellfleet.cli.help`."""
    if (out is None) == (triton is None):
        action = f"Write: cellfleet models export {model} -o {model}.zip, or --triton DIR"
        raise UsageError("E527", "export needs one place to write to", where="cellfleet models export", action=action)
    if out is not None:
        from cellfleet.models.bundle import write_zip

        write_zip(model, out)
        sys.stdout.write(f"{out}\n")
        return 0
    from cellfleet.models.load import read_content
    from cellfleet.models.triton import served_models, write_repository

    assert triton is not None, "one of both is given"
    for made in write_repository(triton, served_models(*read_content(model), backend)):
        sys.stdout.write(f"{triton / made}\n")
    return 0
