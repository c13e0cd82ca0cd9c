"""What the endings of names mean, and which reader takes files of formats that hold several images.

Files of TIFF, PNG and JPEG are told by their first bytes, all else by the ending. Readers for other formats are
imported when the first such file is met.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from cellfleet.errors import CellfleetError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
SLIDE_SUFFIXES = (".svs", ".ndpi", ".qptiff", ".scn", ".bif")
"""Whole-slide scanners' names for TIFF."""
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", *SLIDE_SUFFIXES)
"""Told by their first bytes."""
ZARR_SUFFIXES = (".zarr", ".ozx", ".zarr.zip")
VENDOR_SUFFIXES = (".nd2", ".czi", ".lif")
"""Read with the extra ``readers``."""
ARCHIVE_SUFFIX = ".zip"
IMAGE_SUFFIXES = (*SUFFIXES, *ZARR_SUFFIXES, *VENDOR_SUFFIXES)
"""All that is looked for in folders."""

ListImages = Callable[[str], list[str]]
ReadHeader = Callable[[Source, str, ChunkCache], Stored]


def is_image(name: str) -> bool:
    """Tell whether a file of this name is looked for in folders."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_zarr(name: str) -> bool:
    """Tell whether a folder or file of this name is a Zarr store; such folders are not searched."""
    return name.lower().endswith(ZARR_SUFFIXES)


def is_archive(name: str) -> bool:
    """Tell whether a file of this name is an archive of image files."""
    return name.lower().endswith(ARCHIVE_SUFFIX) and not is_zarr(name)


def holds_several(name: str) -> bool:
    """Tell whether a file of this name may hold several images."""
    return name.lower().endswith((*ZARR_SUFFIXES, *VENDOR_SUFFIXES))


def list_inside(path: str, name: str) -> list[str]:
    """Return `Source.inside` of every image in a file for which `holds_several`.

    A file that cannot be listed, or is empty, is one image: it fails by name when it is opened.
    """
    list_images, _ = _reader(name)
    try:
        return list_images(path) or [""]
    except CellfleetError:
        return [""]


def read_several_header(source: Source, name: str, file_name: str, cache: ChunkCache) -> Stored:
    """Read the header of one image of a file for which `holds_several`; unpacked pieces are kept in `cache`.

    Raises:
        InputError: As its reader does.
        ImageError: As its reader does.
    """
    _, read_header = _reader(file_name)
    return read_header(source, name, cache)


def _reader(name: str) -> tuple[ListImages, ReadHeader]:
    """Return the functions of the module that reads files of this name."""
    ending = PurePosixPath(name.lower()).suffix
    if ending == ".nd2":
        from cellfleet.images.nd2_file import list_nd2_images, read_nd2_header  # noqa: PLC0415 (seldom needed)

        return list_nd2_images, read_nd2_header
    if ending == ".czi":
        from cellfleet.images.czi_file import list_czi_images, read_czi_header  # noqa: PLC0415 (seldom needed)

        return list_czi_images, lambda source, name, _: read_czi_header(source, name)  # the library keeps some itself
    if ending == ".lif":
        from cellfleet.images.lif_file import list_lif_images, read_lif_header  # noqa: PLC0415 (seldom needed)

        return list_lif_images, lambda source, name, _: read_lif_header(source, name)  # nothing is packed
    from cellfleet.images.ome_zarr import list_ome_zarr_images, read_ome_zarr_header  # noqa: PLC0415 (seldom needed)

    return list_ome_zarr_images, read_ome_zarr_header
