"""Which image is meant: a file, folder or address, and the place inside it. Opens nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Source:
    """One image to open."""

    path: str
    """Local path or address of the file, of the .zarr folder, or of the zip archive."""
    name: str
    """Path relative to the input's root, with ``/``, printable; unique among the sources of a run."""
    inside: str = ""
    """Member of an archive; path of an image inside an OME-Zarr store; number of an image of a LIF, CZI or ND2 file."""
