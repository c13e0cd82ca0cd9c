"""One block of a plane: heads → labels → measurements, exactly as a single run over the whole plane would give them.

A block reads more than it writes: its halo. The watershed says which of its labels no pixel outside could change;
where that is not all the block writes, or an object of the block leaves the halo, it is done again with a larger one
(docs/reference/watershed.md). So neighbours agree without talking, and nothing is cut.

An object belongs to the block in whose write region its seed lies, and its name until the last pass is the place of
its seed in the plane. Knows no files and no threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import DeviceError
from cellfleet.pipeline.heads import PlaneHeads, source_box
from cellfleet.pipeline.measure import Table, first_pixels, measure, relabelled
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.postprocess import UNKNOWN, BlockLabels, context_px, deep_watershed_block
from cellfleet.pipeline.preprocess import resampled_region
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.tiling.box import Box

_HALO_PX = 96
"""First halo at model scale, px: two of the largest nuclei (docs/decisions/0013-blocks.md)."""


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What is kept of a block. Positions in the plane are linear: y · width + x."""

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
    redone: int = 0
    """How often the halo had to grow."""
    unusable: int = 0
    """Pixels of `box`, over all channels, that are not finite."""
    blank: bool = False
    """Whether all that was looked at has one value."""

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
    halo, context = int(np.ceil(_HALO_PX / zoom)), context_px(_spec(heads))
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
    fields = _fields(heads, region)
    if not fields[1].any():
        # The empty glass of a slide: nothing is above any threshold, and nothing needs to be flooded or measured.
        return replace(blank_block(heads.plane, box, channel_names, microns_per_pixel), blank=False)
    found = _settled(heads, fields, box, region)
    if found is None:
        return None
    width, clock = heads.plane.shape[1], heads.clock
    with clock.stage("postprocess"):
        rows, columns = np.divmod(found.seeds.astype(np.int64), region.shape[1])
        places = (rows + region.y0) * width + columns + region.x0
        own = _inside(rows + region.y0, columns + region.x0, box)
        labels, met = _compact(found.labels[box.within(region)], len(places))
        own_labels, bounds = _only(found.labels, own, region, box)
        first = _first_places(own_labels, int(own.sum()), bounds, width)
        order = np.argsort(first)
    with clock.stage("read"):
        pixels = heads.plane.channel_pixels(bounds)
        unusable = heads.plane.unusable(box)
    with clock.stage("measure"):
        table = measure(own_labels, pixels, channel_names, microns_per_pixel, origin=(bounds.y0, bounds.x0))
        table = {name: values if name == "label" else values[order] for name, values in table.items()}
    return BlockResult(box, labels, places[met - 1], places[own][order], first[order], table, unusable=unusable)


def blank_block(plane: Plane, box: Box, channel_names: tuple[str, ...], microns_per_pixel: float | None) -> BlockResult:
    """Return the result of a block in which there is nothing to see."""
    nothing = np.zeros(0, np.int64)
    labels = np.zeros(box.shape, np.uint32)
    corner = Box(box.y0, box.x0, box.y0 + 1, box.x0 + 1)
    # Measured all the same, on one pixel: its columns are those of every other block.
    table = measure(labels[:1, :1], plane.channel_pixels(corner), channel_names, microns_per_pixel)
    return BlockResult(box, labels, nothing, nothing, nothing, table, unusable=plane.unusable(box), blank=True)


def _settled(heads: PlaneHeads, fields: tuple[NDArray[Any], NDArray[Any]], box: Box, region: Box) -> BlockLabels | None:
    """Return the labels of a region; None where not all that the block writes is certain, or its objects complete."""
    spec = _spec(heads)
    with heads.clock.stage("postprocess"):
        found = deep_watershed_block(*fields, spec, _margins(region, heads.plane.shape, context_px(spec)))
        return found if _is_settled(found, box, region) else None


def _spec(heads: PlaneHeads) -> DeepWatershed:
    """Return the model's post-processing at the image's own scale."""
    spec, zoom = heads.manifest.postprocess, heads.survey.scale.zoom
    return spec if zoom == 1 else spec.scaled(1 / zoom)


def _fields(heads: PlaneHeads, region: Box) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return maxima and interior of a region at image scale."""
    have = source_box(region, heads.shape, heads.plane.shape)
    found = heads.read(have)
    with heads.clock.stage("postprocess"):
        fields = at_image_scale(found, have, heads.shape, heads.plane.shape, region)
    maxima, interior = heads.places
    return fields[maxima], fields[interior]


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


def _compact(labels: NDArray[np.uint32], count: int) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Renumber without gaps; return the labels, and the old number of each new one."""
    met = np.flatnonzero(first_pixels(labels, count) >= 0) + 1
    if len(met) == count:
        return np.ascontiguousarray(labels), met
    numbers = np.zeros(count + 1, np.uint32)
    numbers[met] = np.arange(1, len(met) + 1)
    return relabelled(labels, numbers), met


def _only(labels: NDArray[np.uint32], own: NDArray[np.bool_], region: Box, box: Box) -> tuple[NDArray[np.uint32], Box]:
    """Return a label image of the block's own objects alone, numbered from 1, and where it stands in the plane."""
    if own.all() and region == box:
        return labels, region
    numbers = np.zeros(len(own) + 1, np.uint32)
    numbers[1:][own] = np.arange(1, int(own.sum()) + 1)
    # What is unknown lies outside the block's own objects, and becomes 0 as they do.
    return relabelled(labels, numbers), region


def _first_places(labels: NDArray[np.uint32], count: int, bounds: Box, width: int) -> NDArray[np.int64]:
    rows, columns = np.divmod(first_pixels(labels, count).astype(np.int64), bounds.shape[1])
    places: NDArray[np.int64] = (rows + bounds.y0) * width + columns + bounds.x0
    return places


def _too_large(box: Box, region: Box) -> DeviceError:
    return DeviceError(
        "E512",
        f"an object near row {(box.y0 + box.y1) // 2}, column {(box.x0 + box.x1) // 2} is so large that "
        f"{region.shape[0]} × {region.shape[1]} px must be seen at once to outline it, more than the memory allows",
        action="Look at that place: a scratch or a fold is better cut away. Else give more --memory",
    )
