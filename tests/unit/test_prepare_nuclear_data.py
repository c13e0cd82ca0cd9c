"""The preparation script makes the data set from a miniature of its public source, and notices other pixels."""

from __future__ import annotations

import csv
import importlib.util
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data" / "nuclear"
NAME = "0123456789abcdef" * 4
PIXELS = np.arange(80, dtype=np.uint8).reshape(8, 10)
EXPECTED = np.zeros((8, 10), np.uint16)
EXPECTED[1:4, 1:4] = 1
EXPECTED[3:6, 3:8] = 2


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("prepare", ROOT / "scripts" / "prepare_nuclear_data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One RGBA image and two masks: they overlap in a pixel, and the first has a detached fragment."""
    folder = tmp_path / "stage1_train" / NAME
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    Image.fromarray(np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)])).save(folder / "images" / f"{NAME}.png")
    first, second = np.zeros_like(PIXELS), np.zeros_like(PIXELS)
    first[1:4, 1:4] = 255
    first[7, 9] = 255
    second[3:6, 3:8] = 255
    Image.fromarray(first).save(folder / "masks" / "a.png")
    Image.fromarray(second).save(folder / "masks" / "b.png")
    return tmp_path


def _manifest(script: Any, folder: Path, labels: np.ndarray[Any, Any]) -> Path:
    path = folder / "manifest.csv"
    fields = {"id": NAME[:16], "kaggle_id": NAME, "split": "val"}
    sums = {"sha256_images": script.checksum(PIXELS), "sha256_labels": script.checksum(script.renumbered(labels))}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*fields, *sums])
        writer.writeheader()
        writer.writerow(fields | sums)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_the_set_is_made_from_folder_and_zip(script: Any, source: Path, zipped: bool) -> None:
    images = source / "stage1_train"
    if zipped:
        images = source / "source.zip"
        with zipfile.ZipFile(images, "w") as archive:
            for path in (source / "stage1_train").rglob("*.png"):
                archive.write(path, path.relative_to(source))
    # The numbers of the objects do not matter to the check.
    manifest = _manifest(script, source, (EXPECTED > 0) * (3 - EXPECTED))
    given = [images, source / "stage1_train", source / "out", "--manifest", manifest]
    assert script.main(list(map(str, given))) == 0
    assert np.array_equal(tifffile.imread(source / "out" / "val" / "images" / f"{NAME[:16]}.tif"), PIXELS)
    assert np.array_equal(tifffile.imread(source / "out" / "val" / "labels" / f"{NAME[:16]}.tif"), EXPECTED)


def test_other_pixels_and_missing_files_are_named(
    script: Any, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = source / "stage1_train"
    given = list(map(str, [stage, stage, source / "out", "--manifest", _manifest(script, source, EXPECTED // 2)]))
    assert script.main(given) == 1
    assert f"labels/{NAME[:16]}.tif: the pixels differ" in capsys.readouterr().out.replace("\\", "/")
    (stage / NAME / "images" / f"{NAME}.png").unlink()
    assert script.main(given) == 1
    assert f"{NAME}.png is missing" in capsys.readouterr().out


def test_the_validation_set_of_the_repository_is_that_of_the_manifest(script: Any) -> None:
    with (DATA / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    val = [row for row in rows if row["split"] == "val"]
    assert (len(rows), len(val)) == (458, 63)
    for row in val:
        name = f"{row['id']}.tif"
        assert script.checksum(tifffile.imread(DATA / "val" / "images" / name)) == row["sha256_images"]
        labels = tifffile.imread(DATA / "val" / "labels" / name)
        assert script.checksum(script.renumbered(labels)) == row["sha256_labels"]
        assert labels.max() == int(row["n_objects"])
    assert {row["fov_group"] for row in val}.isdisjoint(row["fov_group"] for row in rows if row["split"] == "train")
