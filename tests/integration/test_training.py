"""Training end to end on drawn disks: learns, resumes to the same weights, exports what it validated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image
from tests.trainings import write_dataset

from cellfleet.errors import DeviceError, OutputError, TrainingError, UsageError
from cellfleet.models import load_model, read_manifest
from cellfleet.training.dataset import load_dataset
from cellfleet.training.export import write_rdf
from cellfleet.training.loop import CHECKPOINT, optimise
from cellfleet.training.run import train
from cellfleet.training.spec import AdamW, Augmentation, FeatureNet, Sgd, TrainSpec, UNet, train_spec

PAGES: dict[str, Any] = {"photometric": "minisblack"}
QUICK = TrainSpec(
    name="disks",
    network=UNet(widths=(8, 12)),
    optimiser=AdamW(learning_rate=1e-2, warm_up_steps=5),
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
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out, told = tmp_path_factory.mktemp("model"), []
    train(dataset, out, QUICK, device="cpu", tell=told.append)
    return out, told


def test_a_minute_of_training_finds_disks(trained: tuple[Path, list[dict[str, Any]]]) -> None:
    out, told = trained
    assert [entry["step"] for entry in told] == [60, 120]
    assert told[-1]["loss"] < told[0]["loss"]
    assert read_manifest(out).scores["validation"]["f1"] > 0.8


def test_the_package_carries_card_curve_log_and_test_tensors(trained: tuple[Path, list[dict[str, Any]]]) -> None:
    out, _ = trained
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"{read_manifest(out).scores['validation']['f1']:.3f}" in card
    assert (out / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
    log = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == [60, 120]


def test_nobodys_licence_is_claimed_for_a_model_and_what_its_maker_says_is_kept(
    trained: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shutil.copytree(trained[0], tmp_path / "mine")
    rdf = tmp_path / "mine" / "rdf.yaml"
    described = yaml.safe_load(rdf.read_text())
    assert "license" not in described and described["authors"] == [{"name": "Not stated"}]
    assert not any("BBBC038" in one["text"] for one in described["cite"])
    said = {"license": "CC0-1.0", "authors": [{"name": "Ada"}], "cite": [{"text": "ours", "doi": "10.1/1"}]}
    rdf.write_text(yaml.safe_dump(described | said))
    write_rdf(read_manifest(tmp_path / "mine"), tmp_path / "mine")
    assert yaml.safe_load(rdf.read_text()).items() >= said.items()


def test_the_graph_gives_the_heads_that_training_saw(trained: tuple[Path, list[dict[str, Any]]]) -> None:
    out, _ = trained
    model = load_model(out, device="cpu")
    pixels, contrast = np.load(out / "test_pixels.npy"), np.load(out / "test_contrast.npy")
    heads = model.predictor.predict(pixels[0], contrast[0])
    difference = np.abs(heads.astype(int) - np.load(out / "test_heads.npy")[0].astype(int))
    assert difference.max() <= 1


def test_the_graph_takes_raw_pixels_and_applies_the_contrast(trained: tuple[Path, list[dict[str, Any]]]) -> None:
    out, _ = trained
    model = load_model(out, device="cpu")
    pixels = np.load(out / "test_pixels.npy")[0]
    stretched = model.predictor.predict(pixels * 1000 + 200, np.array([[200, 1200]], np.float32))
    plain = model.predictor.predict(pixels, np.array([[0, 1]], np.float32))
    assert np.abs(stretched.astype(int) - plain.astype(int)).max() <= 1


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(folder / CHECKPOINT, weights_only=True)["average"]
    return content


def test_an_interrupted_run_goes_on_to_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    samples, _ = load_dataset(dataset)
    spec = QUICK.model_copy(update={"steps": 8, "steps_per_epoch": 4})

    def run(name: str, steps_seen: list[int], stop_at: int | None) -> Path:
        out = tmp_path / name
        out.mkdir(exist_ok=True)

        def tell(entry: dict[str, Any]) -> None:
            steps_seen.append(entry["step"])
            if entry["step"] == stop_at:
                raise KeyboardInterrupt

        optimise(spec, samples, out, device="cpu", validate=lambda _: {"f1": 0.0}, tell=tell)
        return out

    whole, parts = [], []
    expected = _weights(run("whole", whole, None))
    with pytest.raises(KeyboardInterrupt):
        run("parts", parts, stop_at=4)
    resumed = _weights(run("parts", parts, None))
    assert whole == parts == [4, 8]
    for name, tensor in expected.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_checkpoint_of_other_settings_is_refused(dataset: Path, trained: tuple[Path, list[dict[str, Any]]]) -> None:
    out, _ = trained
    with pytest.raises(TrainingError, match=r"other settings.*E605"):
        train(dataset, out, QUICK.model_copy(update={"batch": 5}), device="cpu")


def test_the_papers_network_and_recipe_train_and_export(dataset: Path, tmp_path: Path) -> None:
    spec = QUICK.model_copy(
        update={
            "network": FeatureNet(receptive_field=21),
            "optimiser": Sgd(),
            "steps": 2,
            "steps_per_epoch": 1,
            "batch": 1,
        }
    )
    manifest = train(dataset, tmp_path, spec, device="cpu")
    assert manifest.tile.halo == 10
    assert 0 <= manifest.scores["validation"]["f1"] <= 1


def test_cuda_without_cuda_is_an_error(dataset: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        assert (
            train(dataset, tmp_path, QUICK.model_copy(update={"steps": 1}), device="cuda").training["device"] == "cuda"
        )
        return
    with pytest.raises(DeviceError, match="E503"):
        train(dataset, tmp_path, QUICK, device="cuda")


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda d: (d / "images").rename(d / "pictures"), "E601"),
        (lambda d: (d / "labels" / "1.tif").unlink(), "E602"),
        (lambda d: tifffile.imwrite(d / "labels" / "1.tif", np.zeros((5, 5), np.uint16)), "E603"),
        (lambda d: tifffile.imwrite(d / "images" / "1.tif", np.zeros((3, 96, 96), np.uint8), **PAGES), "E607"),
        (lambda d: tifffile.imwrite(d / "labels" / "1.tif", np.full((96, 96), 0.5, np.float32)), "E608"),
        (lambda d: tifffile.imwrite(d / "labels" / "1.tif", np.zeros((96, 96, 3), np.uint8)), "E608"),
        (lambda d: [p.unlink() for s in ("images", "labels") for p in (d / s).iterdir() if p.stem != "0"], "E604"),
    ],
)
def test_unusable_data_says_what_to_do(tmp_path: Path, break_it: Any, code: str) -> None:
    write_dataset(tmp_path / "data", 3, seed=3)
    break_it(tmp_path / "data")
    with pytest.raises(TrainingError, match=code) as caught:
        load_dataset(tmp_path / "data")
    assert caught.value.action


def test_labels_are_numbered_anew_and_a_palette_is_no_colour(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 3, seed=3)
    labels = np.zeros((96, 96), np.uint32)
    labels[:40, :40], labels[50:, 50:] = 7, 4_000_000_000
    tifffile.imwrite(tmp_path / "data" / "labels" / "1.tif", labels)
    (tmp_path / "data" / "labels" / "2.tif").unlink()
    picture = Image.fromarray((labels % 251).astype(np.uint8), "P")
    picture.putpalette(bytes(range(255, -1, -1)) * 3)
    picture.save(tmp_path / "data" / "labels" / "2.png")
    samples = {sample.name: sample for split in load_dataset(tmp_path / "data") for sample in split}
    expected = (labels > 0).astype(np.int32) + (labels > 7)
    np.testing.assert_array_equal(samples["1"].labels, expected)
    np.testing.assert_array_equal(samples["2"].labels > 0, expected > 0)
    assert samples["2"].labels.max() == 2


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        ({"steps": 0}, "E018"),
        ({"minutes": -1.0}, "E018"),
        ({"seed": -1}, "E018"),
        ({"name": "a/b"}, "E018"),
        ({"network": "feature-net", "receptive_field": 40}, "E018"),
        ({"receptive_field": 41}, "E017"),
        ({"steps": 0, "minutes": 3.0}, "E016"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_it_begins(choice: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError, match=code):
        train_spec(**{"name": "model", **choice})


def test_images_of_one_field_stay_in_one_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 6, seed=4)
    manifest = [{"id": str(i), "fov_group": i // 3} for i in range(6)]
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    train_samples, held_out = load_dataset(tmp_path / "data")
    groups = [{int(s.name) // 3 for s in split} for split in (train_samples, held_out)]
    assert len(train_samples) == len(held_out) == 3
    assert not groups[0] & groups[1]


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 2, seed=4)
    (tmp_path / "image.png").touch()
    with pytest.raises(OutputError, match=r"image\.png is a file, not a folder.*E307"):
        train(tmp_path / "data", tmp_path / "image.png", train_spec("model", steps=1))


def test_a_manifest_that_is_no_json_is_said_and_one_of_another_program_is_passed_by(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 3, seed=4)
    manifest = tmp_path / "data" / "manifest.json"
    manifest.write_text('{"name": "a page", "icons": [1]}', encoding="utf-8")
    assert sum(map(len, load_dataset(tmp_path / "data"))) == 3
    manifest.write_text('[1, "two", {"id": 3}]', encoding="utf-8")
    assert sum(map(len, load_dataset(tmp_path / "data"))) == 3
    manifest.write_text("{broken", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"manifest\.json: is no JSON.*E601"):
        load_dataset(tmp_path / "data")
