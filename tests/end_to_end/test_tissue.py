"""The bundled `tissue`: cells with their nuclei, and the same from `cellfleet mesmer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.tissue import sheet

import cellfleet
from cellfleet.cli import main

pytestmark = pytest.mark.slow
SHEET = sheet()
WORDS = ("--model", "tissue", "--channel", "nuclear=1", "--channel", "membrane=2", "--pixel-size", "0.5")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "sheet.tif"
    tifffile.imwrite(path, SHEET.pixels, metadata={"axes": "CYX"})
    return path


@pytest.fixture(scope="module")
def results(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves."""
    out = tmp_path_factory.mktemp("results") / "out"
    assert main(["segment", str(image), "-o", str(out), *WORDS]) == 0
    return out


def labels(path: Path) -> NDArray[Any]:
    """Read a label image."""
    found: NDArray[Any] = tifffile.imread(path)
    return found


def test_the_command_finds_cells_and_their_nuclei(results: Path) -> None:
    cells, nuclei = labels(results / "sheet_labels.tif"), labels(results / "sheet_nuclei.tif")
    assert cellfleet.evaluate(cells, SHEET.cells).pooled.at(0.5).f1 > 0.8
    assert cellfleet.evaluate(nuclei, SHEET.nuclei).pooled.at(0.5).f1 > 0.8
    of_a_cell = (nuclei > 0) & (nuclei <= cells.max())
    assert (cells[of_a_cell] == nuclei[of_a_cell]).mean() > 0.9, "a nucleus has the number of its cell"


def test_mesmer_writes_the_same_labels_from_two_files(results: Path, tmp_path: Path) -> None:
    for name, plane in zip(("nuc", "mem"), SHEET.pixels, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", plane)
    files = ("-n", str(tmp_path / "nuc.tif"), "-m", str(tmp_path / "mem.tif"))
    assert main(["mesmer", *files, "-o", str(tmp_path), "-f", "mask.tif", "-c", "both", "--squeeze"]) == 0
    written = labels(tmp_path / "mask.tif")
    np.testing.assert_array_equal(written[..., 0], labels(results / "sheet_labels.tif"))
    np.testing.assert_array_equal(written[..., 1], labels(results / "sheet_nuclei.tif"))
