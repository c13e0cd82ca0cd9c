"""One image in memory: unusable pixels, one contrast for all planes, and when an input counts as changed."""

import os
from pathlib import Path

import numpy as np
import pytest

from cellfleet.images.read import image_from_array
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.models import LoadedModel, read_manifest
from cellfleet.run.fingerprint import fingerprint, unchanged
from cellfleet.run.segment_image import finite, needed_bytes, segment_image
from cellfleet.spec.segment import SegmentSpec


class Recorder:
    """Predicts as `otsu`, and remembers the contrasts that it was given."""

    def __init__(self) -> None:
        self.contrasts: list[list[list[float]]] = []

    def predict(self, pixels: np.ndarray, contrast: np.ndarray) -> np.ndarray:
        self.contrasts.append(contrast.tolist())
        return OtsuPredictor().predict(pixels, contrast)


def test_all_planes_are_seen_with_the_contrast_of_the_middle_one() -> None:
    recorder = Recorder()
    model = LoadedModel(read_manifest("otsu"), "0" * 64, recorder, "cpu")
    planes = np.random.default_rng(0).random((5, 32, 32)) * np.array([1, 2, 50, 3, 4])[:, None, None]
    segment_image(image_from_array(planes, axes="ZYX"), SegmentSpec(model="otsu"), model)
    expected = np.percentile(planes[2].astype(np.float32), (1, 99.8))
    assert len(recorder.contrasts) == 5
    for found in recorder.contrasts:
        assert found[0] == pytest.approx(expected, rel=1e-4)


def test_not_a_number_and_infinity_become_the_lowest_value_of_their_channel() -> None:
    pixels = np.array([[[1, np.nan], [3, np.inf]], [[-np.inf, -5], [np.nan, 7]], [[np.nan, np.nan], [np.inf, np.nan]]])
    cleaned, (notice,) = finite(pixels)
    assert cleaned.tolist() == [[[1, 1], [3, 1]], [[-5, -5], [-5, 7]], [[0, 0], [0, 0]]]
    assert notice.code == "W001" and "8 of 12 pixels" in notice.text
    assert np.isnan(pixels[0, 0, 1])
    whole = np.zeros((1, 2, 2), np.uint16)
    assert finite(whole) == (whole, ())


def test_needed_memory_grows_with_the_plane_and_not_with_depth_times_it() -> None:
    one = needed_bytes(image_from_array(np.zeros((100, 100), np.uint16)))
    deep = needed_bytes(image_from_array(np.broadcast_to(np.uint16(0), (50, 100, 100)), axes="ZYX"))
    assert 30 * 100 * 100 < one < 100 * 100 * 100
    assert deep - one == 49 * 4 * 100 * 100


def test_only_the_content_of_an_input_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"12345678")
    known = fingerprint(path, "a.tif")
    assert unchanged(path, known)
    os.utime(path, (1, 1))
    assert unchanged(path, known)
    path.write_bytes(b"87654321")
    assert not unchanged(path, known)
    path.write_bytes(b"1234567")
    os.utime(path, ns=(known.mtime_ns, known.mtime_ns))
    assert not unchanged(path, known)
