"""One block of a plane: heads → labels → measurements, exactly as a single run over the whole plane would give them.

A block reads more than it writes: its halo. The watershed says which of its labels no pixel outside could change;
where that is not all the block writes, or an object of the block leaves the halo, it is done again with a larger one
(docs/reference/watershed.md). So neighbours agree without talking, and nothing is cut.

An object belongs to the block in whose write region its seed lies, and its name until the last pass is the place of
its seed in the plane. A model of two compartments gives cells and nuclei from the same heads; which nucleus is whose is
found out when all blocks are done, from the pixels that each block counts. Knows no files and no threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import DeviceError
from cellfleet.pipeline.detected import detected_labels, halo_px
from cellfleet.pipeline.heads import PlaneHeads, source_box
from cellfleet.pipeline.measure import Table, first_pixels, measure, relabelled
from cellfleet.pipeline.nuclei import Overlaps, overlaps
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.postprocess import UNKNOWN, BlockLabels, context_px, deep_watershed_block
from cellfleet.pipeline.preprocess import resampled_region
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.tiling.box import Box

_HALO_PX = 96
"""First halo at model scale, px: two of the largest nuclei (docs/decisions/0013-blocks.md)."""


@dataclass(frozen=True, eq=False)
class BlockObjects:
    """What is kept of the objects of one compartment in a block. Positions in the plane are linear: y · width + x."""

    box: Box
    labels: NDArray[np.uint32]
    """(height, width) of `box`: 0 = background, else 1 + the object's position in `met`."""
    met: NDArray[np.int64]
    """Seeds of all objects with pixels in `box`, its own and its neighbours'."""
    seeds: NDArray[np.int64]
    """Seeds of the block's own objects, in the order of `first`."""
    first: NDArray[np.int64]
    """First pixels of the block's own objects in raster order, ascending."""
    table: Table
    """A row per own object, in that order; its column ``label`` counts from 1."""

    @property
    def surplus(self) -> int:
        """Labelled pixels of the block less the area of its own objects: over a plane they cancel out."""
        return int(np.count_nonzero(self.labels)) - int(self.table["area_px"].sum())

    def rows(self, y0: int, y1: int) -> NDArray[np.uint32]:
        """Return rows of the labels, counted from the block's first."""
        return self.labels[y0:y1]

    def columns(self) -> Table:
        """Return the table."""
        return self.table


@dataclass(frozen=True, eq=False)
class BlockResult(BlockObjects):
    """What is kept of a block."""

    nuclei: BlockObjects | None = None
    """Of the objects, where these are cells and the model finds nuclei, too."""
    overlaps: Overlaps | None = None
    """Pixels of `box` that nuclei and cells have in common, by their labels in this block; with `nuclei` only."""
    redone: int = 0
    """How often the halo had to grow."""
    unusable: int = 0
    """Pixels of `box`, over all channels, that are not finite."""
    blank: bool = False
    """Whether all that was looked at has one value."""


def regions(heads: PlaneHeads, box: Box, largest_pixels: float = np.inf) -> Iterator[Box]:
    """Yield what is read for a block: with its first halo, then with one twice as wide, and so on without end.

    Args:
        heads: Of the plane.
        box: What the block writes.
        largest_pixels: Of a region.

    Raises:
        DeviceError: E512, the next region would be larger than that.
    """
    shape, zoom = heads.plane.shape, heads.survey.scale.zoom
    halo = halo_px(heads) if heads.manifest.detection else int(np.ceil(_HALO_PX / zoom))
    context = max(map(context_px, _makers(heads)), default=0)
    while True:
        region = box.grown(halo + context, shape)
        if region != box and region.shape[0] * region.shape[1] > largest_pixels:
            raise _too_large(box, region)
        yield region
        halo *= 2


def segment_block(
    heads: PlaneHeads,
    box: Box,
    region: Box,
    channel_names: tuple[str, ...],
    microns_per_pixel: float | None,
) -> BlockResult | None:
    """Find and measure the objects of one block.

    Args:
        heads: Of the plane.
        box: What the block writes.
        region: What is read for it, one of `regions`.
        channel_names: One per channel of the image.
        microns_per_pixel: Pixel size, µm.

    Returns:
        None where pixels outside the region could change what the block writes: never of the whole plane.
    """
    found = _settled(heads, box, region)
    if found is None:
        return None
    plane, clock, both = heads.plane, heads.clock, heads.manifest.nuclei is not None
    if not any(len(labels.seeds) for labels in found):
        # The empty glass of a slide: there is nothing to measure.
        return replace(blank_block(plane, box, channel_names, microns_per_pixel, nuclei=both), blank=False)
    with clock.stage("postprocess"):
        cut = [_cut(labels, plane.shape[1], box, region) for labels in found]
        counted = overlaps(cut[1].labels, cut[0].labels) if both else None
    with clock.stage("read"):
        pixels = plane.channel_pixels(region)
        unusable = plane.unusable(box)
    origin = (region.y0, region.x0)
    with clock.stage("measure"):
        tables = [measure(objects.own, pixels, channel_names, microns_per_pixel, origin) for objects in cut]
    cells = cut[0].kept(box, tables[0])
    nuclei = BlockObjects(*cut[1].kept(box, tables[1])) if both else None
    return BlockResult(*cells, nuclei=nuclei, overlaps=counted, unusable=unusable)


def blank_block(
    plane: Plane, box: Box, channel_names: tuple[str, ...], microns_per_pixel: float | None, *, nuclei: bool = False
) -> BlockResult:
    """Return the result of a block in which there is nothing to see; `nuclei`: of two compartments."""
    nothing = np.zeros(0, np.int64)
    labels = np.zeros(box.shape, np.uint32)
    corner = Box(box.y0, box.x0, box.y0 + 1, box.x0 + 1)
    # Measured all the same, on one pixel: its columns are those of every other block.
    table = measure(labels[:1, :1], plane.channel_pixels(corner), channel_names, microns_per_pixel)
    kept = (box, labels, nothing, nothing, nothing, table)
    its, counted = (BlockObjects(*kept), np.empty((0, 3), np.int64)) if nuclei else (None, None)
    return BlockResult(*kept, nuclei=its, overlaps=counted, unusable=plane.unusable(box), blank=True)


def _settled(heads: PlaneHeads, box: Box, region: Box) -> list[BlockLabels] | None:
    """Return the labels of a region, of each compartment.

    None where not all that the block writes is certain, or its objects complete.
    """
    if heads.manifest.detection:
        return [detected_labels(heads, box, region)]
    have = source_box(region, heads.shape, heads.plane.shape)
    maps = heads.read(have)
    found = []
    for maker in _makers(heads):
        with heads.clock.stage("postprocess"):
            maxima, interior = _fields(heads, maps, have, region, maker)
            if interior.any():
                margins = _margins(region, heads.plane.shape, context_px(maker))
                labels = deep_watershed_block(maxima, interior, maker, margins)
                if not _is_settled(labels, box, region):
                    return None
            else:
                # Nothing is above any threshold, and nothing needs to be flooded.
                labels = BlockLabels(np.zeros(region.shape, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.bool_))
            found.append(labels)
    return found


def _makers(heads: PlaneHeads) -> list[DeepWatershed]:
    """Return the model's post-processing at the image's own scale, of each compartment."""
    makers, zoom = heads.manifest.makers, heads.survey.scale.zoom
    return [maker if zoom == 1 else maker.scaled(1 / zoom) for maker in makers]


def _fields(
    heads: PlaneHeads, maps: NDArray[np.uint8], have: Box, region: Box, maker: DeepWatershed
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return maxima and interior of a region at image scale; `maps` are the heads of `have`, at model scale."""
    places = [heads.place(maker.maxima_head), heads.place(maker.interior_head)]
    used = sorted(set(places))
    chosen = maps if len(used) == len(maps) else maps[used]
    fields = at_image_scale(chosen, have, heads.shape, heads.plane.shape, region)
    return fields[used.index(places[0])], fields[used.index(places[1])]


def at_image_scale(
    heads: NDArray[np.uint8], have: Box, model_shape: tuple[int, int], shape: tuple[int, int], region: Box
) -> NDArray[Any]:
    """Bring heads back to the image's own pixels: uint8 as they are where the scales are equal, else float32 0…1.

    Flooding at image scale keeps outlines smooth where the image was shrunk, and exact where it was enlarged.

    Args:
        heads: (K, height, width) of `have`, a box at model scale.
        have: Holds at least what `region` depends on (`source_box`).
        model_shape: Size of the plane at model scale.
        shape: Size of the plane.
        region: What is wanted, a box at image scale.
    """
    if model_shape == shape:
        return heads
    fields: NDArray[Any] = np.clip(resampled_region(heads, have, model_shape, shape, region) / 255, 0, 1)
    return fields


def _margins(
    region: Box, shape: tuple[int, int], context: int
) -> tuple[int | None, int | None, int | None, int | None]:
    """Return how far from each side the smoothed heads are not those of the plane; None at its borders."""
    return (
        context if region.y0 > 0 else None,
        context if region.x0 > 0 else None,
        context if region.y1 < shape[0] else None,
        context if region.x1 < shape[1] else None,
    )


def _is_settled(found: BlockLabels, box: Box, region: Box) -> bool:
    """Say whether all that the block writes is certain, and all its objects are complete."""
    if (found.labels[box.within(region)] == UNKNOWN).any():
        return False
    rows, columns = np.divmod(found.seeds[~found.complete].astype(np.int64), region.shape[1])
    return not _inside(rows + region.y0, columns + region.x0, box).any()


def _inside(y: NDArray[np.int64], x: NDArray[np.int64], box: Box) -> NDArray[np.bool_]:
    return (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)


@dataclass(frozen=True, eq=False)
class _Cut:
    """The objects of one compartment in a block before they are measured."""

    labels: NDArray[np.uint32]
    """As `BlockObjects.labels`."""
    met: NDArray[np.int64]
    own: NDArray[np.uint32]
    """The block's own objects alone in all of the region, numbered in the order of their seeds there."""
    seeds: NDArray[np.int64]
    first: NDArray[np.int64]

    def kept(self, box: Box, table: Table) -> tuple[Box, NDArray[np.uint32], Any, Any, Any, Table]:
        """Return what a `BlockObjects` is made of: everything in the order of the first pixels."""
        order = np.argsort(self.first)
        rows = {name: values if name == "label" else values[order] for name, values in table.items()}
        return box, self.labels, self.met, self.seeds[order], self.first[order], rows


def _cut(found: BlockLabels, width: int, box: Box, region: Box) -> _Cut:
    """Cut what a block keeps out of what was found in its region; `width` is that of the plane."""
    rows, columns = np.divmod(found.seeds.astype(np.int64), region.shape[1])
    places = (rows + region.y0) * width + columns + region.x0
    own = _inside(rows + region.y0, columns + region.x0, box)
    labels, met = _compact(found.labels[box.within(region)], len(places))
    own_labels = found.labels if own.all() and region == box else _only(found.labels, own)
    first = _first_places(own_labels, int(own.sum()), region, width)
    return _Cut(labels, places[met - 1], own_labels, places[own], first)


def _compact(labels: NDArray[np.uint32], count: int) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Renumber without gaps; return the labels, and the old number of each new one."""
    met = np.flatnonzero(first_pixels(labels, count) >= 0) + 1
    if len(met) == count:
        return np.ascontiguousarray(labels), met
    numbers = np.zeros(count + 1, np.uint32)
    numbers[met] = np.arange(1, len(met) + 1)
    return relabelled(labels, numbers), met


def _only(labels: NDArray[np.uint32], own: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return a label image of the block's own objects alone, numbered from 1."""
    numbers = np.zeros(len(own) + 1, np.uint32)
    numbers[1:][own] = np.arange(1, int(own.sum()) + 1)
    # What is unknown lies outside the block's own objects, and becomes 0 as they do.
    return relabelled(labels, numbers)


def _first_places(labels: NDArray[np.uint32], count: int, region: Box, width: int) -> NDArray[np.int64]:
    rows, columns = np.divmod(first_pixels(labels, count).astype(np.int64), region.shape[1])
    places: NDArray[np.int64] = (rows + region.y0) * width + columns + region.x0
    return places


def _too_large(box: Box, region: Box) -> DeviceError:
    return DeviceError(
        "E512",
        f"an object near row {(box.y0 + box.y1) // 2}, column {(box.x0 + box.x1) // 2} is so large that "
        f"{region.shape[0]} × {region.shape[1]} px must be seen at once to outline it, more than the memory allows",
        action="Look at that place: a scratch or a fold is better cut away. Else give more --memory",
    )
