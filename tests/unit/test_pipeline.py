"""The pipeline on arrays: scale, position, tiles, threads. Real bundled weights on drawn nuclei."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.tissue import sheet

from cellfleet.errors import Notice
from cellfleet.evaluation.matching import match
from cellfleet.models import LoadedModel, load_model
from cellfleet.pipeline.block import segment_block
from cellfleet.pipeline.clock import Clock
from cellfleet.pipeline.heads import PlaneHeads, TilePool
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import contrast, resampled, scaled_shape
from cellfleet.pipeline.survey import Survey, survey
from cellfleet.spec.model import Tile
from cellfleet.spec.record import Scale
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.box import Box

ROLES = {"nuclear": (0,)}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("nuclei", device="cpu")


@dataclass(frozen=True)
class PlaneResult:
    labels: NDArray[np.uint32]
    scale: Scale
    notices: tuple[Notice, ...]


def segment_plane(
    pixels: NDArray[Any],
    roles: Mapping[str, tuple[int, ...]],
    spec: SegmentSpec,
    microns_per_pixel: float | None,
    model: LoadedModel,
) -> PlaneResult:
    """Survey a plane (C, Y, X), and segment it as one block."""
    plane = Plane.of_array(pixels, list(roles.values()))
    found = survey(plane, spec, microns_per_pixel, model.manifest, model.predictor)
    tiles = TilePool(1, 1 << 28)
    try:
        heads = PlaneHeads(plane, found, model.manifest, tiles, ("image", 0), Clock())
        whole = Box.whole(plane.shape)
        block = segment_block(heads, whole, whole, ("",) * plane.channels, microns_per_pixel)
        assert block
    finally:
        tiles.close()
    return PlaneResult(block.labels, found.scale, found.notices)


def draw(shape: tuple[int, int], diameter: float, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Draw soft, textured, slightly oval nuclei that do not overlap: (1, Y, X) and labels (Y, X)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image, labels = np.full(shape, 20.0), np.zeros(shape, np.uint32)
    for cy in np.arange(diameter, shape[0] - diameter / 2, 1.6 * diameter):
        for cx in np.arange(diameter, shape[1] - diameter / 2, 1.6 * diameter):
            ry, rx = diameter / 2 * random.uniform(0.85, 1.15, 2)
            r = np.hypot((y - cy) / ry, (x - cx) / rx)
            labels[r <= 1] = labels.max() + 1
            image += random.uniform(90, 150) * np.clip((1.05 - r) * diameter / 3, 0, 1)
    return (image + random.normal(0, 3, shape)).clip(0, 255).astype(np.uint8)[None], labels


@pytest.mark.parametrize("diameter", [7, 12, 24, 45, 90, 180])
def test_an_unknown_scale_is_estimated_from_tiny_to_huge(model: LoadedModel, diameter: int) -> None:
    pixels, _ = draw((max(160, 5 * diameter),) * 2, diameter)
    found = survey(Plane.of_array(pixels), SegmentSpec(), None, model.manifest, model.predictor)
    assert found.scale.source == "estimated"
    assert found.scale.diameter_px is not None
    assert 0.6 < found.scale.diameter_px / diameter < 1.7
    assert found.notices


@pytest.mark.parametrize("spacing", [16, 24, 48])
def test_cells_that_fill_the_tissue_are_not_taken_for_fewer_larger_ones(spacing: int) -> None:
    tissue = load_model("tissue", device="cpu")
    drawn = sheet(10 * spacing, spacing)
    found = survey(Plane.of_array(drawn.pixels), SegmentSpec(), None, tissue.manifest, tissue.predictor)
    areas = np.bincount(drawn.cells.ravel())[1:]
    diameter = 2 * np.sqrt(np.median(areas[areas > 0]) / np.pi)
    assert found.scale.diameter_px is not None
    assert 0.6 < found.scale.diameter_px / diameter < 1.7


@pytest.mark.parametrize("diameter", [7, 12, 24, 45, 90, 180])
def test_nuclei_of_any_size_are_found_where_they_are(model: LoadedModel, diameter: int) -> None:
    pixels, labels = draw((5 * diameter + 40, 6 * diameter + 33), diameter)
    result = segment_plane(pixels, ROLES, SegmentSpec(), None, model)
    assert result.labels.shape == labels.shape
    assert match(result.labels, labels).at(0.5).f1 > 0.9


@pytest.mark.parametrize("diameter", [2.5, 9, 22, 30, 80, 400])
def test_a_given_diameter_decides_the_zoom(model: LoadedModel, diameter: float) -> None:
    pixels, _ = draw((120, 120), 22)
    scale = segment_plane(pixels, ROLES, SegmentSpec(diameter_px=diameter), None, model).scale
    assert (scale.source, scale.diameter_px) == ("diameter", diameter)
    assert model.manifest.diameter_range_px is not None
    low, high = model.manifest.diameter_range_px
    assert low < diameter * scale.zoom < high
    assert (scale.zoom == 1) == (low <= diameter <= high)


def test_a_pixel_size_decides_the_zoom_where_the_model_has_one(model: LoadedModel) -> None:
    pixels, _ = draw((120, 120), 22)
    manifest = model.manifest.model_copy(update={"microns_per_pixel": 0.5})
    found = survey(Plane.of_array(pixels), SegmentSpec(), 0.25, manifest, model.predictor)
    assert (found.scale.zoom, found.scale.source) == (0.5, "pixel-size")


@pytest.mark.parametrize(("microns", "zoom"), [(500, 8), (1e-6, 1 / 16)])
def test_a_pixel_size_that_makes_no_sense_is_told(model: LoadedModel, microns: float, zoom: float) -> None:
    manifest = model.manifest.model_copy(update={"microns_per_pixel": 0.5})
    found = survey(Plane.of_array(draw((40, 40), 22)[0]), SegmentSpec(), microns, manifest, model.predictor)
    assert found.scale.zoom == zoom
    assert [notice.code for notice in found.notices] == ["W206"]


def test_an_estimate_says_why_it_was_needed(model: LoadedModel) -> None:
    for diameter in (0, 24):
        pixels = draw((160, 160), diameter)[0] if diameter else np.full((1, 160, 160), 7, np.uint8)
        (unknown,) = segment_plane(pixels, ROLES, SegmentSpec(), None, model).notices
        (useless,) = segment_plane(pixels, ROLES, SegmentSpec(), 0.5, model).notices
        assert unknown.text.startswith("Pixel size is not known")
        assert useless.text.startswith("The model knows no pixel size")


def test_a_diameter_that_the_model_cannot_use_is_told() -> None:
    result = segment_plane(draw((96, 96), 22)[0], ROLES, SegmentSpec(diameter_px=22), None, load_model("otsu"))
    assert [notice.code for notice in result.notices] == ["W205"]
    assert result.scale.source == "unscaled"


def test_a_constant_image_has_no_objects_and_no_scale(model: LoadedModel) -> None:
    for value in (0, 255):
        result = segment_plane(np.full((1, 64, 80), value, np.uint8), ROLES, SegmentSpec(), None, model)
        assert not result.labels.any()
        assert result.scale.zoom == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (17, 33)])
def test_any_size_is_taken(model: LoadedModel, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, *shape)).astype(np.uint8)
    assert segment_plane(pixels, ROLES, SegmentSpec(), None, model).labels.shape == shape
    assert segment_plane(pixels, ROLES, SegmentSpec(diameter_px=3), None, model).labels.shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_type_and_units_of_the_pixels_do_not_matter(model: LoadedModel, dtype: type) -> None:
    pixels, _ = draw((120, 130), 22)
    expected = segment_plane(pixels, ROLES, SegmentSpec(), None, model).labels
    offset = 0 if dtype is np.uint8 else 100
    labels = segment_plane((pixels.astype(np.float64) + offset).astype(dtype), ROLES, SegmentSpec(), None, model).labels
    assert match(labels, expected).at(0.9).f1 == 1


def test_channels_of_one_role_are_summed(model: LoadedModel) -> None:
    pixels, _ = draw((96, 96), 22)
    half = pixels // 2
    both = np.concatenate([half, pixels - half])
    one = segment_plane(pixels, ROLES, SegmentSpec(), None, model).labels
    two = segment_plane(both, {"nuclear": (0, 1)}, SegmentSpec(), None, model).labels
    np.testing.assert_array_equal(one, two)


def heads_of(pixels: NDArray[Any], tile: Tile, model: LoadedModel, threads: int = 1) -> NDArray[np.uint8]:
    """Predict a whole plane by tiles of the given size."""
    plane = Plane.of_array(pixels)
    manifest = model.manifest.model_copy(update={"tile": tile})
    found = Survey(contrast(pixels), Scale(zoom=1, source="unscaled"), model.predictor, Box.whole(plane.shape))
    tiles = TilePool(threads, 1 << 28)
    try:
        return PlaneHeads(plane, found, manifest, tiles, ("image", 0), Clock()).read(Box.whole(plane.shape))
    finally:
        tiles.close()


def test_tiles_agree_with_the_whole_image(model: LoadedModel) -> None:
    pixels, _ = draw((512, 640), 24)
    whole = heads_of(pixels, Tile(multiple=16, halo=64, largest=4096), model)
    tiled = heads_of(pixels, Tile(multiple=16, halo=64, largest=160), model)
    difference = np.abs(whole.astype(int) - tiled.astype(int))
    # 8-bit arithmetic rounds at every layer: the last digits of a head carry more of a tile's surroundings.
    assert (difference > 3).mean() < 1e-3
    assert difference.max() < 26, "a seam that could move an outline"


def test_threads_do_not_change_a_byte(model: LoadedModel) -> None:
    pixels, _ = draw((300, 400), 24)
    tile = Tile(multiple=16, halo=64, largest=160)
    np.testing.assert_array_equal(heads_of(pixels, tile, model, threads=4), heads_of(pixels, tile, model))


def test_wide_planes_keep_their_tiles_in_less_memory_with_the_same_heads(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, _ = draw((300, 400), 24)
    tile = Tile(multiple=16, halo=64, largest=160)
    expected, kept = heads_of(pixels, tile, model), []
    monkeypatch.setattr("cellfleet.pipeline.heads._PACKED_FROM_PX", 200)
    ask = TilePool.ask

    def watched(pool: TilePool, key: Any, predict: Any) -> Any:
        kept.append(ask(pool, key, predict))
        return kept[-1]

    monkeypatch.setattr(TilePool, "ask", watched)

    np.testing.assert_array_equal(heads_of(pixels, tile, model), expected)
    assert sum(packed.result().nbytes for packed in kept) < expected.nbytes / 2


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    zoom=st.floats(0.2, 5),
    value=st.integers(0, 65535),
)
def test_resampling_keeps_size_and_flat_values(height: int, width: int, zoom: float, value: int) -> None:
    plane = np.full((1, height, width), value, np.uint16)
    there = resampled(plane, scaled_shape((height, width), zoom))
    back = resampled(there, (height, width))
    assert back.shape == plane.shape
    np.testing.assert_allclose(back, plane, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(zoom=st.floats(0.4, 4), seed=st.integers(0, 1000))
def test_resampling_keeps_positions(zoom: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :100]
    cy, cx = random.uniform(25, 55), random.uniform(25, 75)
    blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 72).astype(np.float32)[None]
    shape = scaled_shape((80, 100), zoom)
    scaled = resampled(blob, shape)[0]
    rows, columns = (np.arange(n) + 0.5 for n in shape)
    found = (
        scaled.sum(1) @ rows / scaled.sum() * 80 / shape[0],
        scaled.sum(0) @ columns / scaled.sum() * 100 / shape[1],
    )
    np.testing.assert_allclose(found, (cy + 0.5, cx + 0.5), atol=0.1)


def test_contrast_ignores_a_hot_pixel_and_never_divides_by_zero() -> None:
    plane = np.random.default_rng(0).normal(100, 5, (1, 200, 200))
    plane[0, 3, 3] = 1e9
    low, high = contrast(plane)[0]
    assert 80 < low < 95
    assert 105 < high < 130
    np.testing.assert_array_equal(contrast(np.full((1, 4, 4), 7)), [[7, 8]])


@pytest.mark.parametrize("value", [-3e38, -2e7, 0, 0.3, 2e7, 4_294_967_040, 3e38])
def test_the_contrast_of_a_nearly_constant_channel_is_never_empty(value: float) -> None:
    plane = np.full((1, 100, 100), value, np.float32)
    plane[0, 3, 3] = 0
    low, high = contrast(plane)[0]
    assert low == np.float32(value) and np.float32(low) < high < np.inf
