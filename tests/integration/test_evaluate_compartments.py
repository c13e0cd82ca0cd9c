"""`cellfleet evaluate` of cells and their nuclei: two comparisons by one command, or the one that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cellfleet
from cellfleet.cli import main

CELLS = np.kron(np.array([[1, 2], [3, 4]], np.uint16), np.ones((6, 6), np.uint16))
NUCLEI = np.where(np.kron(np.ones((2, 2), bool), np.pad(np.ones((2, 2), bool), 2)), CELLS, 0)
THREE = np.where(NUCLEI == 4, 0, NUCLEI)
"""A prediction that misses a nucleus."""


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    folder = tmp_path / "truth"
    for name, labels in (("images", CELLS), ("cells", CELLS), ("nuclei", NUCLEI)):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "a.tif", labels)
        tifffile.imwrite(folder / name / "b_nuclei.tif", labels)
    return folder


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """What a run leaves that found cells and nuclei."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("a", "b_nuclei"):
        tifffile.imwrite(folder / f"{name}_labels.tif", CELLS)
        tifffile.imwrite(folder / f"{name}_nuclei.tif", THREE)
    return folder


def test_cells_and_nuclei_are_each_compared_with_their_own_truth(
    truth: Path, both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(both), str(truth)]) == 0
    told = capsys.readouterr().out
    assert told.index("Whole cells") < told.index("Nuclei\n")
    written = json.loads((both / "evaluate.json").read_text())["compartments"]
    assert [image["image"] for image in written["nuclear"]["images"]] == ["a", "b_nuclei"]
    f1 = {name: one["pooled"]["scores"][0]["f1"] for name, one in written.items()}
    assert f1 == {"whole-cell": 1.0, "nuclear": pytest.approx(6 / 7)}
    of_python = cellfleet.evaluate(both, truth, compartment="nuclear")
    assert of_python.as_dict() == written["nuclear"]


def test_a_model_of_nuclei_alone_is_compared_with_the_nuclei(truth: Path, tmp_path: Path) -> None:
    pred = tmp_path / "nuclei-only"
    pred.mkdir()
    for name in ("a", "b_nuclei"):
        tifffile.imwrite(pred / f"{name}_labels.tif", NUCLEI)
    assert main(["evaluate", str(pred), str(truth), "--compartment", "nuclear"]) == 0
    written = json.loads((pred / "evaluate.json").read_text())
    assert written["pooled"]["n_pred"] == 8 and written["pooled"]["scores"][0]["f1"] == 1


@pytest.mark.parametrize("words", [(), ("--compartment", "both")], ids=" ".join)
def test_what_kind_of_objects_a_prediction_holds_is_not_guessed(
    words: tuple[str, ...], truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a_labels.tif", NUCLEI)
    assert main(["evaluate", str(tmp_path / "a_labels.tif"), str(truth), *words]) == 2
    assert "[E612]" in capsys.readouterr().err


def test_a_compartment_that_the_truth_lacks_is_refused(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(both), str(both), "--compartment", "nuclear"]) == 2
    assert "[E612]" in capsys.readouterr().err
