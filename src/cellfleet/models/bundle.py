"""A model package as one file: a zip as bioimage.io takes and gives them. Knows no store."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from cellfleet.errors import ModelError
from cellfleet.models.load import find_folder, read_content
from cellfleet.models.package import RDF
from cellfleet.stores import atomic

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can hold: equal packages are equal files."""


def write_zip(model: str, out: Path) -> None:
    """Write a package: ``rdf.yaml`` at the top, and of the files beside it those that it or its documentation names.

    What training may begin with goes along.

    Args:
        model: Name of a model, or folder of a package.
        out: The zip; replaced if it is there.

    Raises:
        ModelError: As `read_content`; E528, the model has no weights, which a bioimage.io package must have.
        OutputError: It cannot be written.
    """
    package, _ = read_content(model)
    if package.graph is None:
        raise ModelError(
            "E528",
            "has no weights, and is no complete bioimage.io package",
            where=package.declared.name,
            action="Choose a model with ONNX weights",
        )
    folder = find_folder(model)
    described = (folder / RDF).read_text(encoding="utf-8")
    text = folder / (package.text or "README.md")
    named = described + (text.read_text(encoding="utf-8", errors="replace") if text.is_file() else "")
    named += package.start or ""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name in named]
    with atomic.replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [folder / RDF, *(path for path in files if path.name != RDF)]:
            archive.writestr(zipfile.ZipInfo(path.name, _MOMENT), path.read_bytes(), zipfile.ZIP_DEFLATED)
