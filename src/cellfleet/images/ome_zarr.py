"""OME-Zarr stores (Zarr v2 and v3, sharded too; folders, zip files, addresses): images, plates, containers.

A store holds any number of images, each told by its path inside. zarr reads the chunks; this module finds the images,
checks what their metadata claim, and reads regions of the largest level. Label images are results, not images.
"""

from __future__ import annotations

import math
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cellfleet.errors import InputError
from cellfleet.images import ome_zarr_metadata as metadata
from cellfleet.images.border import damaged, decoding, unsupported_codec
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.names import printable
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored, check_dtype, check_extent
from cellfleet.images.vendor import check_local
from cellfleet.stores.client import explained
from cellfleet.stores.remote import is_url, zarr_store

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store

ZIP_ENDINGS = (".zip", ".ozx")
LARGEST_CHUNK_BYTES = 1 << 30
"""A chunk is decoded as a whole, however small the region wanted."""
LARGEST_KEPT_BYTES = 32 << 20
"""Regions of chunks that hold several planes are kept for the other planes up to this size."""
KIND = "OME-Zarr"

_quiet = threading.Lock()
"""Python keeps one list of warning filters for all threads."""


def list_ome_zarr_images(path: str) -> list[str]:
    """Return the path of every image in a store: ``[""]`` where the store is one image.

    The fields of a plate are ``B/03/0``; the images of a container or of plain groups are ``0``, ``name``.

    Raises:
        InputError: E104, E106, E141 (nothing in it is an image), E150 to E159.
    """
    name = printable(path)
    with _header(path, name):
        store = _open_store(path, name)
        found = list(_images(store, "", name, deeper=True))
    if not found:
        raise InputError(
            "E141",
            "no image was found in this Zarr store (its metadata name no multiscales, plate or series)",
            where=name,
            action="Give the group that has the OME-Zarr metadata, or convert the data with an OME-Zarr writer",
        )
    return found


def read_ome_zarr_header(source: Source, name: str, cache: ChunkCache, *, least_side: int | None = None) -> Stored:
    """Read the metadata of one image; its pixels are the largest level, and unpacked ones are kept in `cache`.

    Args:
        source: Where it is.
        name: Of the image.
        cache: Of this image alone.
        least_side: For the smallest level with so many pixels along the longer side; None: the largest.

    Raises:
        InputError: E104, E106, E109, E141, E142 (it claims nonsense), E145 (so does a chunk), E150 to E159.
        ImageError: E204, E205.
    """
    with _header(source.path, name):
        store = _open_store(source.path, name)
        node = _node(store, source.inside, name)
        if node is None or node.multiscales is None or node.label is not None:
            raise _no_image("it is a label image" if node and node.label else "it has no multiscales", name)
        multiscale = node.multiscales[0]
        axes = metadata.axis_letters(multiscale)
        paths = [_joined(source.inside, dataset.path) for dataset in multiscale.datasets]
        array = _open_level(store, paths, name, axes, least_side)
    if len(axes) != array.ndim:
        raise damaged(name, KIND, f"it names {len(axes)} axes for {array.ndim} dimensions")
    check_extent(axes, array.shape, name)
    _check_chunks(array, name)
    return Stored(
        axes=axes,
        shape=array.shape,
        dtype=check_dtype(array.dtype, name),
        read=_Reader(array, source.path, name, cache).read,
        channel_names=metadata.channel_names(node),
        pixel_sizes=metadata.pixel_sizes(multiscale),
        unit="planes",
        region_bytes=math.prod(array.chunks) * array.dtype.itemsize,
        overview=_overview(source, name, cache) if len(paths) > 1 else None,
    )


def _overview(source: Source, name: str, cache: ChunkCache) -> Callable[[int], Stored]:
    return lambda side: read_ome_zarr_header(source, name, cache.apart(), least_side=side)


class _Reader:
    """Regions of one array; zarr may be called from several threads at once."""

    def __init__(self, array: zarr.Array[Any], path: str, name: str, cache: ChunkCache) -> None:
        self._array = array
        self._path = path
        self._name = name
        self._cache = cache

    def read(self, fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        """Decode the chunks that hold a selection; see `Stored.read`."""
        lengths, chunks = self._array.shape, self._array.chunks
        index = tuple(fixed.get(i, slice(0, length)) for i, length in enumerate(lengths))
        # Chunks may hold several planes; those are wanted next.
        around = tuple(
            part
            if isinstance(part, slice)
            else slice(part // chunk * chunk, min(part // chunk * chunk + chunk, length))
            for part, chunk, length in zip(index, chunks, lengths, strict=True)
        )
        size = math.prod(part.stop - part.start for part in around)
        wanted = math.prod(part.stop - part.start for part in index if isinstance(part, slice))
        if size == wanted or size * self._array.dtype.itemsize > LARGEST_KEPT_BYTES:
            return self._decode(index)
        key = tuple((part.start, part.stop) for part in around)
        kept = self._cache.get(key, lambda: self._decode(around))
        return kept[
            tuple(
                slice(None) if isinstance(part, slice) else part - whole.start
                for part, whole in zip(index, around, strict=True)
            )
        ]

    def _decode(self, index: tuple[int | slice, ...]) -> NDArray[np.generic]:
        with decoding(self._path, self._name, KIND, part="pixels"), _asking(self._path):
            return np.asarray(self._array[index])


@contextmanager
def _header(path: str, name: str) -> Iterator[None]:
    """Run calls that read metadata: failures are told in our words, zarr's warnings not at all.

    It warns of codecs and layouts that are not in the specification; we read them all the same.
    """
    with _quiet, warnings.catch_warnings(), decoding(path, name, KIND, part="header"), _asking(path):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _asking(path: str) -> Iterator[None]:
    """Tell in our words why a server does not answer; zarr passes on what obstore raises."""
    if not is_url(path):
        yield
        return
    from obstore.exceptions import BaseError  # noqa: PLC0415 (a run on local files does not pay for it)

    try:
        yield
    except BaseError as error:
        raise explained(error, path, writing=False) from error


def _open_store(path: str, name: str) -> Store:
    from zarr.storage import ZipStore  # noqa: PLC0415 (zarr takes half a second; few runs need it)

    if not path.lower().endswith(ZIP_ENDINGS):
        return zarr_store(path)
    check_local(path, "Zipped OME-Zarr", name)
    with zipfile.ZipFile(path) as archive:
        packed = [entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
        largest = max((entry.file_size for entry in packed), default=0)
    if largest > LARGEST_CHUNK_BYTES:
        raise _too_large("a packed entry", largest, name)
    return ZipStore(path, mode="r")


def _node(store: Store, path: str, name: str) -> metadata.Node | None:
    """Return the metadata of a group; None if there is no group at `path`."""
    import zarr  # noqa: PLC0415 (slow to import)

    try:
        group = zarr.open_group(store, path=path, mode="r", use_consolidated=False)
    except (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError):
        return None
    try:
        return metadata.parse_node(group.attrs.asdict())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise damaged(name, KIND, f"its metadata make no sense at {printable(place)[:80]}") from error


def _images(store: Store, path: str, name: str, *, deeper: bool) -> Iterator[str]:
    """Yield the paths of the images at and below a group; `deeper`: look into its groups too."""
    node = _node(store, path, name)
    if node is not None and node.label is not None:
        return
    if node is not None and node.multiscales is not None:
        yield path
    elif node is not None and node.plate is not None:
        for well in node.plate.wells:
            yield from _fields(store, _joined(path, well.path), name)
    elif node is not None and node.well is not None:
        yield from (_joined(path, field.path) for field in node.well.images)
    elif node is not None and node.container is not None:
        yield from _series(store, path, name)
    elif deeper:
        for child in _children(store, path):
            yield from _images(store, _joined(path, child), name, deeper=False)


def _fields(store: Store, well: str, name: str) -> Iterator[str]:
    node = _node(store, well, name)
    # A well that was never written (a stopped acquisition) has no images.
    if node is not None and node.well is not None:
        yield from (_joined(well, field.path) for field in node.well.images)


def _series(store: Store, path: str, name: str) -> Iterator[str]:
    """Yield the images of a container of bioformats2raw: those that it lists, else 0, 1, 2 … while there are any."""
    listed = _node(store, _joined(path, "OME"), name)
    if listed is not None and listed.series:
        yield from (_joined(path, series) for series in listed.series)
        return
    number = 0
    while _node(store, _joined(path, str(number)), name) is not None:
        yield _joined(path, str(number))
        number += 1


def _children(store: Store, path: str) -> list[str]:
    from zarr.core.sync import sync  # noqa: PLC0415 (slow to import)

    async def names() -> list[str]:
        return [child async for child in store.list_dir(path)]

    return sorted(sync(names())) if store.supports_listing else []


def _open_array(store: Store, path: str, name: str) -> zarr.Array[Any]:
    import zarr  # noqa: PLC0415 (slow to import)
    from numcodecs.errors import UnknownCodecError  # noqa: PLC0415 (slow to import)

    try:
        return zarr.open_array(store, path=path, mode="r")
    except (zarr.errors.UnknownCodecError, UnknownCodecError) as error:
        raise unsupported_codec(name, "by a codec that is not installed") from error
    except (zarr.errors.ArrayNotFoundError, zarr.errors.ContainsGroupError) as error:
        raise damaged(name, KIND, f"there is no array {printable(path)[:80]}") from error


def _open_level(store: Store, paths: list[str], name: str, axes: str, least_side: int | None) -> zarr.Array[Any]:
    """Open the largest level, or the smallest whose longer side is long enough."""
    for path in reversed(paths[1:] if least_side is not None else []):
        array = _open_array(store, path, name)
        sides = [length for letter, length in zip(axes, array.shape, strict=False) if letter in "YX"]
        if max(sides, default=0) >= (least_side or 0):
            return array
    return _open_array(store, paths[0], name)


def _check_chunks(array: zarr.Array[Any], name: str) -> None:
    chunk_bytes = math.prod(array.chunks) * array.dtype.itemsize
    if chunk_bytes > LARGEST_CHUNK_BYTES:
        raise _too_large("a chunk", chunk_bytes, name)


def _too_large(what: str, size: int, name: str) -> InputError:
    return InputError(
        "E145",
        f"{what} claims {size / 1e9:.4g} GB, which would have to be unpacked at once",
        where=name,
        action="Write it again with chunks of about a megabyte; else the store is damaged",
    )


def _no_image(why: str, name: str) -> InputError:
    return InputError("E141", f"is not an OME-Zarr image: {why}", where=name, action="Give the group of an image")


def _joined(*paths: str) -> str:
    return "/".join(path for path in paths if path)
