"""Training of models that predict a stain: the network, the crops, the run, the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.workflows import stack, write_workflow
from torch import Tensor, nn
from torch.nn import functional

import cellfleet
from cellfleet.errors import TrainingError
from cellfleet.models.check import check_package
from cellfleet.models.source import open_source
from cellfleet.pipeline.predicted import stack_contrast
from cellfleet.training.loop import CHECKPOINT, LOG
from cellfleet.training.translation_data import crops, load_pairs
from cellfleet.training.translation_networks import StackFeatureNet3D, translation_tile
from cellfleet.training.translation_run import train_translation
from cellfleet.training.translation_spec import StackFeatureNet, TranslationSpec

SPEC = TranslationSpec(
    name="tiny",
    output="DAPI",
    network=StackFeatureNet(receptive_field=13, width=4, dense=8),
    crop_px=48,
    batch=2,
    steps_per_epoch=8,
    cpu_minutes=1e-9,  # one epoch, however fast the machine is
    fewest_planes=2,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Stacks whose planes are shades of the stain, as ImageJ writes them."""
    folder = tmp_path / "data"
    for split in ("train", "val"):
        for part in ("images", "targets"):
            (folder / split / part).mkdir(parents=True)
        planes = stack(tiles=(2, 2))
        tifffile.imwrite(folder / split / "images" / "a.tif", planes, imagej=True, metadata={"axes": "ZYX"})
        tifffile.imwrite(folder / split / "targets" / "a.tif", 10 * planes[0])
    return folder


# --- the network ------------------------------------------------------------------------------------------------------


def in_three_dimensions(network: StackFeatureNet3D, pixels: Tensor) -> Tensor:
    """The same network with convolutions of 1 × k × k over a volume, and one of (planes, 1, 1)."""
    reach = network.receptive_field // 2
    small = functional.avg_pool2d(pixels, 2)
    mean = functional.avg_pool2d(functional.pad(small, (reach,) * 4, mode="reflect"), network.receptive_field, stride=1)
    volume = functional.pad(small - mean, (reach,) * 4, mode="reflect")[:, None]
    for layer in network.per_plane:
        if isinstance(layer, nn.Conv2d):
            volume = functional.conv3d(volume, layer.weight[:, :, None], dilation=(1, *layer.dilation))
        elif isinstance(layer, nn.BatchNorm2d):
            volume = functional.batch_norm(volume, layer.running_mean, layer.running_var, layer.weight, layer.bias)
        else:
            volume = functional.relu(volume)
    joint = network.joined[0]
    assert isinstance(joint, nn.Conv2d)
    weight = joint.weight.view(joint.out_channels, network.planes, -1).permute(0, 2, 1)[..., None, None]
    maps = network.decided(network.joined[1:](functional.conv3d(volume, weight)[:, :, 0]))
    return functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("planes", [1, 5])
def test_the_network_is_the_three_dimensional_one(planes: int) -> None:
    torch.manual_seed(0)
    network = StackFeatureNet3D(StackFeatureNet(receptive_field=13, width=3, dense=5), planes, stains=2).eval()
    pixels = torch.rand(2, planes, 30, 44)
    with torch.no_grad():
        found = network(pixels)
        assert found.shape == (2, 2, 30, 44)
        torch.testing.assert_close(found, in_three_dimensions(network, pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("receptive_field", [13, 41])
def test_a_pixel_depends_on_nothing_beyond_the_halo(receptive_field: int) -> None:
    torch.manual_seed(0)
    spec = StackFeatureNet(receptive_field=receptive_field, width=8, dense=8)
    network, halo = StackFeatureNet3D(spec, 2).eval(), translation_tile(spec).halo
    side = 4 * halo + 2
    pixels = torch.rand(1, 2, side, side, requires_grad=True)
    # Without the local mean, which reaches twice as far with next to no weight.
    network._without_shading = lambda values: values  # type: ignore[method-assign]
    network(pixels)[0, 0, 2 * halo, 2 * halo].backward()
    assert pixels.grad is not None
    rows = pixels.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert 2 * halo - halo <= int(rows.min()) and int(rows.max()) <= 2 * halo + halo
    assert int(rows.max() - rows.min()) >= receptive_field


# --- data -------------------------------------------------------------------------------------------------------------


def test_crops_follow_from_the_seed_and_their_number(dataset: Path) -> None:
    pairs, _ = load_pairs(dataset)
    first, later = crops(pairs, SPEC, 0), crops(pairs, SPEC, 1)
    next(first)
    for one, other in zip(next(first), next(later), strict=True):
        assert torch.equal(one, other)
    pixels, targets = next(later)
    assert pixels.shape == (2, 3, 48, 48) and targets.shape == (2, 1, 48, 48)
    assert torch.isfinite(pixels).all() and torch.isfinite(targets).all()


def test_the_contrast_of_a_plane_does_not_hang_on_how_many_cells_there_are() -> None:
    random = np.random.default_rng(0)
    empty = random.normal(1000, 50, (1, 100_000))
    crowded = empty.copy()
    crowded[:, ::12] += random.choice([-900, 900], crowded[:, ::12].shape)
    (one, other) = (stack_contrast(values)[0] for values in (empty, crowded))
    assert np.abs(one - [950, 1050]).max() < 5 and np.abs(one - other).max() < 15
    assert stack_contrast(np.full((2, 10), 7)).tolist() == [[7, 8], [7, 8]]
    assert (np.diff(stack_contrast(np.full((1, 10), 1e9))) > 0).all()


FAULTS = ["no folder", "no target", "a plane", "nothing stained", "no numbers", "another size", "another depth"]


@pytest.mark.parametrize("fault", FAULTS)
def test_data_that_do_not_fit_are_refused(fault: str, dataset: Path) -> None:
    image, target = dataset / "train" / "images" / "a.tif", dataset / "train" / "targets" / "a.tif"
    if fault == "no folder":
        target.unlink()
        target.parent.rmdir()
    elif fault == "no target":
        target.rename(target.with_name("b.tif"))
    elif fault == "a plane":
        tifffile.imwrite(image, stack()[0])
    elif fault == "nothing stained":
        tifffile.imwrite(target, np.zeros_like(tifffile.imread(target)))
    elif fault == "no numbers":
        planes = np.where(np.arange(160) < 5, np.nan, tifffile.imread(image)).astype(np.float32)
        tifffile.imwrite(image, planes, imagej=True, metadata={"axes": "ZYX"})
    elif fault == "another size":
        tifffile.imwrite(target, stack()[0])
    else:
        deeper = stack(planes=4, tiles=(2, 2))
        tifffile.imwrite(image.with_name("b.tif"), deeper, imagej=True, metadata={"axes": "ZYX"})
        tifffile.imwrite(target.with_name("b.tif"), deeper[0])
    with pytest.raises(TrainingError) as caught:
        load_pairs(dataset)
    assert caught.value.code == "E411"


# --- the run ----------------------------------------------------------------------------------------------------------


def test_images_smaller_than_a_tile_and_empty_fields_are_learned_from(dataset: Path, tmp_path: Path) -> None:
    for file in dataset.rglob("*.tif"):
        pixels = tifffile.imread(file)[..., :20, :24]
        tifffile.imwrite(file, pixels, **({"imagej": True, "metadata": {"axes": "ZYX"}} if pixels.ndim == 3 else {}))
    tifffile.imwrite(dataset / "train" / "targets" / "a.tif", np.full((20, 24), 7, np.uint16))
    train_translation(dataset, tmp_path / "tiny", SPEC, description={})
    assert np.load(tmp_path / "tiny" / "test_pixels.npy").shape == (1, 3, 30, 30)
    assert check_package(open_source(str(tmp_path / "tiny"))).package.has_test


def test_a_trained_package_is_a_step_of_workflows_and_goes_on_after_a_stop(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    train_translation(dataset, out, SPEC, description={"license": "CC0-1.0"})
    assert len((out / LOG).read_text().splitlines()) == 1
    longer = SPEC.model_copy(update={"cpu_minutes": 0.05})
    manifest = train_translation(dataset, out, longer, description={"license": "CC0-1.0"})
    entries = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [8 * n for n in range(1, len(entries) + 1)] and len(entries) > 2
    assert entries[-1]["loss"] < entries[0]["loss"] and manifest.training["steps"] == entries[-1]["step"]
    assert manifest.scores["validation"]["pearson_log"] == entries[-1]["pearson"] > 0.3
    assert check_package(open_source(str(out))).package.has_test
    with pytest.raises(TrainingError) as caught:
        train_translation(dataset, out, SPEC.model_copy(update={"seed": 1}), description={})
    assert caught.value.code == "E605" and (out / CHECKPOINT).is_file()
    write_workflow(tmp_path / "chain", "tiny", "otsu")
    cells = cellfleet.segment(dataset / "val" / "images" / "a.tif", model=tmp_path / "chain")
    assert cells.predicted is not None and cells.labels.shape == cells.predicted.shape == (128, 160)
    truth = tifffile.imread(dataset / "val" / "targets" / "a.tif")
    assert np.corrcoef(np.log(cells.predicted.ravel()), np.log(truth.ravel()))[0, 1] > 0.3
