"""A detector is trained end to end on drawn disks: learns, resumes to the same weights, exports what it validated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.trainings import write_dataset

import cellfleet
from cellfleet.images.read import image_from_array
from cellfleet.models import load_model, read_manifest
from cellfleet.models.check import check_package
from cellfleet.models.source import open_source
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.segment import SegmentSpec
from cellfleet.training.loop import CHECKPOINT
from cellfleet.training.pace import EVERY_EPOCH, Pace, StoppedError
from cellfleet.training.run import train
from cellfleet.training.spec import AdamW, Augmentation, Detector, TrainSpec

pytestmark = pytest.mark.slow
QUICK = TrainSpec(
    name="disks",
    network=Detector(widths=(8, 12, 16, 16), pyramid=16, masks=8),
    optimiser=AdamW(learning_rate=8e-3, warm_up_steps=5),
    augmentation=Augmentation(diameter_px=(14.0, 0.2), empty_share=0),
    crop_px=64,
    batch=4,
    steps=120,
    steps_per_epoch=60,
    ema_decay=0.9,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disks")
    write_dataset(folder / "train", 8, seed=1)
    write_dataset(folder / "val", 3, seed=2)
    return folder


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    train(dataset, out, QUICK, device="cpu")
    return out


def test_half_a_minute_of_training_finds_disks(trained: Path) -> None:
    assert read_manifest(trained).scores["validation"]["f1"] > 0.7


def test_the_package_is_a_small_model_that_says_what_it_does(trained: Path) -> None:
    package = check_package(open_source(str(trained))).package
    assert package.manifest.detection and package.manifest.heads == () and package.has_test
    assert "disks" in (trained / "README.md").read_text(encoding="utf-8")


def test_what_was_trained_segments_by_its_folder(trained: Path, dataset: Path) -> None:
    found = cellfleet.segment(dataset / "val" / "images" / "0.tif", model=trained)
    truth = tifffile.imread(dataset / "val" / "labels" / "0.tif")
    assert abs(int(found.labels.max()) - len(np.unique(truth)) + 1) <= 2
    assert ((found.labels > 0) == (truth > 0)).mean() > 0.9


def test_a_stopped_run_goes_on_to_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    spec = QUICK.model_copy(update={"steps": 6, "steps_per_epoch": 3})
    train(dataset, tmp_path / "whole", spec, device="cpu")
    asked = iter([False, False, True, True])
    with pytest.raises(StoppedError):
        train(dataset, tmp_path / "parts", spec, device="cpu", pace=Pace(stop=lambda: next(asked)))
    train(dataset, tmp_path / "parts", spec, device="cpu", pace=EVERY_EPOCH)
    whole, parts = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["network"] for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_blocks_of_every_size_give_the_same_objects_of_a_trained_network(trained: Path) -> None:
    """Two tiles along each axis, whose sides are no multiples of what the network takes."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:715, :702]
    pixels = random.normal(20, 6, y.shape)
    for _ in range(350):
        cy, cx, r = *random.uniform(0, 710, 2), random.uniform(5, 9)
        pixels[(y - cy) ** 2 + (x - cx) ** 2 <= r * r] += 100
    image, model = image_from_array(pixels.clip(0, 255).astype(np.uint8)), load_model(trained)
    found = []
    for block in (1 << 30, 97, 300):
        with Pools(2, model) as pools:
            done = segment_image(image, SegmentSpec(model="disks"), model, How(pools, block=block))
        assert isinstance(done, Segmented) and done.redone == 0
        found.append(read_all(done.labels))
    assert found[0].max() > 150
    for labels in found[1:]:
        np.testing.assert_array_equal(labels, found[0])
