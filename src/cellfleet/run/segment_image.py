"""One opened image through the pipeline, plane by plane, in memory: what the command and the Python API share.

Labels go on counting over the planes, so that an integer names one object in the whole image. Knows no output folder.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice
from cellfleet.images.channels import choice_notices, choose_channels
from cellfleet.images.image import Image
from cellfleet.models import LoadedModel
from cellfleet.pipeline.measure import measure
from cellfleet.pipeline.segment import PlaneResult, role_planes, segment_plane
from cellfleet.pipeline.survey import Survey, survey
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec

BYTES_PER_PIXEL_OF_PLANE = 64
"""Working memory per pixel of one plane beside its own pixels: float copies, heads, watershed. Measured: 30 with `otsu`
on 26 megapixels; the rest is for networks with more heads."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """What the pipeline found in one image."""

    axes: str
    """Of `labels`: the image's axes without C."""
    labels: NDArray[np.uint32]
    """0 = background, 1…n."""
    columns: dict[str, NDArray[Any]]
    """One row per label, ascending; ``t`` and ``z`` count planes from 0 where the image has these axes."""
    channels_used: dict[str, tuple[int, ...]]
    """Role → channels counted from 0."""
    microns_per_pixel: float | None
    microns_per_pixel_source: str
    contrast: NDArray[np.float32]
    """(R, 2) of the plane that is shown."""
    shown_pixels: NDArray[np.generic]
    """(R, Y, X) of the middle plane as the model saw it, for the picture in the report."""
    shown_labels: NDArray[np.uint32]
    """(Y, X) of the same plane."""
    scale: Scale | None
    notices: tuple[Notice, ...]
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]

    @property
    def diameters_px(self) -> NDArray[np.float64]:
        """Diameter of the circle of equal area, px, of every object."""
        return np.sqrt(4 / np.pi * self.columns["area_px"].astype(np.float64))


class Clock:
    """Wall and processor seconds per stage, of the thread that works on one image."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - wall
            self.cpu_seconds[name] += time.thread_time() - cpu

    def add(self, timed: PlaneResult | Segmented) -> None:
        """Add stages that were timed by those who did them."""
        for stage, value in timed.seconds.items():
            self.seconds[stage] += value
        for stage, value in timed.cpu_seconds.items():
            self.cpu_seconds[stage] += value


def needed_bytes(image: Image) -> int:
    """Estimate the memory that `segment_image` takes: one plane with all channels, and the labels of all planes."""
    plane = image.length("Y") * image.length("X")
    planes = image.length("T") * image.length("Z")
    return plane * (image.channels * image.dtype.itemsize + BYTES_PER_PIXEL_OF_PLANE + 4 * planes)


def segment_image(
    image: Image, spec: SegmentSpec, model: LoadedModel, *, checkpoint: Callable[[], None] = lambda: None
) -> Segmented:
    """Segment and measure every plane of `image`.

    Contrast and scale are found once, on the middle plane (the first z-plane of a stack is often out of focus).

    Args:
        image: Any axes.
        spec: What to find.
        model: Who finds it.
        checkpoint: Called between steps; what it raises stops the work.

    Raises:
        CellfleetError: The image cannot be read, or does not fit the request.
    """
    roles = choose_channels(image, spec.channels, model.manifest.roles)
    size, source = image.microns_per_pixel, image.microns_per_pixel_source
    if spec.microns_per_pixel:
        size, source = spec.microns_per_pixel, "option"
    planes, clock = image.planes(), Clock()
    labels = np.zeros((len(planes), image.length("Y"), image.length("X")), np.uint32)
    notices = dict.fromkeys((*image.notices, *choice_notices(image, spec.channels, roles)))
    tables, blank, offset = [], 0, 0
    with clock.stage("preprocess"):
        shown_plane, known = _first_look(image, roles, spec, size, model)
    for index, (t, z) in enumerate(planes):
        checkpoint()
        with clock.stage("read"):
            pixels, told = finite(image.read_plane(t, z))
        checkpoint()
        if _is_blank(pixels, roles):
            blank += 1
            result = _nothing_in(pixels, roles, known)
        else:
            result = segment_plane(pixels, roles, spec, size, model, known)
        clock.add(result)
        checkpoint()
        with clock.stage("measure"):
            table = measure(result.labels, pixels, image.channel_names, size)
        tables.append(_placed(table, image.axes, t, z, offset))
        np.add(result.labels, np.uint32(offset), out=labels[index], where=result.labels > 0)
        notices.update(dict.fromkeys((*told, *result.notices)))
        offset += len(table["label"])
        if index == shown_plane:
            shown = role_planes(pixels, list(roles.values())), result
    notices.update(dict.fromkeys(_told_of_blank(blank, len(planes))))
    axes = image.axes.replace("C", "")
    return Segmented(
        axes=axes,
        labels=labels.reshape([image.length(axis) for axis in axes]),
        columns={name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
        channels_used=roles,
        microns_per_pixel=size,
        microns_per_pixel_source=source,
        contrast=shown[1].contrast,
        shown_pixels=shown[0],
        shown_labels=shown[1].labels,
        scale=shown[1].scale,
        notices=tuple(notices),
        seconds=dict(clock.seconds),
        cpu_seconds=dict(clock.cpu_seconds),
    )


def _first_look(
    image: Image,
    roles: dict[str, tuple[int, ...]],
    spec: SegmentSpec,
    microns_per_pixel: float | None,
    model: LoadedModel,
) -> tuple[int, Survey | None]:
    """Return the plane nearest to the middle that is not blank, and its survey where there are several planes."""
    planes = image.planes()
    if len(planes) == 1:
        return 0, None
    middle = len(planes) // 2
    for index in sorted(range(len(planes)), key=lambda index: abs(index - middle)):
        pixels = finite(image.read_plane(*planes[index]))[0]
        if not _is_blank(pixels, roles):
            used = role_planes(pixels, list(roles.values()))
            return index, survey(used, spec, microns_per_pixel, model.manifest, model.predictor)
    return middle, None


def _is_blank(pixels: NDArray[Any], roles: dict[str, tuple[int, ...]]) -> bool:
    """Say whether every channel that is used has one value only: no contrast, and nothing to find."""
    return all(pixels[channel].min() == pixels[channel].max() for channels in roles.values() for channel in channels)


def _nothing_in(pixels: NDArray[Any], roles: dict[str, tuple[int, ...]], known: Survey | None) -> PlaneResult:
    values = role_planes(pixels[:, :1, :1], list(roles.values())).ravel()
    contrast = np.stack([values, values + 1], axis=1)
    blank = Survey(contrast, known.scale if known else Scale(zoom=1, source="unscaled"))
    return PlaneResult(np.zeros(pixels.shape[1:], np.uint32), blank)


def _told_of_blank(blank: int, planes: int) -> tuple[Notice, ...]:
    if not blank:
        return ()
    where = "all pixels have" if planes == 1 else f"in {blank} of {planes} planes all pixels have"
    return (Notice("W002", f"{where} the same value: no cells"),)


def finite(pixels: NDArray[Any]) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """Return pixels (C, Y, X) without NaN and infinity: they become the channel's lowest finite value."""
    if pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all()):
        return pixels, ()
    good = np.isfinite(pixels)
    cleaned = pixels.copy()
    for plane, valid in zip(cleaned, good, strict=True):
        plane[~valid] = plane[valid].min(initial=np.inf) if valid.any() else 0
    count = int(good.size - good.sum())
    return cleaned, (
        Notice("W001", f"{count} of {good.size} pixels are not a number or infinite; taken as the lowest value"),
    )


def _placed(table: dict[str, NDArray[Any]], axes: str, t: int, z: int, offset: int) -> dict[str, NDArray[Any]]:
    """Put the plane's position after the label, and go on counting from `offset`."""
    count = len(table["label"])
    position = {axis.lower(): np.full(count, at, np.int32) for axis, at in (("T", t), ("Z", z)) if axis in axes}
    rest = {name: values for name, values in table.items() if name != "label"}
    return {"label": table["label"] + np.asarray(offset, table["label"].dtype), **position, **rest}
