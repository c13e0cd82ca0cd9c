"""Open an image: the front door for sources of all kinds and arrays.

The first bytes of a file decide which reader takes it, not its name. Only headers are read here, save for colour
pictures (see `assemble.py`). Knows no models and no results.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cellfleet.errors import ImageError, InputError, Notice
from cellfleet.images import formats
from cellfleet.images.archive import count_members, list_members, member_content
from cellfleet.images.assemble import assemble
from cellfleet.images.border import reading
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.content import Content, FileContent, SharedContent, check_file
from cellfleet.images.image import Image
from cellfleet.images.names import printable
from cellfleet.images.picture import JPEG_MAGIC, PNG_MAGIC, read_picture_header
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored, check_dtype
from cellfleet.images.tiff import read_tiff_header
from cellfleet.stores.remote import open_remote
from cellfleet.stores.url import is_url, without_secrets

TIFF_MAGICS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""Classic and BigTIFF, little and big endian."""


def open_image(
    source: Source | Path | str, *, name: str | None = None, axes: str | None = None, cache: ChunkCache | None = None
) -> Image:
    """Open the image of a source; or of a path or address, where it is the only one.

    Args:
        source: What `find_images` found, or a path.
        name: Printable name for messages and tables; the source's, or the file's own, by default.
        axes: The user's letter per dimension, which replaces what the file declares.
        cache: Where unpacked strips and tiles are kept, together with those of other images; one of its own by default.

    Raises:
        InputError: E104 to E159, it cannot be read.
        ImageError: E201 to E206, its axes or pixels do not fit.
    """
    if not isinstance(source, Source):
        source = Source(str(source), printable(os.path.basename(source)))
    name = source.name if name is None else name
    return assemble(_read_header(source, name, (cache or ChunkCache()).apart()), name, axes)


def image_from_array(array: Any, *, axes: str | None = None, name: str = "array") -> Image:
    """Take an array (anything numpy understands) as an image.

    Two dimensions are YX; with more and no `axes`, the rule for nameless pages holds for the first dimension.

    Raises:
        ImageError: E201 to E205.
    """
    pixels = np.asarray(array)
    if pixels.ndim < 2:
        raise ImageError(
            "E202",
            f"an image has at least 2 dimensions, this has {pixels.ndim}",
            where=name,
            action="Pass an array (Y, X) or more",
        )
    dtype = check_dtype(pixels.dtype, name)
    stored = Stored(
        axes="Q" * (pixels.ndim - 2) + "YX",
        shape=pixels.shape,
        dtype=dtype,
        read=lambda fixed: pixels[tuple(fixed.get(i, slice(None)) for i in range(pixels.ndim))],
        unit="planes",
    )
    return assemble(stored, name, axes)


def _read_header(source: Source, name: str, cache: ChunkCache) -> Stored:
    file_name = os.path.basename(without_secrets(source.path).rstrip("/"))
    if formats.holds_several(file_name):
        return formats.read_several_header(source, name, file_name, cache)
    if formats.is_archive(file_name):
        return _read_member_header(source, name, cache)
    if is_url(source.path):
        return _read_file_header(SharedContent(source.path, lambda: open_remote(source.path)), name, cache)
    check_file(source.path, name)
    return _read_file_header(FileContent(source.path), name, cache)


def _read_member_header(source: Source, name: str, cache: ChunkCache) -> Stored:
    if not source.inside:
        list_members(source.path)  # tells why it could not be listed
    if formats.is_archive(source.inside) or formats.holds_several(source.inside):
        raise InputError(
            "E133",
            "is of a format that is not read inside a zip archive",
            where=name,
            action="Unpack the archive and give the folder",
        )
    stored = _read_file_header(member_content(source.path, source.inside, name), name, cache)
    copies = count_members(source.path, source.inside)
    if copies == 1:
        return stored
    told = Notice("W130", f"The archive holds {copies} files of this name; only the last is read")
    return replace(stored, notices=(told, *stored.notices))


def _read_file_header(content: Content, name: str, cache: ChunkCache) -> Stored:
    with reading(content.path, name), content.open() as file:
        magic = file.read(8)
    if not magic:
        raise InputError("E105", "the file is empty (0 bytes)", where=name, action="Copy or export it again")
    if magic[:4] in TIFF_MAGICS:
        return read_tiff_header(content, name, cache)
    if magic == PNG_MAGIC:
        return read_picture_header(content, name, "PNG")
    if magic[:3] == JPEG_MAGIC:
        return read_picture_header(content, name, "JPEG")
    raise InputError(
        "E105",
        f"is not a TIFF, PNG or JPEG file, whatever its name says (it begins with {_shown(magic)})",
        where=name,
        action="Export the image again as TIFF; renaming a file does not convert it",
    )


def _shown(magic: bytes) -> str:
    text = magic.decode("ascii", errors="replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else f"the bytes {magic.hex(' ')}"
