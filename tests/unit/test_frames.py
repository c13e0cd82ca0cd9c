"""Models that look at several planes to label one: which planes they are given, and that blocks change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellfleet.images.frames import frames_around, mirrored
from cellfleet.images.read import image_from_array
from cellfleet.models.load import LoadedModel
from cellfleet.pipeline.plane import Plane
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.tiling.box import Box

FRAMES = 3
MANIFEST = ModelManifest(
    name="mean",
    version="1",
    roles=("nuclear", "membrane"),
    frames=FRAMES,
    heads=("peak",),
    tile=Tile(multiple=2, halo=2, largest=32),
    postprocess=DeepWatershed(maxima_head="peak", interior_head="peak", interior_threshold=0.5, radius=1),
)


@given(place=st.integers(0, 9), length=st.integers(1, 10), frames=st.sampled_from([1, 3, 5, 7]))
def test_windows_are_those_of_a_mirrored_stack(place: int, length: int, frames: int) -> None:
    place = min(place, length - 1)
    stack = np.pad(np.arange(length), frames // 2, mode="reflect")
    assert mirrored(place, length, frames) == tuple(stack[place : place + frames])


@pytest.mark.parametrize(
    ("axes", "shape", "index", "expected"),
    [
        ("TYX", (4, 8, 8), 0, (1, 0, 1)),
        ("ZYX", (4, 8, 8), 3, (2, 3, 2)),
        ("TZYX", (2, 3, 8, 8), 3, (4, 3, 4)),
        ("TZYX", (2, 3, 8, 8), 4, (3, 4, 5)),
        ("YX", (8, 8), 0, (0, 0, 0)),
    ],
)
def test_planes_go_along_depth_else_along_time(axes: str, shape: Any, index: int, expected: Any) -> None:
    assert frames_around(image_from_array(np.zeros(shape, np.uint8), axes=axes), index, 3) == expected


def test_the_planes_of_a_role_stand_side_by_side() -> None:
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(3, 2, 4, 5)
    alone = [Plane.of_array(frame) for frame in pixels]
    plane = Plane(alone[1].shape, 2, alone[1].read, alone[1].roles, window=tuple(alone))
    found = plane.model_pixels(Box(1, 1, 3, 4))
    np.testing.assert_array_equal(found, np.moveaxis(pixels, 0, 1).reshape(6, 4, 5)[:, 1:3, 1:4])
    np.testing.assert_array_equal(plane.role_pixels(Box(1, 1, 3, 4)), pixels[1, :, 1:3, 1:4])


class _Weighted:
    """Stands for a network: weighs every plane of every role differently, so that any mix-up changes its heads."""

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        low, high = contrast.T[..., None, None]
        weights = np.array([1, 5, 2, 3, 4, 1], np.float32)[:, None, None] / 16
        return (255 * np.clip((((pixels - low) / (high - low)) * weights).sum(0, keepdims=True), 0, 1)).astype(np.uint8)

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        assert windows[0].shape[0] == len(contrast) == 2
        return self


def _segmented(pixels: NDArray[Any], axes: str, side: int, threads: int = 1) -> Segmented:
    model = LoadedModel(MANIFEST, "0" * 64, _Weighted(), "cpu")
    spec = SegmentSpec(channels=(ChannelChoice.parse("nuclear=2"), ChannelChoice.parse("membrane=1")))
    with Pools(threads, model) as pools:
        found = segment_image(image_from_array(pixels, axes=axes), spec, model, How(pools, block=side))
    assert isinstance(found, Segmented)
    return found


def _stack(planes: int, dtype: Any = np.float32) -> NDArray[Any]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:48, :60]
    pixels = np.zeros((planes, 2, 48, 60), np.float32)
    for place in range(planes):
        for cy, cx in rng.uniform(4, 44, (8, 2)):
            pixels[place] += 100 * np.exp(-((y - cy) ** 2 + (x - cx - 4) ** 2) / 20)
    return (pixels + rng.uniform(0, 3, pixels.shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_blocks_and_threads_change_nothing_where_planes_look_at_their_neighbours(dtype: Any) -> None:
    pixels = _stack(4, dtype)
    if dtype == np.float32:
        pixels[1, 0, 5, 5], pixels[2, 1, 30, 40] = np.nan, np.inf
    whole = _segmented(pixels, "TCYX", side=512)
    assert whole.labels.count > 4
    for side, threads in ((16, 1), (23, 3)):
        parts = _segmented(pixels, "TCYX", side=side, threads=threads)
        np.testing.assert_array_equal(read_all(parts.labels), read_all(whole.labels))


def test_each_role_is_stretched_by_its_own_contrast_in_every_frame() -> None:
    pixels = _stack(3)
    # A power of two, so that no number is rounded differently.
    louder = pixels * np.array([1, 64], np.float32)[:, None, None]
    expected, found = (read_all(_segmented(p, "ZCYX", side=512).labels) for p in (pixels, louder))
    np.testing.assert_array_equal(found, expected)


def test_labels_of_a_plane_are_those_of_its_window_alone() -> None:
    pixels = _stack(5)
    whole = read_all(_segmented(pixels, "ZCYX", side=512).labels)
    # The same window in a stack of its own: its middle plane is the same plane.
    alone = read_all(_segmented(pixels[1:4], "ZCYX", side=512).labels)
    np.testing.assert_array_equal(whole[2] > 0, alone[1] > 0)
    changed = pixels.copy()
    changed[3] *= 0.3
    moved = read_all(_segmented(changed, "ZCYX", side=512).labels)
    np.testing.assert_array_equal(whole[0] > 0, moved[0] > 0)
    assert (whole[2] != moved[2]).any()


def test_what_is_shown_and_measured_is_the_plane_itself() -> None:
    pixels = _stack(3)
    found = _segmented(pixels, "TCYX", side=512)
    assert found.contrast.shape == (2, 2)
    np.testing.assert_array_equal(found.shown_pixels(), pixels[1, ::-1])


@pytest.mark.parametrize(
    ("axes", "shape", "codes"),
    [("TCYX", (3, 2, 48, 60), []), ("CYX", (2, 48, 60), ["W621"]), ("TZCYX", (3, 3, 2, 48, 60), ["W620"])],
)
def test_the_user_is_told_which_planes_are_looked_at(axes: str, shape: Any, codes: list[str]) -> None:
    count = int(np.prod(shape[:-3]))
    pixels = _stack(count).reshape(shape)
    found = _segmented(pixels, axes, side=512)
    assert [notice.code for notice in found.notices if notice.code.startswith("W62")] == codes


def test_a_window_has_a_middle() -> None:
    with pytest.raises(ValueError, match="odd"):
        ModelManifest(name="even", version="1", frames=4, heads=("foreground", "inner_distance"))
