"""Small real images that travel with the package, to try a model without data of one's own. Knows no model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cellfleet.errors import UsageError


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
