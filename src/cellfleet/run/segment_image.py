"""One opened image through the pipeline, block by block: what the command and the Python API share.

A small image is one block and stays in memory. Of a large one every block is kept when it is done (`parts.py`), in any
order, and the last step numbers the objects (`stitch.py`). Knows no output folder.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from cellfleet.errors import Notice
from cellfleet.images.channels import choice_notices, choose_channels
from cellfleet.images.frames import frame_notices, frames_around
from cellfleet.images.image import Image
from cellfleet.models import LoadedModel
from cellfleet.pipeline.block import BlockResult, blank_block, regions, segment_block
from cellfleet.pipeline.clock import Clock
from cellfleet.pipeline.heads import PlaneHeads
from cellfleet.pipeline.opened import open_plane
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.sample import WHOLE_PIXELS
from cellfleet.pipeline.survey import Survey, survey
from cellfleet.results.labelled import ArrayLabels, ArrayRows, LabelImage, Objects, Rows
from cellfleet.run.compartments import Nuclei, put_together
from cellfleet.run.parts import MemoryParts, Parts
from cellfleet.run.pools import Pools
from cellfleet.run.request import asked_manifest
from cellfleet.run.resources import block_bytes_per_pixel
from cellfleet.run.stitch import HeldParts, Layout, Stitched, StitchedRows
from cellfleet.spec.model import Compartment
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.blocks import BLOCK
from cellfleet.tiling.box import Box

Job = tuple[int, Box]
"""A block of a plane."""
_SURVEY = TypeAdapter(tuple[list[list[float]], Scale])


@dataclass(frozen=True, eq=False)
class Segmented:
    """What the pipeline found in one image."""

    labels: LabelImage
    rows: Rows
    """The table; ``t`` and ``z`` count planes from 0 where the image has these axes."""
    channels_used: dict[str, tuple[int, ...]]
    """Role → channels counted from 0."""
    microns_per_pixel: float | None
    microns_per_pixel_source: str
    survey: Survey
    shown_plane: int
    """The plane that is shown in the report, counted over T, then Z; of it, `survey.shown`."""
    shown_pixels: Callable[[], NDArray[np.float32]] = field(repr=False)
    """(R, height, width) of what is shown, as the model saw it."""
    notices: tuple[Notice, ...]
    clock: Clock
    blocks: int
    """In how many it was done, over all planes."""
    redone: int
    """How many of them needed a larger halo."""
    compartment: Compartment
    """What an object is."""
    nuclei: Nuclei | None = None
    """Where the objects are cells and the model finds nuclei, too."""
    alone: Rows | None = None
    """The rows without columns of the nuclei, quicker to go through, where `rows` has such columns."""

    @property
    def scale(self) -> Scale:
        """How the image was brought to the model's scale."""
        return self.survey.scale

    @property
    def contrast(self) -> NDArray[np.float32]:
        """(R, 2): the raw values that became 0 and 1."""
        return self.survey.contrast

    def shown_labels(self) -> NDArray[np.uint32]:
        """Return (height, width) of what is shown."""
        return self.labels.read(self.shown_plane, self.survey.shown)

    def shown_nuclei(self) -> NDArray[np.uint32] | None:
        """Return the nuclei of what is shown, likewise."""
        return None if self.nuclei is None else self.nuclei.objects.labels.read(self.shown_plane, self.survey.shown)

    def areas(self) -> NDArray[np.int64]:
        """Return the area of every object, px."""
        return areas_of(self.alone or self.rows)


def areas_of(rows: Rows) -> NDArray[np.int64]:
    """Return the area of every object, px."""
    return np.concatenate([np.zeros(0, np.int64), *(batch["area_px"] for batch in rows.batches())])


@dataclass(frozen=True, eq=False)
class SegmentedRegion:
    """What the pipeline found in a part of one plane."""

    labels: NDArray[np.uint32]
    """(height, width): 0 = background; numbers of their own, from 1 without gaps."""
    nuclei: NDArray[np.uint32] | None
    """Likewise, where the objects are cells and the model finds nuclei, too."""
    areas: NDArray[np.int64]
    """Of the objects that begin in the region, whole, px."""
    pixels: NDArray[np.float32]
    """(R, height, width), as the model saw them."""
    survey: Survey
    notices: tuple[Notice, ...]


@dataclass(frozen=True)
class How:
    """What changes no result of an image."""

    pools: Pools
    parts: Callable[[], Parts] = MemoryParts
    """Opens what keeps the blocks of an image of several; those that are there are not done again."""
    share: Callable[[Sequence[Job]], Sequence[Job]] = lambda jobs: jobs
    """Chooses what is done here, where several machines share an image."""
    stitches: Callable[[], bool] = lambda: False
    """Asked when all blocks of a shared image are done: whether the image is put together here."""
    checkpoint: Callable[[], None] = lambda: None
    """Called between blocks, and while others are waited for; what it raises stops the work."""
    tell: Callable[[int, int], None] = lambda done, total: None
    """Called with the number of blocks that are done, and of all."""
    block: int = BLOCK
    """Side of the blocks, px."""


def segment_image(image: Image, spec: SegmentSpec, model: LoadedModel, how: How) -> Segmented | Clock:
    """Segment and measure every plane of `image`.

    Contrast and scale are found once, on the middle plane (the first z-plane of a stack is often out of focus).

    Returns:
        What was found; where other machines have to do their share, only the times of the share that was done here.

    Raises:
        CellfleetError: The image cannot be read, or does not fit the request.
    """
    work = _Work(image, spec, model, how)
    jobs = [(plane, box) for plane in range(work.layout.planes) for box in work.layout.boxes]
    if not how.share(jobs):
        return work.clock
    if len(jobs) == 1:
        with how.pools.budget.hold(image.region_bytes + work.bytes_of(jobs[0][1])):
            work.look()
            block = work.do_alone(jobs[0])
        if block.nuclei is None:
            return work.ended(_alone(block, work.layout), [block])
        whole = MemoryParts()
        whole.save(0, block)
        return work.stitched(jobs, whole)
    parts = how.parts()
    with how.pools.one_large_image(how.checkpoint), how.pools.budget.hold(image.region_bytes):
        work.look()
        work.agree(parts)
        mine = how.share(jobs)
        # Asked by all threads: what was done before is read once and checked.
        done_before = dict(how.pools.over_blocks(lambda job: (job, parts.has(*job)), mine))
        to_do = [job for job in mine if not done_before[job]]
        done = len(mine) - len(to_do)
        how.tell(done, len(mine))
        for count, _ in enumerate(how.pools.over_blocks(lambda job: work.do_and_keep(job, parts), to_do), start=1):
            how.tell(done + count, len(mine))
    if len(mine) < len(jobs) and not (how.parts().stand(jobs) and how.stitches()):
        return work.clock
    return work.stitched(jobs, parts)


def segment_region(
    image: Image, spec: SegmentSpec, model: LoadedModel, how: How, plane: int, box: Box
) -> SegmentedRegion:
    """Segment a part of one plane, as it comes out of the whole image. No more is read than that takes.

    Args:
        image: The image.
        spec: How.
        model: Loaded.
        how: What changes no result; only its pools are used.
        plane: Counted over T, then Z.
        box: Within the plane.

    Raises:
        CellfleetError: The image cannot be read, or does not fit the request.
    """
    work = _Work(image, spec, model, how)
    with how.pools.budget.hold(image.region_bytes):
        work.look()
        block = work.do_in_sight((plane, box))
        pixels = work.plane(plane).role_pixels(box)
    nuclei = None if block.nuclei is None else block.nuclei.labels
    return SegmentedRegion(block.labels, nuclei, block.table["area_px"], pixels, work.survey, work.notices())


class _Work:
    """One image on its way."""

    def __init__(self, image: Image, spec: SegmentSpec, model: LoadedModel, how: How) -> None:
        self.image, self.spec, self.model, self.how = image, spec, model, how
        self.manifest = asked_manifest(model.manifest, spec)
        self.roles = choose_channels(image, spec.channels, model.manifest.roles)
        axes = image.axes.replace("C", "")
        self.layout = Layout(axes, tuple(image.length(axis) for axis in axes), how.block)
        self.size, self.size_source = image.microns_per_pixel, image.microns_per_pixel_source
        if spec.microns_per_pixel:
            self.size, self.size_source = spec.microns_per_pixel, "option"
        self.clock = Clock()
        # An object, not its id: another image would soon have that, and the tiles that are remembered.
        self._name = object()
        self._planes: dict[int, Plane] = {}
        self._blank: dict[int, bool] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Find what holds for all blocks: on the plane nearest to the middle in which there is something to see."""
        middle = self.layout.planes // 2
        indices = sorted(range(self.layout.planes), key=lambda index: abs(index - middle))
        seen = next((index for index in indices if not self.is_blank(index)), None)
        self.shown = middle if seen is None else seen
        with self.clock.stage("survey"):
            plane = self.plane(self.shown)
            if seen is None:
                self.survey = _nothing(plane, self.model)
            else:
                self.survey = survey(plane, self.spec, self.size, self.model.manifest, self.model.predictor)

    def agree(self, parts: Parts) -> None:
        """Take the contrast and scale of whoever looked first: machines may differ in the last digit."""
        told = parts.agree(_SURVEY.dump_json((self.survey.contrast.tolist(), self.survey.scale)))
        contrast, scale = _SURVEY.validate_json(told)
        self.survey = replace(self.survey, contrast=np.array(contrast, np.float32), scale=scale)

    def plane(self, index: int) -> Plane:
        """Return a plane of the image, with those that the model is given for it."""
        frames = self.model.manifest.frames
        if frames == 1:
            return self._alone(index)
        window = tuple(map(self._alone, frames_around(self.image, index, frames)))
        return replace(self._alone(index), window=window)

    def _alone(self, index: int) -> Plane:
        with self._lock:
            if index not in self._planes:
                if len(self._planes) > self.how.pools.threads * self.model.manifest.frames:
                    self._planes.pop(next(iter(self._planes)))
                t, z = self.image.planes()[index]
                self._planes[index] = open_plane(self.image, t, z, tuple(self.roles.values()))
            return self._planes[index]

    def is_blank(self, index: int) -> bool:
        """Say whether every channel of a plane that is used has one value only; of large planes nobody looks."""
        if self.layout.plane_shape[0] * self.layout.plane_shape[1] > WHOLE_PIXELS:
            return False
        if index not in self._blank:
            plane = self.plane(index)
            with self.clock.stage("read"):
                pixels = plane.read(Box.whole(plane.shape), plane.used)
                self._blank[index] = all(bool(role.min() == role.max()) for role in pixels)
        return self._blank[index]

    def bytes_of(self, region: Box) -> int:
        """Estimate what a block takes that reads `region`."""
        return region.shape[0] * region.shape[1] * self._bytes_per_pixel

    @property
    def _bytes_per_pixel(self) -> int:
        return block_bytes_per_pixel(self.manifest) + self.image.channels * self.image.dtype.itemsize

    def do_alone(self, job: Job) -> BlockResult:
        """Do the only block of an image."""
        self.how.checkpoint()
        block = self._attempt(job, job[1])
        assert block, "nothing lies outside"
        return block

    def do_and_keep(self, job: Job, parts: Parts) -> None:
        """Do a block and keep it. Memory is given back before more is asked for: so nobody waits in a ring."""
        for redone, region in enumerate(self._regions(job)):
            self.how.checkpoint()
            with self.how.pools.budget.hold(self.bytes_of(region), beside=self.image.region_bytes):
                self.how.checkpoint()
                block = self._attempt(job, region)
                if block:
                    with self.clock.stage("write"):
                        parts.save(job[0], replace(block, redone=redone))
                    return

    def do_in_sight(self, job: Job) -> BlockResult:
        """Do a block from what has to be seen for it."""
        for region in self._regions(job):
            with self.how.pools.budget.hold(self.bytes_of(region), beside=self.image.region_bytes):
                block = self._attempt(job, region)
                if block:
                    self.how.pools.tiles.forget(self._name)
                    return block
        raise AssertionError("regions grow until all is seen")

    def _regions(self, job: Job) -> Iterator[Box]:
        total = self.how.pools.budget.total_bytes
        largest = np.inf if total is None else (total - self.image.region_bytes) / self._bytes_per_pixel
        return regions(self._heads(job[0]), job[1], largest)

    def _attempt(self, job: Job, region: Box) -> BlockResult | None:
        """Do a block from what can be seen in a region; None where that is not enough."""
        index, box = job
        if self.is_blank(index):
            nuclei = self.manifest.nuclei is not None
            return blank_block(self.plane(index), box, self.image.channel_names, self.size, nuclei=nuclei)
        return segment_block(self._heads(index), box, region, self.image.channel_names, self.size)

    def _heads(self, index: int) -> PlaneHeads:
        name, tiles = (self._name, index), self.how.pools.tiles
        return PlaneHeads(self.plane(index), self.survey, self.manifest, tiles, name, self.clock)

    def stitched(self, jobs: Sequence[Job], parts: Parts) -> Segmented:
        """Put together blocks of which none is missing."""
        blocks = (parts.load(*job) for job in jobs)
        if self.manifest.nuclei is None:
            labels = Stitched(self.layout, HeldParts(parts))
            return self.ended(Objects(labels, StitchedRows(labels)), blocks)
        cells, alone, nuclei = put_together(self.layout, parts)
        return replace(self.ended(cells, blocks), nuclei=nuclei, alone=alone)

    def ended(self, found: Objects, blocks: Iterable[Any]) -> Segmented:
        """Say what was found."""
        self.how.pools.tiles.forget(self._name)
        counts = Counter[str]()
        for block in blocks:
            counts.update(blocks=1, unusable=block.unusable, blank=int(block.blank), redone=int(block.redone > 0))
        notices = (
            *self.notices(),
            *self._told_of_unusable(counts["unusable"]),
            *_told_of_blank(counts["blank"] // len(self.layout.boxes), self.layout.planes),
        )
        plane, shown = self.plane(self.shown), self.survey.shown
        return Segmented(
            labels=found.labels,
            rows=found.rows,
            channels_used=self.roles,
            microns_per_pixel=self.size,
            microns_per_pixel_source=self.size_source,
            survey=self.survey,
            shown_plane=self.shown,
            shown_pixels=lambda: plane.role_pixels(shown),
            notices=tuple(dict.fromkeys(notices)),
            clock=self.clock,
            blocks=counts["blocks"],
            redone=counts["redone"],
            compartment=self.manifest.compartment,
        )

    def notices(self) -> tuple[Notice, ...]:
        """Return what is to be said of the image before any block is done."""
        chosen = choice_notices(self.image, self.spec.channels, self.roles)
        frames = frame_notices(self.image, self.model.manifest.frames)
        return (*self.image.notices, *chosen, *frames, *self.survey.notices)

    def _told_of_unusable(self, count: int) -> tuple[Notice, ...]:
        if not count:
            return ()
        size = int(np.prod(self.image.shape, dtype=np.int64))
        return (Notice("W001", f"{count} of {size} pixels are not a number or infinite; taken as the lowest value"),)


def _nothing(plane: Plane, model: LoadedModel) -> Survey:
    values = plane.role_pixels(Box(0, 0, 1, 1)).ravel()
    contrast = np.stack([values, values + 1], axis=1)
    return Survey(contrast, Scale(zoom=1, source="unscaled"), model.predictor, Box.whole(plane.shape))


def _told_of_blank(blank: int, planes: int) -> tuple[Notice, ...]:
    if not blank:
        return ()
    where = "all pixels have" if planes == 1 else f"in {blank} of {planes} planes all pixels have"
    return (Notice("W002", f"{where} the same value: no cells"),)


def _alone(block: BlockResult, layout: Layout) -> Objects:
    """The only block of an image: its numbers are the final ones already."""
    labels = ArrayLabels(block.labels.reshape(layout.shape), layout.axes, len(block.seeds))
    return Objects(labels, ArrayRows(block.table))
