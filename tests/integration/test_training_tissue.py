"""Training on two channels and two compartments: cells and nuclei out of one pass, or a sentence about the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellfleet.errors import CellfleetError, UsageError
from cellfleet.models import load_model
from cellfleet.training import train, with_channels
from cellfleet.training.dataset import load_dataset
from cellfleet.training.spec import AdamW, Augmentation, Tissue, TrainSpec, UNet

SIDE = 96
CALM = Tissue(warped_px=1, thinned_share=0.2, cytoplasm_share=0, bleeding_share=0, lost_share=0)
CHANNELS = ("nuclear=1", "membrane=2+3")
QUICK = TrainSpec(
    name="disks",
    network=UNet(widths=(8, 12)),
    optimiser=AdamW(learning_rate=2e-2, warm_up_steps=5),
    steps=180,
    steps_per_epoch=180,
    ema_decay=0.9,
)


def draw(folder: Path, count: int, seed: int) -> None:
    """Write images of discs with a core: their cores in channel 1, half of each disc in channel 2, the rest in 3."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    for name in ("images", "cells", "nuclei"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        cells, nuclei = np.zeros((2, SIDE, SIDE), np.uint16)
        for label in range(1, 13):
            cy, cx, r = random.uniform(10, SIDE - 10, 2).tolist() + [random.uniform(8, 11)]
            squared = (y - cy) ** 2 + (x - cx) ** 2
            if not cells[squared <= r * r].any():
                cells[squared <= r * r] = label
                nuclei[squared <= r * r / 2] = label
        image = np.stack([nuclei > 0, (cells > 0) & (cells % 2 == 0), (cells > 0) & (cells % 2 == 1)]) * 150.0
        image = (20 + image + random.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"{index}.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
        tifffile.imwrite(folder / "cells" / f"{index}.tif", cells)
        tifffile.imwrite(folder / "nuclei" / f"{index}.tif", nuclei)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    draw(folder / "train", 6, seed=1)
    draw(folder / "val", 2, seed=2)
    return folder


def test_one_pass_of_the_trained_model_finds_cells_and_nuclei(dataset: Path, tmp_path: Path) -> None:
    calm = Augmentation(diameter_px=(20.0, 0.2), touching_share=0, empty_share=0, tissue=CALM)
    small = {"crop_px": 64, "batch": 4, "augmentation": calm}
    spec = with_channels(QUICK, CHANNELS, 0.5).model_copy(update=small)
    told: list[dict[str, float]] = []
    manifest = train(dataset, tmp_path, spec, device="cpu", tell=told.append)
    assert manifest.roles == ("nuclear", "membrane") and manifest.compartments == ("whole-cell", "nuclear")
    assert manifest.microns_per_pixel == 0.5
    assert {"f1", "nuclei_f1"} <= told[-1].keys()
    assert {name: scores["f1"] > 0.6 for name, scores in manifest.scores.items()} == {
        "validation, whole cells": True,
        "validation, nuclei": True,
    }
    model = load_model(tmp_path, device="cpu")
    expected = np.load(tmp_path / "test_heads.npy")
    assert expected.shape[1] == len(model.manifest.heads) == 8
    assert "whole cells and their nuclei" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_channels_of_a_role_are_summed_and_roles_keep_the_order_of_the_augmentation(dataset: Path) -> None:
    spec = with_channels(QUICK, list(reversed(CHANNELS)))
    assert spec.roles == ("nuclear", "membrane") and spec.augmentation.tissue
    samples, _ = load_dataset(dataset, 0, spec.channels)
    sample = next(s for s in samples if s.name == "0")
    assert sample.whole_cells and sample.nuclei is not None
    inside = sample.labels > 0
    assert sample.pixels[1][inside].min() > sample.pixels[1][~inside].max(), "both channels show in their sum"
    assert sample.pixels[0][sample.nuclei > 0].min() > sample.pixels[0][sample.nuclei == 0].max()


def _drop(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / name)


@pytest.mark.parametrize(
    ("break_it", "channels", "code"),
    [
        (lambda folder: None, (), "E607"),
        (lambda folder: None, ("nuclear=1", "membrane=7"), "E212"),
        (_drop("val/nuclei"), CHANNELS, "E611"),
        (_drop("val/cells"), CHANNELS, "E601"),
        (lambda folder: (folder / "train/nuclei/1.tif").unlink(), CHANNELS, "E602"),
    ],
)
def test_data_that_do_not_fit_are_told_apart(
    dataset: Path, tmp_path: Path, break_it: Callable[[Path], None], channels: tuple[str, ...], code: str
) -> None:
    shutil.copytree(dataset, tmp_path / "copy")
    break_it(tmp_path / "copy")
    with pytest.raises(CellfleetError, match=code) as caught:
        load_dataset(tmp_path / "copy", 0, with_channels(QUICK, channels).channels if channels else ())
    assert caught.value.action


@pytest.mark.parametrize("channels", [("1", "membrane=2"), ("nuclear=1", "nuclear=2")], ids=" ".join)
def test_each_channel_is_said_once_what_it_shows(channels: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="E610"):
        with_channels(QUICK, channels)


@pytest.mark.parametrize("size", [-1, 0, float("inf"), float("nan")])
def test_a_pixel_size_is_a_number_above_0(size: float) -> None:
    with pytest.raises(UsageError, match="E018"):
        with_channels(QUICK, ["nuclear=1"], size)
