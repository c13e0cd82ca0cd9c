"""The image that the last step of a workflow works on: predicted from the image that was opened, when it is read.

What comes out is an `Image` like any other, so the rest of the program knows no workflows. Memory is bounded by tiles.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError, Notice
from cellfleet.images.channels import choice_notices, choose_channels
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.models import LoadedModel, LoadedTranslator
from cellfleet.pipeline.plane import Plane, lowest_finite
from cellfleet.pipeline.predicted import PredictedPlane, StackSurvey, survey_stack
from cellfleet.pipeline.sample import sample_boxes
from cellfleet.run.pools import Pools
from cellfleet.spec.model import TranslatorManifest
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.box import Box

_BYTES_PER_PLANE_PIXEL = 100
"""Working memory of a network per pixel and plane of a tile with its halo. Measured with the bundled one: 80."""
_SHARE_OF_MEMORY = 0.5
"""Of that for blocks, what tiles that are predicted at once may take."""
_ZOOM_LIMITS = (1 / 16, 8.0)
_MOST_OPEN = 8
"""Predicted planes that are kept ready; what is kept of one is small."""


def predicted_image(image: Image, spec: SegmentSpec, model: LoadedModel, pools: Pools) -> tuple[Image, SegmentSpec]:
    """Return what the last step of `model` is given, and the part of the request that is for it.

    Args:
        image: As it was opened.
        spec: The request. Channels that are chosen without role, or for the role of an earlier step, are for that step.
        model: A workflow; of another model image and request come back as they are.
        pools: Threads and memory of the run.

    Raises:
        ImageError: E21x, the channel of the planes is not known.
        ModelError: E417, the image is no stack of planes that a step can be given.
    """
    for step in model.before:
        image, spec = _predicted(image, spec, step, pools)
    return image, spec


def _predicted(image: Image, spec: SegmentSpec, step: LoadedTranslator, pools: Pools) -> tuple[Image, SegmentSpec]:
    manifest = step.manifest
    mine = [one for one in spec.channels if one.role is None or one.role.casefold() == manifest.role.casefold()]
    rest = spec.model_copy(update={"channels": tuple(one for one in spec.channels if one not in mine)})
    places, told = _spread(image, manifest)
    channels: tuple[int, ...] = ()
    if manifest.axis == "Z":
        chosen = choose_channels(image, mine, (manifest.role,))
        channels, told = chosen[manifest.role], (*choice_notices(image, mine, chosen), *told)
    zoom, diameter = _zoom(image, spec, manifest), _usual_diameter(image, spec, manifest)
    if diameter:
        rest = rest.model_copy(update={"diameter_px": diameter})
        text = (
            f"Pixel size is not known: {manifest.name} takes the image as it is, for objects of about {diameter:g} px"
        )
        told = (*told, Notice("W418", f"{text}. --diameter sets it"))
    tile = (manifest.tile.largest + 2 * manifest.tile.halo) ** 2 * manifest.planes * _BYTES_PER_PLANE_PIXEL
    free = pools.budget.total_bytes
    at_once = pools.threads if free is None else int(np.clip(_SHARE_OF_MEMORY * free // tile, 1, pools.threads))
    turns = threading.Semaphore(at_once)
    source = _Stacks(image, places, channels, step, zoom, pools.chunks.apart(), turns)
    lengths = {axis: image.length(axis) for axis in "TCZYX"} | {manifest.axis: 1, "C": len(manifest.outputs)}
    axes = "".join(axis for axis in "TCZYX" if lengths[axis] > 1 or axis in "YX")
    return Image(
        name=image.name,
        axes=axes,
        shape=tuple(lengths[axis] for axis in axes),
        dtype=np.dtype(np.uint16),
        reader=source.read,
        channel_names=manifest.outputs,
        microns_per_pixel=image.microns_per_pixel,
        microns_per_pixel_source=image.microns_per_pixel_source,
        notices=(*image.notices, *told),
        region_bytes=image.region_bytes * manifest.planes + at_once * tile,
    ), rest


def _spread(image: Image, manifest: TranslatorManifest) -> tuple[tuple[int, ...], tuple[Notice, ...]]:
    """Return which place along the stack's axis each plane of the model is taken from."""
    there, wanted = image.length(manifest.axis), manifest.planes
    if there == wanted:
        return tuple(range(wanted)), ()
    fewest = manifest.fewest_planes
    if fewest is None or there < fewest:
        raise ModelError(
            "E417",
            f"has {there} {_WORDS[manifest.axis]}{'s' * (there != 1)} ({image.axes} {_sizes(image)}), "
            f"{manifest.name} needs {wanted}" + (f", or at least {fewest}" if fewest else ""),
            where=image.name,
            action=f"Give it stacks; where a file does not say what its pages are, --axes {manifest.axis}YX does",
        )
    places = tuple(int(place) for place in np.rint(np.linspace(0, there - 1, wanted)))
    text = f"{manifest.name} takes {wanted} planes and the stack has {there}: "
    text += "evenly spread ones are taken" if there > wanted else "some are taken twice"
    return places, (Notice("W417", text),)


_WORDS = {"Z": "z-plane", "C": "channel"}


def _sizes(image: Image) -> str:
    return " × ".join(map(str, image.shape))


def _zoom(image: Image, spec: SegmentSpec, manifest: TranslatorManifest) -> float:
    """Return the zoom to the model's scale: by the diameter that the user gives, or pixel sizes; else 1."""
    size = spec.microns_per_pixel or image.microns_per_pixel
    zoom = 1.0
    if spec.diameter_px and manifest.diameter_px:
        zoom = manifest.diameter_px / spec.diameter_px
    elif size and manifest.microns_per_pixel:
        zoom = size / manifest.microns_per_pixel
    return float(np.clip(zoom, *_ZOOM_LIMITS))


def _usual_diameter(image: Image, spec: SegmentSpec, manifest: TranslatorManifest) -> float | None:
    """Return the diameter for which a model that is given an image of unknown scale was made; None: scale is known.

    The next step takes it, too: what is faint in a predicted image would mislead an estimate.
    """
    known = spec.diameter_px or spec.microns_per_pixel or image.microns_per_pixel
    return None if known else manifest.diameter_px


@dataclass(eq=False)
class _Stacks:
    """The stacks of an image, and what is predicted of them. May be read by several threads at once."""

    image: Image
    places: tuple[int, ...]
    """Along the axis that is used up, one per plane of the model."""
    channels: tuple[int, ...]
    """Summed, where the planes lie along Z."""
    step: LoadedTranslator
    zoom: float
    tiles: ChunkCache
    turns: threading.Semaphore
    """Of threads that predict a tile: each takes much memory."""
    _survey: StackSurvey | None = None
    _open: dict[tuple[int, int], PredictedPlane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, t: int, z: int, channels: Sequence[int], y: slice, x: slice) -> NDArray[Any]:
        """See `Image.reader`."""
        plane = self._plane(t, z)
        return plane.read(Box(y.start, x.start, y.stop, x.stop))[list(channels)]

    def _plane(self, t: int, z: int) -> PredictedPlane:
        # The survey is made under the lock: who else wants it waits, and need not make it again.
        with self._lock:
            if self._survey is None:
                self._survey = self._surveyed()
            if (t, z) not in self._open:
                while len(self._open) >= _MOST_OPEN:
                    self._open.pop(next(iter(self._open)))
                step = self.step
                self._open[t, z] = PredictedPlane(
                    self._stack(t, z), self._survey, step.manifest, step.translator, self.tiles, self.turns, (t, z)
                )
            return self._open[t, z]

    def _surveyed(self) -> StackSurvey:
        """Look at the stack nearest to the middle in which there is something to see.

        One contrast for all that is predicted: brightness is not to flicker.
        """
        depth = 1 if self.step.manifest.axis == "Z" else self.image.length("Z")
        middle = self.image.length("T") // 2 * depth + depth // 2
        for index in sorted(range(self.image.length("T") * depth), key=lambda index: abs(index - middle)):
            survey = survey_stack(self._stack(*divmod(index, depth)), self.zoom)
            if not survey.blank:
                break
        return survey

    def _stack(self, t: int, z: int) -> Plane:
        """Return a plane whose channels are the planes of the stack."""

        def read(box: Box, planes: Sequence[int]) -> NDArray[Any]:
            places = [self.places[plane] for plane in planes]
            if self.step.manifest.axis == "C":
                return self.image.read(t, z, channels=places, y=box.y, x=box.x)
            return np.stack([self._summed(t, place, box) for place in places])

        shape, count = (self.image.length("Y"), self.image.length("X")), len(self.places)
        lowest: dict[int, float] = {}
        if self.image.dtype.kind == "f":
            found = np.min([lowest_finite(read(box, range(count))) for box in sample_boxes(shape)], axis=0)
            lowest = {plane: float(value) if np.isfinite(value) else 0 for plane, value in enumerate(found)}
        return Plane(shape, count, read, tuple((plane,) for plane in range(count)), lowest)

    def _summed(self, t: int, z: int, box: Box) -> NDArray[Any]:
        pixels = self.image.read(t, z, channels=self.channels, y=box.y, x=box.x)
        summed: NDArray[Any] = pixels[0] if len(pixels) == 1 else pixels.sum(0, dtype=np.float32)
        return summed
