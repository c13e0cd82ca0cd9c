"""Synthetic slides of any size, made of real nuclei and written block by block, never held as a whole.

A square megapixel of the validation set's nuclei, half of it sparse (500 per megapixel), half dense (2 000), is
repeated; so every megapixel of every slide costs the same. It is shifted, so that borders of blocks and tiles cut
nuclei. A sparse slide has discs of tissue on empty glass, exactly 0, as scanners write what they did not scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from yaozarrs import DimSpec, v05
from zarr.codecs import ZstdCodec

from benchmarks.common import MEGAPIXEL, VALIDATION
from benchmarks.fields import SIDE, synthetic_field

SHIFT = (301, 197)
"""Neither a border of the pieces that the pattern is made of, nor one of tiles and blocks."""
TILE, SHARD = 512, 2048
DISCS = 16384
"""Distance between discs of tissue, px."""
GREY_LEVELS = 64
"""The 8 bits of the pattern in 16, as cameras of 14 bits fill them."""


@cache
def pattern() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return pixels and true labels (SIDE, SIDE) of what is repeated."""
    sparse, dense = (synthetic_field(kind, VALIDATION, 0) for kind in ("sparse", "dense"))
    half = np.arange(SIDE) < SIDE // 2
    pixels = np.where(half, sparse.pixels, dense.pixels).astype(np.uint16)
    labels = np.where(half, sparse.labels, np.where(dense.labels, dense.labels + sparse.labels.max(), 0))
    return pixels * np.uint16(GREY_LEVELS), labels.astype(np.uint16)


@dataclass(frozen=True)
class Slide:
    """A plane of which any region can be made."""

    height: int
    width: int
    tissue: float = 1
    """Share of the area that is no empty glass."""

    @classmethod
    def of(cls, megapixels: int, tissue: float = 1) -> Slide:
        """Return a square slide of about that size, exact where it is the square of a whole number."""
        side = round(float(np.sqrt(megapixels * MEGAPIXEL)))
        return cls(side, side, tissue)

    @property
    def megapixels(self) -> float:
        """Size in units of 2^20 pixels."""
        return self.height * self.width / MEGAPIXEL

    def pixels(self, y0: int, x0: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return a region (height, width)."""
        rows, columns = (np.arange(start, start + n) for start, n in ((y0, height), (x0, width)))
        tissue = self._tissue(rows, columns)
        if tissue is not None and not tissue.any():
            return np.zeros((height, width), np.uint16)
        found = pattern()[0][np.ix_((rows + SHIFT[0]) % SIDE, (columns + SHIFT[1]) % SIDE)]
        return found if tissue is None else found * tissue

    def _tissue(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.bool_] | None:
        if self.tissue >= 1:
            return None
        radius = DISCS * np.sqrt(self.tissue / np.pi)
        y, x = ((n % DISCS - DISCS // 2).astype(np.float32) ** 2 for n in (rows, columns))
        found: NDArray[np.bool_] = y[:, np.newaxis] + x < radius**2
        return found

    def write_tiff(self, path: Path) -> None:
        """Write a tiled TIFF, deflate."""
        starts = [(y, x) for y in range(0, self.height, TILE) for x in range(0, self.width, TILE)]

        def tiles() -> Iterator[NDArray[np.uint16]]:
            for y, x in starts:
                yield self.pixels(y, x, TILE, TILE)

        tifffile.imwrite(
            path,
            tiles(),
            shape=(self.height, self.width),
            dtype=np.uint16,
            tile=(TILE, TILE),
            compression="zlib",
            compressionargs={"level": 1},
            metadata={"axes": "YX"},
        )

    def write_zarr(self, path: Path) -> None:
        """Write an OME-Zarr 0.5 image of one level, sharded, zstd; goes on with one that is not finished."""
        mark = path / ".finished_shards"
        group = zarr.open_group(path, mode="a", zarr_format=3, attributes=_attributes())
        array = group.require_array(
            "0",
            shape=(self.height, self.width),
            chunks=(TILE, TILE),
            shards=(SHARD, SHARD),
            dtype="uint16",
            fill_value=0,
            compressors=ZstdCodec(level=1),
            dimension_names=["y", "x"],
        )
        starts = [(y, x) for y in range(0, self.height, SHARD) for x in range(0, self.width, SHARD)]
        done = int(mark.read_text()) if mark.exists() else 0
        for count, (y, x) in enumerate(starts[done:], start=done + 1):
            block = self.pixels(y, x, min(SHARD, self.height - y), min(SHARD, self.width - x))
            if block.any():
                array[y : y + SHARD, x : x + SHARD] = block
            mark.write_text(str(count))

    def write_truth(self, path: Path) -> None:
        """Write the true labels, each object with its own number, of a slide all of tissue that fits into memory."""
        rows, columns = (np.arange(n) + shift for n, shift in zip((self.height, self.width), SHIFT, strict=True))
        labels = pattern()[1].astype(np.uint32)[np.ix_(rows % SIDE, columns % SIDE)]
        which = (rows // SIDE)[:, np.newaxis] * (columns.max() // SIDE + 1) + columns // SIDE
        numbers = np.where(labels, labels + which * (int(labels.max()) + 1), 0)
        tifffile.imwrite(path, np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape).astype(np.uint32))


def _attributes() -> dict[str, Any]:
    scales = v05.Multiscale.from_dims([DimSpec(name="y"), DimSpec(name="x")], name="slide", n_levels=1)
    return {"ome": v05.Image(multiscales=[scales]).model_dump(mode="json", exclude_none=True)}
