"""One image through the pipeline: unusable pixels, one contrast for all planes, and planes in which nothing is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import tifffile
from tests.support import discs

from cellfleet.errors import DeviceError
from cellfleet.images.read import image_from_array
from cellfleet.images.source import Source
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.models import LoadedModel, load_model, read_manifest
from cellfleet.pipeline.plane import Plane, lowest_finite
from cellfleet.run.names import output_names
from cellfleet.run.plan import Task
from cellfleet.run.pools import Pools
from cellfleet.run.process import Work, process
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.folder import FolderPlace
from cellfleet.tiling.box import Box

SPEC = SegmentSpec(model="otsu", channels=(ChannelChoice.parse("1"),))


class Recorder:
    """Predicts as `otsu`, and remembers the contrasts that it was given."""

    def __init__(self) -> None:
        self.contrasts: list[list[list[float]]] = []

    def for_image(self, windows: Sequence[np.ndarray], contrast: np.ndarray) -> Self:
        return self

    def predict(self, pixels: np.ndarray, contrast: np.ndarray) -> np.ndarray:
        self.contrasts.append(contrast.tolist())
        return OtsuPredictor().predict(pixels, contrast)


def segmented(pixels: np.ndarray, axes: str, model: LoadedModel, memory_bytes: int | None = None) -> Segmented:
    with Pools(1, model, memory_bytes) as pools:
        found = segment_image(image_from_array(pixels, axes=axes), SPEC, model, How(pools))
    assert isinstance(found, Segmented)
    return found


def test_all_planes_are_seen_with_the_contrast_of_the_middle_one() -> None:
    recorder = Recorder()
    model = LoadedModel(read_manifest("otsu"), "0" * 64, recorder, "cpu")
    planes = np.random.default_rng(0).random((5, 32, 32)) * np.array([1, 2, 50, 3, 4])[:, None, None]
    segmented(planes, "ZYX", model)
    expected = np.percentile(planes[2].astype(np.float32), (1, 99.8))
    assert len(recorder.contrasts) == 5
    for found in recorder.contrasts:
        assert found[0] == pytest.approx(expected, rel=1e-4)


def test_an_empty_plane_in_the_middle_does_not_decide_the_contrast() -> None:
    planes = np.random.default_rng(0).random((5, 32, 32))
    planes[2] = 7
    found = segmented(planes, "ZYX", load_model("otsu"))
    assert found.shown_plane in {1, 3}
    assert found.contrast[0, 1] < 1
    assert [(notice.code, notice.text) for notice in found.notices] == [
        ("W002", "in 1 of 5 planes all pixels have the same value: no cells")
    ]


def test_not_a_number_and_infinity_become_the_lowest_value_of_their_channel() -> None:
    pixels = np.array([[[1, np.nan], [3, np.inf]], [[-np.inf, -5], [np.nan, 7]], [[np.nan, np.nan], [np.inf, np.nan]]])
    lowest = {channel: value if np.isfinite(value) else 0 for channel, value in enumerate(lowest_finite(pixels))}
    plane = Plane((2, 2), 3, lambda box, channels: pixels[list(channels), box.y, box.x], ((1, 0), (2,)), lowest)
    whole = Box(0, 0, 2, 2)
    assert plane.channel_pixels(whole).tolist() == [[[1, 1], [3, 1]], [[-5, -5], [-5, 7]], [[0, 0], [0, 0]]]
    assert plane.role_pixels(whole).tolist() == [[[-4, -4], [-2, 8]], [[0, 0], [0, 0]]]
    assert plane.unusable(whole) == 8 and plane.unusable(Box(1, 0, 2, 1)) == 2
    assert np.isnan(pixels[0, 0, 1]), "the caller's array is left as it is"


def test_pixels_that_cannot_be_used_are_counted_and_told() -> None:
    pixels = np.random.default_rng(0).random((3, 20, 30))
    pixels[0, 0, :3], pixels[2, 5, 5] = np.nan, np.inf
    (notice,) = segmented(pixels, "CYX", load_model("otsu")).notices
    assert notice.code == "W001" and notice.text.startswith("4 of 1800 pixels")


def test_an_image_that_does_not_fit_the_memory_even_alone_is_refused_before_it_is_read() -> None:
    model = load_model("otsu")
    pixels = np.broadcast_to(np.uint16(0), (300, 2000, 2000))
    with Pools(1, model, 3 << 30) as pools, pytest.raises(DeviceError, match="E510"):
        segment_image(image_from_array(pixels, axes="CYX"), SPEC, model, How(pools))


def test_no_image_is_blamed_for_a_model_server_that_is_away(tmp_path: Path) -> None:
    class Away(Recorder):
        def predict(self, pixels: np.ndarray, contrast: np.ndarray) -> np.ndarray:
            raise DeviceError("E523", "nobody answers")

    tifffile.imwrite(tmp_path / "a.tif", discs())
    task = Task(Source(str(tmp_path / "a.tif"), "a.tif"), 0, output_names("a", ("labels-tiff",)))
    model, out = LoadedModel(read_manifest("nuclei"), "0" * 64, Away(), "server"), FolderPlace(tmp_path / "out")
    spec = SegmentSpec(model="nuclei")
    with Pools(1, model) as pools, pytest.raises(DeviceError, match=r"\[E523\]"):
        process(task, Work(out, spec, spec.digest(model.sha256), model, pools))
    assert list(out.names()) == []


def test_images_of_one_run_never_see_each_others_tiles() -> None:
    model = load_model("otsu")
    random = np.random.default_rng(0)
    with Pools(1, model) as pools:
        for _ in range(60):
            # Objects of Python are made where others have just gone: what names an image must not come back.
            dot = np.zeros((24, 24))
            y, x = random.integers(4, 20, 2)
            dot[y - 3 : y + 3, x - 3 : x + 3] = 1
            found = segment_image(image_from_array(dot), SPEC, model, How(pools))
            assert isinstance(found, Segmented)
            assert found.labels.read(0, Box(y, x, y + 1, x + 1)).item() == 1
