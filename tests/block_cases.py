"""Small images, a filter that stands in for the network, and how to compare what blocks of any size make of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cellfleet.images.read import image_from_array
from cellfleet.models import LoadedModel
from cellfleet.results.labelled import LabelImage, Rows, all_columns, read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.spec.segment import ChannelChoice, SegmentSpec

WHOLE = 1 << 30
"""Side of a block that holds any image."""
Field = NDArray[np.float64]


class Filter:
    """Smooths a little, role by role: a network without weights. The last role's head comes last."""

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        return self

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        low, high = contrast[:, :1, np.newaxis], contrast[:, 1:, np.newaxis]
        values = np.clip((pixels - low) / (high - low), 0, 1)
        smooth = ndimage.uniform_filter(values, (0, 3, 3), mode="nearest")
        return np.stack([np.rint(255 * values[0]), np.rint(255 * smooth[-1])]).astype(np.uint8)


# --- images ------------------------------------------------------------------------------------------------------


def blobs(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    field = np.zeros(shape)
    y, x = np.indices(shape)
    for _ in range(rng.integers(1, 12)):
        distance = np.hypot(y - rng.integers(shape[0]), x - rng.integers(shape[1]))
        field = np.maximum(field, rng.uniform(0.4, 1) * np.clip(1.5 - distance / rng.uniform(1, 9), 0, 1))
    return field


def snake(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A crooked line that crosses every block: an object much larger than all halos."""
    field, place, way = np.zeros(shape), [int(rng.integers(n)) for n in shape], (0, 1)
    for _ in range(3 * sum(shape)):
        field[tuple(place)] = max(field[tuple(place)], rng.choice([0.6, 0.7, 0.9]))
        if rng.random() < 0.15:
            way = [(0, 1), (0, -1), (1, 0), (-1, 0)][rng.integers(4)]
        place = [min(max(p + step, 0), n - 1) for p, step, n in zip(place, way, shape, strict=True)]
    return field


def plateau(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """One object over the whole image with many low hills: which of them are seeds is decided far away."""
    return 0.6 + 0.4 * ndimage.gaussian_filter(rng.random(shape), 2) / 0.6


IMAGES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Field]] = {
    "noise": lambda rng, shape: rng.random(shape),
    "smooth": lambda rng, shape: ndimage.gaussian_filter(rng.random(shape), 2),
    "blobs": blobs,
    "snake": snake,
    "plateau": plateau,
    "flat": lambda rng, shape: np.full(shape, rng.choice([0.0, 0.5])),
    "saturated": lambda rng, shape: np.clip(5 * ndimage.gaussian_filter(rng.random(shape), 1) - 2, 0, 1),
}
FAR = {"snake", "plateau"}


@dataclass(frozen=True)
class Case:
    pixels: NDArray[Any]
    axes: str
    spec: SegmentSpec
    model: LoadedModel
    kind: str


specs = st.builds(
    DeepWatershed,
    maxima_head=st.sampled_from(["peaks", "outer_distance"]),
    interior_head=st.sampled_from(["outer_distance", "outer_distance", "peaks"]),
    radius=st.sampled_from([0, 1, 2, 4]),
    maxima_threshold=st.sampled_from([0.02, 0.1, 0.3]),
    maxima_smooth=st.sampled_from([0, 0, 1]),
    interior_threshold=st.sampled_from([0.2, 0.5]),
    interior_smooth=st.sampled_from([0, 0, 1]),
    small_objects_threshold=st.sampled_from([0, 5]),
    fill_holes_threshold=st.sampled_from([0, 4, 50]),
    pixel_expansion=st.sampled_from([0, 0, 1]),
)


@st.composite
def cases(draw: st.DrawFn, largest: int = 60, *, plain: bool = False) -> Case:
    """Draw an image, a model and a request; plain: one plane of one channel at the model's own scale."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)) | st.just((1, largest)))
    kind = draw(st.sampled_from(sorted(IMAGES)))
    stack = {} if plain else draw(st.sampled_from([{}, {}, {}, {"T": 1}, {"T": 2}, {"Z": 2}, {"T": 2, "Z": 2}]))
    channels = 1 if plain else draw(st.integers(1, 3))
    axes = "".join(stack) + ("C" if channels > 1 else "") + "YX"
    leading = (*stack.values(), *([channels] if channels > 1 else []))
    kinds = rng.choice([kind, kind, "flat"], int(np.prod(leading, dtype=int)))
    fields = np.stack([IMAGES[name](rng, shape) for name in kinds])
    pixels = fields.reshape(*leading, *shape)
    dtype = np.uint8 if plain else draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    pixels = (pixels * 200).astype(dtype)
    if dtype is np.float32 and draw(st.booleans()):
        pixels[rng.random(pixels.shape) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
    roles = draw(st.sampled_from([("nuclear",), ("nuclear", "membrane")])) if channels > 1 else ("nuclear",)
    numbers = [str(n + 1) for n in range(channels)]
    choices = ["+".join(numbers)] if len(roles) == 1 else [f"nuclear={numbers[0]}", f"membrane={'+'.join(numbers[1:])}"]
    manifest = ModelManifest(
        name="filter",
        version="1",
        roles=roles,
        diameter_px=10,
        diameter_range_px=(8, 12),
        heads=("peaks", "outer_distance"),
        tile=Tile(multiple=2, halo=2, largest=draw(st.sampled_from([16, 30, 512]))),
        postprocess=draw(specs),
    )
    spec = SegmentSpec(
        channels=tuple(map(ChannelChoice.parse, choices)),
        # Left as it is, shrunk, enlarged.
        diameter_px=10 if plain else draw(st.sampled_from([10, 10, 31, 4.5])),
        microns_per_pixel=draw(st.sampled_from([None, 0.5])),
    )
    return Case(pixels, axes, spec, LoadedModel(manifest, "0" * 64, Filter(), "cpu"), kind)


# --- comparing ---------------------------------------------------------------------------------------------------


def segmented(case: Case, side: int, threads: int = 1, order: int | None = None) -> Segmented:
    """Segment in blocks of `side` px, done in the random order of that seed."""

    def share(jobs: Sequence[Any]) -> Sequence[Any]:
        return jobs if order is None else random.Random(order).sample(jobs, len(jobs))

    image = image_from_array(case.pixels, axes=case.axes)
    with Pools(threads, case.model) as pools:
        found = segment_image(image, case.spec, case.model, How(pools, share=share, block=side))
    assert isinstance(found, Segmented)
    return found


def assert_same_labels(found: LabelImage, expected: LabelImage) -> None:
    np.testing.assert_array_equal(read_all(found), read_all(expected))
    assert found.count == expected.count


def assert_same_rows(found: Rows, expected: Rows) -> None:
    table, its = all_columns(found), all_columns(expected)
    assert list(table) == list(its)
    assert dict(found.types) == dict(expected.types)
    assert found.count == expected.count == len(table["label"])
    for name, values in its.items():
        assert table[name].dtype == values.dtype and table[name].tobytes() == values.tobytes(), name


def assert_same(found: Segmented, expected: Segmented) -> None:
    assert_same_labels(found.labels, expected.labels)
    assert_same_rows(found.rows, expected.rows)
    assert found.labels.count == found.rows.count
    assert found.notices == expected.notices
    assert found.contrast.tobytes() == expected.contrast.tobytes() and found.scale == expected.scale
    np.testing.assert_array_equal(found.shown_labels(), expected.shown_labels())


@dataclass(frozen=True)
class Cut:
    side: int
    halo: int
    order: int | None
    threads: int


cuts = st.builds(
    Cut, side=st.integers(4, 40), halo=st.integers(1, 20), order=st.none() | st.integers(0, 99), threads=st.just(1)
)


def check(case: Case, cut: Cut) -> Segmented:
    with patch("cellfleet.pipeline.block._HALO_PX", cut.halo):
        found = segmented(case, cut.side, cut.threads, cut.order)
    assert_same(found, segmented(case, WHOLE))
    return found
