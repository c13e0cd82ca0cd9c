"""Results of images larger than memory are written in a memory that depends on blocks, not on the image.

The label images here are made up as they are read.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from cellfleet.results import ome_tiff
from cellfleet.results.labelled import ArrayLabels
from cellfleet.results.ome_zarr import write_ome_zarr
from cellfleet.tiling.box import Box

pytestmark = pytest.mark.slow

_WRITE = """
import resource, sys
from pathlib import Path
from typing import Any
import numpy as np
from cellfleet.results.labelled import ArrayLabels, ArrayRows
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.ome_tiff import write_ome_tiff
from cellfleet.results.ome_zarr import write_ome_zarr
from cellfleet.results.tables import write_csv, write_parquet

SIDE = 20_000

class Made:
    axes, shape, count, block = "YX", (SIDE, SIDE), 100_000, 2048
    def read(self, plane, box):
        assert box.shape[0] * box.shape[1] <= 512 * SIDE, box
        row, column = np.arange(box.y0, box.y1, dtype=np.uint32), np.arange(box.x0, box.x1)
        return np.where(row % 40 >= 10, 100_000 - row, 0)[:, None] * (column % 40 >= 10)

class MadeRows:
    count = 1_000_000
    types = {"label": np.dtype(np.uint32)} | {f"mean_{i}": np.dtype(float) for i in range(100)}
    def batches(self):
        for start in range(1, self.count, 20_000):
            label = np.arange(start, start + 20_000, dtype=np.uint32)
            yield {"label": label} | {f"mean_{i}": np.full(20_000, float(start % 17)) for i in range(100)}

def write_all(folder, labels, rows):
    folder.mkdir()
    write_label_tiff(folder / "a.tif", labels, microns_per_pixel=0.5)
    write_ome_tiff(folder / "a.ome.tif", labels, microns_per_pixel=0.5)
    write_ome_zarr(folder / "a.ome.zarr", labels, microns_per_pixel=0.5)
    write_parquet(folder / "a.parquet", "a.tif", rows)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

def reserved():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

folder = Path(sys.argv[1])
# What libraries take, and the address space that their threads reserve, is not the question.
small = np.zeros((3000, 3000), np.uint32)
write_all(folder / "small", ArrayLabels(small, "YX", 0), ArrayRows({"label": small[0]}))
before = peak()
resource.setrlimit(resource.RLIMIT_AS, (reserved() + int(sys.argv[2]),) * 2)
write_all(folder / "large", Made(), MadeRows())
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_image_or_the_table(tmp_path: Path) -> None:
    """Labels would have 1.6 GB, the table 0.8 GB."""
    command = [sys.executable, "-c", _WRITE, str(tmp_path), str(1 << 30)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400 << 20
    stored = zarr.open_array(tmp_path / "large" / "a.ome.zarr" / "0", mode="r")
    ends = [stored[19_900:, 19_000:]]
    for name in ("a.tif", "a.ome.tif"):
        with tifffile.TiffFile(tmp_path / "large" / name) as tiff:
            ends.append(_last_segment(tiff))
    for end in ends:
        row, column = (np.arange(20_000 - length, 20_000) for length in end.shape)
        assert np.array_equal(end, np.where(row % 40 >= 10, 100_000 - row, 0)[:, None] * (column % 40 >= 10))


def _last_segment(tiff: tifffile.TiffFile) -> NDArray[np.uint32]:
    """Return the last strip or tile of the first page."""
    page = tiff.pages.first
    tiff.filehandle.seek(page.dataoffsets[-1])
    encoded = tiff.filehandle.read(page.databytecounts[-1])
    decoded, (_, _, y, x, _), _ = page.decode(encoded, len(page.dataoffsets) - 1)
    return decoded[0, : page.imagelength - y, : page.imagewidth - x, 0]


@dataclass(frozen=True)
class Corner:
    """Nothing but one object in the last corner, so that only what lies beyond 2^31 and 2^32 pixels counts."""

    shape: tuple[int, int]
    axes: str = "YX"
    count: int = 7
    block: int = 2048

    def read(self, plane: int, box: Box) -> NDArray[np.uint32]:
        if box.y1 < self.shape[0] or box.x1 < self.shape[1]:
            return np.broadcast_to(np.uint32(0), box.shape)
        pixels = np.zeros(box.shape, np.uint32)
        pixels[-5:, -5:] = self.count
        return pixels


def test_zarr_places_beyond_32_bits_are_right(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a", Corner((70_001, 70_001)))
    stored = zarr.open_array(tmp_path / "a" / "0", mode="r")
    assert (
        np.nonzero(np.asarray(stored[69_990:, 69_990:]))[0].tolist() == [6] * 5 + [7] * 5 + [8] * 5 + [9] * 5 + [10] * 5
    )
    assert sum(path.is_file() for path in (tmp_path / "a" / "0").rglob("[0-9]*")) == 1
    smallest = zarr.open_array(tmp_path / "a" / "8", mode="r")
    assert smallest.shape == (274, 274)
    # 70 000 is no multiple of 256: the object lies between the pixels that are left.
    assert not smallest[:].any()


def test_tiles_that_wait_beyond_4_gb_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tempfile.TemporaryFile

    def sparse(**options: Any) -> Any:
        file = make(**options)
        file.seek(5 << 30)
        return file

    labels = np.random.default_rng(0).integers(0, 9, (1300, 900), dtype=np.uint32)
    monkeypatch.setattr(ome_tiff.tempfile, "TemporaryFile", sparse)
    ome_tiff.write_ome_tiff(tmp_path / "a", ArrayLabels(labels, "YX", 8))
    with tifffile.TiffFile(tmp_path / "a") as tiff:
        for number, level in enumerate(tiff.series[0].levels):
            assert np.array_equal(level.asarray(), labels[:: 2**number, :: 2**number])
