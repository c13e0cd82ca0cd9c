"""`cellfleet models`: what comes with the package, one line per model."""

from __future__ import annotations

import sys


def models() -> int:
    """List the models that come with cellfleet.

    A model trained with 'cellfleet train' is used by its folder: cellfleet segment images -o results --model FOLDER
    """
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
