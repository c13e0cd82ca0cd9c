"""How much memory this process may use, and images that wait until enough of it is free."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cellfleet.errors import DeviceError
from cellfleet.models import AnyModel, LoadedClassifier
from cellfleet.spec.model import ModelManifest
from cellfleet.tiling.blocks import BLOCK

if sys.platform != "win32":
    import resource

_CGROUP = Path("/sys/fs/cgroup")
_SHARE_OF_AVAILABLE = 0.6
"""What a run takes of the memory that is free, unless it is told: others use the machine, too."""
PROCESS_BYTES = 220 << 20
"""Python, the libraries and the model. Measured: 200 MB."""
NETWORK_BYTES_PER_PIXEL = 125
"""Working memory of the bundled network per pixel of a tile with its halo. Measured: 92…121 at 640…2176 px."""
CLASSIFIER_BYTES_PER_PIXEL = 1000
"""Working memory of a classifier per pixel of its input. Measured: 230 of MobileNetV2; larger networks take more."""
_PICTURE_BYTES = 36 << 20
"""What a picture of a megapixel takes to be classified; larger ones wait until there is as much as they need."""
BLOCK_BYTES_PER_PIXEL = 40
"""Working memory of a block per pixel of what it reads, beside the image's own pixels: heads, watershed, labels.
Measured: under 32."""
_NUCLEI_BYTES_PER_PIXEL = 16
"""What nuclei take besides: labels of the region, the block and its own objects, and two more heads. Measured: 6…11."""
_USUAL_HALO_PX = 128
_LARGEST_CACHE_BYTES = 512 << 20
"""For tiles: what a row of blocks needs of a plane 130 000 px wide. Full caches are no gain, so that is enough."""
_CHUNK_CACHE_BYTES = (64 << 20, 256 << 20)
"""Least and most for decoded chunks of images: strips 46 000 px wide, which ImageJ opens, serve a row of blocks."""


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the memory that can be had without swapping, or None where the system does not tell (macOS, Windows)."""
    limits = (_free_of_system(meminfo), _free_of_cgroup(cgroup), _free_of_address_space())
    known = [value for value in limits if value is not None]
    return min(known) if known else None


def fair_share() -> int | None:
    """Return what a run may use where nobody says: a good part of what is free now."""
    free = available_bytes()
    return None if free is None else int(free * _SHARE_OF_AVAILABLE)


@dataclass(frozen=True)
class MemoryPlan:
    """How the memory of a run is divided."""

    tiles_at_once: int
    """Tiles that may be predicted at the same time."""
    tile_cache_bytes: int
    """For heads of tiles that are done."""
    chunk_cache_bytes: int
    """For decoded pieces of image files."""
    block_bytes: int | None
    """For blocks in flight; None: no limit."""


def plan_memory(total_bytes: int | None, threads: int, model: AnyModel) -> MemoryPlan:
    """Divide `total_bytes` (None: no limit is known) among tiles, their cache and blocks.

    Raises:
        DeviceError: E515, not even one tile and one block fit.
    """
    if total_bytes is None:
        return MemoryPlan(threads, _LARGEST_CACHE_BYTES, _CHUNK_CACHE_BYTES[1], None)
    one_tile, one_block = _working_bytes(model)
    least, most = _CHUNK_CACHE_BYTES
    needed = PROCESS_BYTES + least + one_tile + one_block
    if total_bytes < needed:
        raise DeviceError(
            "E515",
            f"{total_bytes / 1e9:.2f} GB of memory are too little for {model.manifest.name}: it needs "
            # Rounded up: what is named has to be enough.
            f"{math.ceil(needed / 1e7) / 100:.2f} GB",
            where="--memory",
            action="Give it more, or close other programs",
        )
    chunks = min(most, max(least, total_bytes // 16), least + total_bytes - needed)
    free = total_bytes - PROCESS_BYTES - chunks
    cache = min(_LARGEST_CACHE_BYTES, (free - one_tile - one_block) // 4)
    tiles = int(min(threads, max(1, (free - cache - one_block) // (one_tile + one_block))))
    return MemoryPlan(tiles, cache, chunks, free - cache - tiles * one_tile)


def _working_bytes(model: AnyModel) -> tuple[int, int]:
    """Return the working memory of the network for one tile and of a block; of a classifier, for one picture."""
    if isinstance(model, LoadedClassifier):
        return math.prod(model.manifest.size) * CLASSIFIER_BYTES_PER_PIXEL, _PICTURE_BYTES
    tile = model.manifest.tile
    one_tile = (tile.largest + 2 * tile.halo) ** 2 * (tile.bytes_per_pixel or NETWORK_BYTES_PER_PIXEL)
    return one_tile, (BLOCK + 2 * _USUAL_HALO_PX) ** 2 * block_bytes_per_pixel(model.manifest)


def block_bytes_per_pixel(manifest: ModelManifest) -> int:
    """Return the working memory of a block per pixel of what it reads, beside the image's own pixels."""
    return BLOCK_BYTES_PER_PIXEL + (_NUCLEI_BYTES_PER_PIXEL if manifest.nuclei is not None else 0)


class MemoryBudget:
    """Bytes that the images in flight may use together."""

    def __init__(self, total_bytes: int | None) -> None:
        """Take the limit, None: no limit known."""
        self.total_bytes = total_bytes
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, needed_bytes: int, *, beside: int = 0) -> Iterator[None]:
        """Wait until `needed_bytes` are free beside the other images, and hold them while the block runs.

        Args:
            needed_bytes: What is asked for.
            beside: What the same image holds already, and will not give back before.

        Raises:
            DeviceError: E510, when even alone the image would not fit.
        """
        if self.total_bytes is None:
            yield
            return
        if needed_bytes + beside > self.total_bytes:
            needed, free = _gb(needed_bytes + beside), _gb(self.total_bytes)
            raise not_enough_memory(f"needs about {needed} GB, {free} GB are free")
        with self._changed:
            self._changed.wait_for(lambda: self._used + needed_bytes <= (self.total_bytes or 0))
            self._used += needed_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed_bytes
                self._changed.notify_all()


def not_enough_memory(what: str) -> DeviceError:
    """Return the error for an image that does not fit into memory."""
    return DeviceError(
        "E510",
        f"the image is too large for the memory of this machine: {what}",
        action="Close other programs, cut the image into pieces, or use a machine with more memory",
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:,.1f}".replace(",", " ")


def _free_of_system(meminfo: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _free_of_address_space() -> int | None:
    """What ``ulimit -v`` leaves, as batch systems set it."""
    if sys.platform == "win32":
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(0, limit - pages * resource.getpagesize())
    return None


def _free_of_cgroup(cgroup: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            statistics = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            # The page cache of files counts as used, but is given back on demand.
            cached = sum(int(value) for name, value in statistics if name in {"inactive_file", "active_file"})
            return max(0, int(limit) - int((cgroup / "memory.current").read_text()) + cached)
    return None
