"""Small real images that travel with the package, to try a model without data of one's own. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from cellfleet.errors import UsageError

SAMPLES: Final[Mapping[str, str]] = {
    "cell_painting.ome.tif": "Cells in two channels: DNA and a cell stain",
    "dense_nuclei.tif": "179 nuclei of a cell culture, 28 px wide",
    "large_nuclei.tif": "43 large nuclei, many of them touching, 43 px wide",
    "small_nuclei.tif": "60 small nuclei, 12 px wide",
}
"""Name of every sample image, sorted, and what is to be seen."""


def read_sample(name: str) -> bytes:
    """Return the file of one of `SAMPLES`."""
    return files(__name__).joinpath(name).read_bytes()


def copy_samples(folder: Path) -> list[Path]:
    """Copy the sample images and their licence note into `folder`, which is made.

    Returns:
        Paths of the images, sorted; the note is ``README.md`` beside them.

    Raises:
        UsageError: E020, when a file there has the name of a sample and another content.
        OSError: When the folder or a file cannot be written.
    """
    sources = [entry for entry in files(__name__).iterdir() if entry.name.endswith((".tif", ".md"))]
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        target = folder / source.name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise UsageError(
                "E020",
                "exists and is not the sample of that name",
                where=str(target),
                action="Choose another folder for the samples",
            )
        target.write_bytes(source.read_bytes())
    return sorted(folder / source.name for source in sources if source.name.endswith(".tif"))
