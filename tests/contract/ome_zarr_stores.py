"""Writes OME-Zarr images of both versions, as other programs would: metadata by hand, arrays by zarr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

TYPES = {"t": "time", "c": "channel"}


def write_group(path: Path, attributes: Mapping[str, Any], version: str = "0.5") -> None:
    """A group with OME metadata: at the top of the attributes up to 0.4, below `ome` since."""
    if version >= "0.5":
        zarr.create_group(path, zarr_format=3, attributes={"ome": {"version": version, **attributes}}, overwrite=True)
    else:
        zarr.create_group(path, zarr_format=2, attributes=dict(attributes), overwrite=True)


def multiscale(axes: str, microns: float = 0.5) -> dict[str, Any]:
    """The metadata of a pyramid of two levels."""
    spatial = [letter in "zyx" for letter in axes]
    return {
        "axes": [
            {"name": letter, "type": TYPES.get(letter, "space")} | ({"unit": "micrometer"} if letter in "zyx" else {})
            for letter in axes
        ],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [microns * 2**level if is_space else 1.0 for is_space in spatial]}
                ],
            }
            for level in range(2)
        ],
    }


def write_image(
    path: Path,
    pixels: NDArray[Any],
    axes: str,
    version: str = "0.5",
    attributes: Mapping[str, Any] | None = None,
    **array_options: Any,
) -> None:
    """An image of two levels, the second by taking every other pixel of y and x."""
    write_group(path, {"multiscales": [multiscale(axes)], **(attributes or {})}, version)
    write_array(path / "0", pixels, axes, version, **array_options)
    write_array(path / "1", pixels[..., ::2, ::2], axes, version)


def write_array(path: Path, pixels: NDArray[Any], axes: str, version: str = "0.5", **options: Any) -> None:
    if version >= "0.5":
        options["dimension_names"] = axes
    else:
        options = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}} | options
    options.setdefault("chunks", tuple(min(16, length) for length in pixels.shape))
    array = zarr.create_array(path, shape=pixels.shape, overwrite=True, **({"dtype": pixels.dtype} | options))
    array[...] = pixels
