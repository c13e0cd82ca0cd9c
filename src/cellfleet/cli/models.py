"""`cellfleet models`: what comes with the package, one line per model; and a model as a server takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cellfleet.errors import UsageError


def models(
    action: Annotated[Literal["list", "export"], Parameter(name="ACTION", help="list, or export.")] = "list",
    name: Annotated[
        str | None, Parameter(name="NAME", show_default=False, help="export: a bundled model, or a package's folder.")
    ] = None,
    /,
    *,
    triton: Annotated[Path | None, Parameter(metavar="DIR", help="export: a model repository of Triton.")] = None,
    backend: Annotated[
        Literal["onnxruntime", "python"], Parameter(help="export: what runs the graph; python: NVIDIA's wheel.")
    ] = "onnxruntime",
) -> int:
    """List models, or export one; the text of its help stands in `cellfleet.cli.help`."""
    if action == "list":
        return _list()
    if name is None or triton is None:
        action_to_take = "Write: cellfleet models export NAME --triton DIR"
        raise UsageError("E527", "export needs a model and a folder", where="cellfleet models", action=action_to_take)
    from cellfleet.models.load import read_content
    from cellfleet.models.triton import served_models, write_repository

    for made in write_repository(triton, served_models(*read_content(name), backend)):
        sys.stdout.write(f"{triton / made}\n")
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
