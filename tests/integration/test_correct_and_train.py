"""What `segment` writes for other programs comes back: `train` reads the same labels from each of their files."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.support import discs, segment

from cellfleet.cli import main
from cellfleet.errors import TrainingError
from cellfleet.training.dataset import Sample, load_dataset


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(3):
        tifffile.imwrite(folder / f"{index}.tif", np.roll(discs(), 7 * index, axis=1))
    movie = np.stack([np.roll(discs(), 5 * plane, axis=0) for plane in range(3)])
    tifffile.imwrite(folder / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    return folder


@pytest.fixture(scope="module")
def results(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    words = ["--format", "cellpose", "--format", "qupath-geojson", "--format", "labels-tiff", "--format", "csv"]
    assert segment(images, "-o", out, *words) == 0
    return out


def _samples(folder: Path) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for split in load_dataset(folder):
        for sample in split:
            found.setdefault(sample.name, []).append(sample)
    return found


def _numbered(plane: NDArray[Any]) -> NDArray[Any]:
    return np.unique(np.append(0, plane), return_inverse=True)[1][1:].reshape(plane.shape)


def _assert_same_labels(folder: Path, results: Path) -> None:
    samples = _samples(folder)
    assert sorted(samples) == ["0", "1", "2", "movie"]
    for name, planes in samples.items():
        truth = tifffile.imread(results / f"{name}_labels.tif")
        for sample, plane in zip(planes, truth if truth.ndim == 3 else truth[None], strict=True):
            assert sample.labels.max() > 0
            np.testing.assert_array_equal(sample.labels, _numbered(plane))


ENDINGS = ["_seg.npy", "_cp_masks.tif", "_cells.geojson.gz", "_labels.tif"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("beside", [True, False])
def test_labels_of_every_program_come_back_as_they_were_written(
    images: Path, results: Path, ending: str, beside: bool, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data" / ("." if beside else "images"))
    to = tmp_path / "data" / ("." if beside else "labels")
    to.mkdir(exist_ok=True)
    for path in results.glob(f"*{ending}"):
        shutil.copyfile(path, to / path.name)
    _assert_same_labels(tmp_path / "data", results)


def test_a_folder_of_results_is_a_folder_of_labels(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "images")
    assert segment(images, "-o", tmp_path / "labels", "--format", "cellpose") == 0
    assert segment(images, "-o", tmp_path / "truth", "--format", "labels-tiff") == 0
    _assert_same_labels(tmp_path, tmp_path / "truth")


def test_images_may_be_copied_to_what_export_wrote(images: Path, results: Path, tmp_path: Path) -> None:
    assert main(["export", str(results), "--format", "cellpose", "-o", str(tmp_path)]) == 0
    shutil.copytree(images, tmp_path, dirs_exist_ok=True)
    _assert_same_labels(tmp_path, results)


def test_what_was_corrected_counts(images: Path, results: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "data")
    for path in results.glob("*.geojson.gz"):
        content = json.loads(gzip.decompress(path.read_bytes()))
        # As QuPath writes it: unpacked, here with one object taken away.
        content["features"] = content["features"][1:]
        (tmp_path / "data" / path.name.replace("_cells.geojson.gz", ".geojson")).write_text(
            json.dumps(content), encoding="utf-8"
        )
    samples = _samples(tmp_path / "data")
    truth = tifffile.imread(results / "0_labels.tif")
    first = json.loads(gzip.decompress((results / "0_cells.geojson.gz").read_bytes()))["features"][0]["properties"][
        "name"
    ]
    np.testing.assert_array_equal(samples["0"][0].labels > 0, (truth > 0) & (truth != int(first)))


def test_an_image_that_nobody_labelled_is_named(images: Path, results: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "data")
    shutil.copyfile(results / "0_seg.npy", tmp_path / "data" / "0_seg.npy")
    with pytest.raises(TrainingError, match=r"1\.tif.*no labels.*E602"):
        load_dataset(tmp_path / "data")


def test_images_without_any_labels_are_no_data_set(images: Path) -> None:
    with pytest.raises(TrainingError, match="E601"):
        load_dataset(images)
