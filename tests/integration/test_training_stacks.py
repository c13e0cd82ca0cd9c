"""Training on volumes and movies: windows of planes in, a package that the pipeline gives such windows to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import cellfleet
from cellfleet.errors import TrainingError
from cellfleet.images.read import image_from_array
from cellfleet.models import load_model, read_manifest
from cellfleet.models.check import check_package
from cellfleet.models.source import open_source
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.segment import SegmentSpec
from cellfleet.training.dataset import load_dataset
from cellfleet.training.run import train
from cellfleet.training.spec import AdamW, Augmentation, FeatureNetStack, TrainSpec, UNet

FRAMES = 3
QUICK = TrainSpec(
    name="movies",
    network=FeatureNetStack(receptive_field=13, frames=FRAMES),
    optimiser=AdamW(learning_rate=5e-3, warm_up_steps=5),
    augmentation=Augmentation(diameter_px=(14.0, 0.2), empty_share=0),
    crop_px=32,
    batch=2,
    steps=30,
    steps_per_epoch=30,
    ema_decay=0.9,
)


def _movie(planes: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Disks that drift: (T, Y, X) of pixels and labels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :72]
    labels = np.zeros((planes, 64, 72), np.uint16)
    for label, (cy, cx) in enumerate(((14, 14), (14, 44), (42, 24), (46, 54)), start=1):
        drift = random.uniform(-1, 1, 2)
        for plane in range(planes):
            inside = (y - cy - plane * drift[0]) ** 2 + (x - cx - plane * drift[1]) ** 2 <= 49
            labels[plane][inside] = label
    image = 20 + 150 * (labels > 0) + random.normal(0, 6, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels


def _write(folder: Path, name: str, planes: int, seed: int) -> None:
    for sub, array in zip(("images", "labels"), _movie(planes, seed), strict=True):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / sub / f"{name}.tif", array, imagej=True, metadata={"axes": "TYX"})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    _write(folder / "train", "a", 6, seed=1)
    _write(folder / "train", "b", 5, seed=2)
    _write(folder / "val", "c", 12, seed=3)
    return folder


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelManifest]:
    out = tmp_path_factory.mktemp("model")
    return out, train(dataset, out, QUICK, device="cpu")


def test_every_plane_is_a_sample_with_those_around_it(dataset: Path) -> None:
    train_samples, held_out = load_dataset(dataset, frames=FRAMES)
    assert [sample.name for sample in train_samples] == ["a"] * 6 + ["b"] * 5
    assert len(held_out) == 8, "neighbouring planes are much alike"
    first, second = train_samples[:2]
    assert first.pixels.shape == (FRAMES, 64, 72)
    np.testing.assert_array_equal(first.pixels[0], first.pixels[2])
    np.testing.assert_array_equal(first.pixels[1], second.pixels[0])
    np.testing.assert_array_equal(first.labels > 0, _movie(6, 1)[1][0] > 0)
    assert np.shares_memory(first.pixels, second.pixels)


def test_planes_of_one_movie_stay_in_one_split(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        _write(tmp_path, name, 4, seed)
    train_samples, held_out = load_dataset(tmp_path)
    names = [{sample.name for sample in split} for split in (train_samples, held_out)]
    assert not names[0] & names[1]
    assert len(train_samples) == 8


def test_labels_of_another_number_of_planes_are_an_error(dataset: Path, tmp_path: Path) -> None:
    _write(tmp_path, "a", 4, seed=1)
    _write(tmp_path, "b", 4, seed=1)
    tifffile.imwrite(tmp_path / "labels" / "a.tif", np.zeros((64, 72), np.uint16))
    with pytest.raises(TrainingError, match=r"4 × 64 × 72 px.*image 64 × 72 px.*E603"):
        load_dataset(tmp_path)


def test_a_movie_is_segmented_by_what_its_like_trained(trained: tuple[Path, ModelManifest], dataset: Path) -> None:
    out, manifest = trained
    assert manifest.frames == read_manifest(out).frames == FRAMES
    assert manifest.scores["validation"]["f1"] > 0.8
    truth = _movie(12, seed=3)[1]
    found = cellfleet.segment(dataset / "val" / "images" / "c.tif", model=str(out)).labels
    assert found.shape == truth.shape
    assert ((found > 0) == (truth > 0)).mean() > 0.95


def test_blocks_change_nothing_of_what_the_trained_network_finds(trained: tuple[Path, ModelManifest]) -> None:
    out, _ = trained
    model, image = load_model(out, device="cpu"), image_from_array(_movie(3, seed=5)[0], axes="ZYX")

    def labels(side: int) -> NDArray[Any]:
        with Pools(2, model) as pools:
            found = segment_image(image, SegmentSpec(), model, How(pools, block=side))
        assert isinstance(found, Segmented)
        return read_all(found.labels)

    np.testing.assert_array_equal(labels(29), labels(512))


def test_the_package_tells_its_planes_and_tests_itself(trained: tuple[Path, ModelManifest]) -> None:
    out, _ = trained
    assert "nuclear-1" in (out / "rdf.yaml").read_text(encoding="utf-8")
    assert "3 consecutive planes" in (out / "README.md").read_text(encoding="utf-8")
    check_package(open_source(str(out)))


def test_networks_of_one_plane_learn_from_stacks_too(dataset: Path, tmp_path: Path) -> None:
    change = {"network": UNet(widths=(4, 6)), "steps": 2, "steps_per_epoch": 2, "crop_px": 32}
    assert train(dataset, tmp_path, QUICK.model_copy(update=change), device="cpu").frames == 1
