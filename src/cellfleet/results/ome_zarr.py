"""Labels of any size as OME-Zarr: a multiscale label image that viewers read by pieces, near or over the network.

Version 0.5 (Zarr 3 with shards: few files) or 0.4 (Zarr 2, for older programs). What is held in memory is some blocks
of the pyramid, each of which is written once.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellfleet.results.labelled import LabelImage
from cellfleet.results.pyramid import Piece, level_shapes, pieces

if TYPE_CHECKING:
    import zarr

Version = Literal["0.5", "0.4"]
_CHUNK = 512
_SHARD = 2048
_ZSTD_LEVEL = 1
"""Labels are so regular that higher ones save nothing."""


def write_ome_zarr(
    path: Path,
    labels: LabelImage,
    *,
    microns_per_pixel: float | None = None,
    source: str | None = None,
    version: Version = "0.5",
    threads: int = 1,
) -> None:
    """Write `labels` as a group that is the label image: arrays ``0``, ``1`` …, each every second pixel of the last.

    uint32, zstd, in chunks of 512 × 512, which 0.5 holds in shards of 2048 × 2048; where such a block is background
    alone, nothing is stored. Axes are those of the image; a level has all its planes. The same labels are the same
    bytes.

    Args:
        path: Folder that is made; must not exist.
        labels: What to write.
        microns_per_pixel: Scale in y and x, µm; None: pixels without unit.
        source: Path from `path` to the OME-Zarr image that was segmented, of the same version; None: not told.
        version: Of OME-Zarr.
        threads: That compress and write.

    Raises:
        OSError: A file cannot be written.
    """
    import zarr  # noqa: PLC0415 (0.3 s that other formats need not wait for)

    group = zarr.open_group(
        path,
        mode="w-",
        zarr_format=3 if version == "0.5" else 2,
        attributes=_attributes(labels, microns_per_pixel, source, version),
    )
    arrays = [
        _make_array(group, str(level), (*labels.shape[:-2], *shape), labels.axes, version)
        for level, shape in enumerate(level_shapes(labels.shape))
    ]
    _in_threads(partial(_write, arrays), pieces(labels, _SHARD), threads)


def path_to_image(labels: Path, image: str) -> str | None:
    """Return the path from a label image to the image that was segmented, as `write_ome_zarr` takes it.

    None where `image` is not a local OME-Zarr image of version 0.5: the specification knows no link by address, nor
    from one version to another. Neither has a link from one drive of Windows to another.
    """
    try:
        is_image = json.loads(Path(image, "zarr.json").read_bytes())["attributes"]["ome"]["multiscales"]
        path = os.path.relpath(os.path.realpath(image), os.path.realpath(labels))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(path).as_posix() if is_image else None


def _make_array(group: zarr.Group, name: str, shape: tuple[int, ...], axes: str, version: Version) -> zarr.Array[Any]:
    planes = (1,) * (len(shape) - 2)
    return group.create_array(
        name,
        shape=shape,
        chunks=(*planes, _CHUNK, _CHUNK),
        dtype="uint32",
        fill_value=0,
        # What is background alone is found out once for a block; zarr would look at each chunk, for half of all time.
        config={"write_empty_chunks": True},
        **_storage(planes, axes, version),
    )


def _storage(planes: tuple[int, ...], axes: str, version: Version) -> dict[str, Any]:
    """Return what differs between Zarr 3 and Zarr 2 when an array is made."""
    if version == "0.5":
        from zarr.codecs import ZstdCodec  # noqa: PLC0415 (as zarr)

        return {
            "shards": (*planes, _SHARD, _SHARD),
            "compressors": ZstdCodec(level=_ZSTD_LEVEL),
            "dimension_names": list(axes.lower()),
        }
    from numcodecs import Blosc  # noqa: PLC0415 (as zarr)

    # Blosc around it: programs in Java know no fast codec of Zarr 2 but Blosc.
    return {
        "compressors": Blosc("zstd", _ZSTD_LEVEL, Blosc.NOSHUFFLE),
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    }


def _write(arrays: list[zarr.Array[Any]], piece: Piece) -> None:
    if piece.labels.max():
        array = arrays[piece.level]
        plane = [int(index) for index in np.unravel_index(piece.plane, array.shape[:-2])]
        where: tuple[int | slice, ...] = (*plane, piece.box.y, piece.box.x)
        array[where] = piece.labels


def _in_threads(write: Callable[[Piece], None], todo: Iterable[Piece], threads: int) -> None:
    """Call `write` for each piece; at most two for each thread wait."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[None]] = deque()
        for piece in todo:
            waiting.append(pool.submit(write, piece))
            if len(waiting) > 2 * threads:
                waiting.popleft().result()
        for future in waiting:
            future.result()


def _attributes(
    labels: LabelImage, microns_per_pixel: float | None, source: str | None, version: Version
) -> dict[str, Any]:
    """Return the attributes of the group, made by the models of the specification."""
    from yaozarrs import DimSpec, v04, v05  # noqa: PLC0415 (0.2 s that other formats need not wait for)

    # Without translation: a pixel of a level has the place of the pixel that it was taken from.
    sizes = [
        DimSpec(name=axis.lower(), scale=microns_per_pixel, unit="micrometer", scale_factor=2)
        if axis in "YX" and microns_per_pixel
        else DimSpec(name=axis.lower(), scale_factor=2 if axis in "YX" else 1)
        for axis in labels.axes
    ]
    spec = v05 if version == "0.5" else v04
    scales = spec.Multiscale.from_dims(sizes, name="labels", n_levels=len(level_shapes(labels.shape)))
    scales.type = "nearest"
    about = spec.ImageLabel(version=version, source=None if source is None else spec.LabelSource(image=source))
    image = spec.LabelImage(multiscales=[scales], image_label=about)
    told = image.model_dump(mode="json", exclude_none=True)
    return {"ome": told} if version == "0.5" else told
