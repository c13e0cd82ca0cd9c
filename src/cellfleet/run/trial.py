"""A model is tried: its package checked, a drawn image segmented, its speed measured. Keeps nothing.

The image is synthetic: bright discs on a dark ground. It shows that the model runs, not that it is good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.images.read import image_from_array
from cellfleet.models.check import Checked, check_package
from cellfleet.models.load import (
    LoadedClassifier,
    LoadedModel,
    find_folder,
    load_model,
    start_any,
    start_translator,
)
from cellfleet.models.source import open_source
from cellfleet.run.pools import Pools
from cellfleet.run.resources import fair_share
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.choices import Device
from cellfleet.spec.model import ModelManifest, TranslatorManifest, WorkflowManifest
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.url import is_url

SIDE_PX: Final = 512
_DIAMETER_PX: Final = 22.0
"""Where the model has none of its own."""
_LARGEST_DIAMETER_PX: Final = 80.0
_DARK, _BRIGHT, _NOISE = 20, 200, 4
MEGAPIXEL: Final = 1 << 20


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    checked: Checked
    device: str
    """What it computed on."""
    discs: int
    """That were drawn."""
    objects: int | None
    """That were found; None: it is no model that finds objects."""
    seconds_per_megapixel: float | None
    """One thread, from pixels to labels and table."""


def open_package(given: str, *, outputs: Sequence[str] = ()) -> Checked:
    """Return a package that works: by the name of a model here, or by the path or address of a folder or zip.

    Raises:
        ModelError: As `check_package`; E401, there is no such model.
        InputError, OutputError: It cannot be read.
    """
    elsewhere = is_url(given) or given.lower().endswith(".zip") or os.path.isdir(given)
    return check_package(open_source(given if elsewhere else str(find_folder(given))), outputs=outputs)


def try_model(checked: Checked, where: str, *, device: Device = "auto") -> Trial:
    """Segment a drawn image with a package that was checked.

    Raises:
        ModelError: E409 the graph fails, E435, E436 it does not fit images, or its outputs are no probabilities.
        DeviceError: E501, E502.
    """
    package = checked.package
    weights = checked.files[package.graph.source] if package.graph else b""
    if isinstance(package.declared, WorkflowManifest):
        return Trial(checked, load_model(where, device=device).device, 0, None, None)
    if isinstance(package.declared, TranslatorManifest):
        return Trial(checked, start_translator(package, weights, where, device=device).device, 0, None, None)
    model = start_any(package, weights, where, device=device)
    if isinstance(model, LoadedClassifier):
        model.classifier.scores(np.zeros((1, *model.manifest.shape), np.float32))
    if not isinstance(model, LoadedModel):
        return Trial(checked, model.device, 0, None, None)
    pixels, discs = drawn(model.manifest)
    found, seconds = _segmented(pixels, model)
    return Trial(checked, model.device, discs, found, seconds * MEGAPIXEL / SIDE_PX**2)


def drawn(manifest: ModelManifest) -> tuple[NDArray[np.uint8], int]:
    """Return an image (C, Z, Y, X) with a channel per role, and how many discs it has of the model's best diameter."""
    diameter = min(manifest.diameter_px or _DIAMETER_PX, _LARGEST_DIAMETER_PX)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    step = 1.6 * diameter
    count = int(SIDE_PX / step)
    # Every row is shifted by half a step, as seen from the one before.
    row = np.minimum(y // step, count - 1)
    shifted = x - (row % 2) * step / 2
    column = shifted // step
    inside = np.hypot(y - (row + 0.5) * step, shifted - (column + 0.5) * step) <= diameter / 2
    plane = np.where(inside & (column >= 0) & (column < count - 1), _BRIGHT, _DARK)
    noise = np.random.default_rng(0).normal(0, _NOISE, plane.shape)
    pixels = np.clip(plane + noise, 0, 255).astype(np.uint8)
    shape = (len(manifest.roles), manifest.frames, SIDE_PX, SIDE_PX)
    return np.broadcast_to(pixels, shape), count * (count - 1)


def _segmented(pixels: NDArray[np.uint8], model: LoadedModel) -> tuple[int, float]:
    """Return the objects of the middle plane, and the seconds that a plane took."""
    channels = tuple(ChannelChoice(role=role, channels=(n,)) for n, role in enumerate(model.manifest.roles, 1))
    wanted = min(model.manifest.diameter_px, _LARGEST_DIAMETER_PX) if model.manifest.diameter_px else None
    spec = SegmentSpec(model=model.manifest.name, channels=channels, diameter_px=wanted)
    image = image_from_array(pixels, axes="CZYX", name="drawn")
    with Pools(1, model, fair_share()) as pools:
        began = time.perf_counter()
        found = segment_image(image, spec, model, How(pools))
        seconds = time.perf_counter() - began
    assert isinstance(found, Segmented), "nobody shares it"
    planes = model.manifest.frames
    return len(found.areas()) // planes, seconds / planes
