"""`brightfield-nuclei` and its sister: what they predict on the way, their steps and their cards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

import cellfleet
from cellfleet.models import load_model, read_declared
from cellfleet.models.check import check_package
from cellfleet.models.load import BUNDLED
from cellfleet.models.source import open_source
from cellfleet.spec.model import TranslatorManifest, WorkflowManifest

pytestmark = pytest.mark.slow
STACK = Path(__file__).parents[1] / "data" / "brightfield" / "stack.tif"
NAME = "brightfield-nuclei"
WORKFLOWS = (NAME, f"{NAME}-detector")


def test_command_and_python_give_what_was_predicted_and_name_the_steps(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cellfleet", "segment", str(STACK), "-o", str(tmp_path / "out"), "--model", NAME]
    command += ["--format", "predicted-tiff", "--progress", "none"]
    subprocess.run(command, check=True, capture_output=True)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["model"]["name"] == NAME and [step["name"] for step in run["model"]["steps"]] == [
        "brightfield-dapi",
        "nuclei",
    ]
    assert run["images"][0]["objects"] >= 1 and run["images"][0]["predicted"]["channel_names"] == ["predicted DAPI"]
    cells = cellfleet.segment(STACK, model=NAME)
    assert cells.predicted is not None
    assert (tifffile.imread(tmp_path / "out" / "stack_predicted.ome.tif") == cells.predicted).all()


def test_its_steps_are_the_bundled_models_and_light() -> None:
    assert isinstance(read_declared("brightfield-dapi"), TranslatorManifest)
    for name in WORKFLOWS:
        workflow = read_declared(name)
        assert isinstance(workflow, WorkflowManifest)
        assert [f"{step.name}:{step.version}" for step in load_model(name).steps] == list(workflow.steps)
    for name in (*WORKFLOWS, "brightfield-dapi"):
        assert check_package(open_source(str(BUNDLED / name))).package.license == "Apache-2.0"
        assert sum(file.stat().st_size for file in (BUNDLED / name).iterdir()) < 2 << 20


def test_the_detector_segments_what_is_predicted_too() -> None:
    ours, theirs = (cellfleet.segment(STACK, model=name) for name in WORKFLOWS)
    assert ours.predicted is not None and theirs.predicted is not None
    assert (ours.predicted == theirs.predicted).all() and theirs.labels.max() >= 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_its_card_says_what_the_truth_is(name: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert "silver" in card and "CC BY 4.0" in card and "One field" in card
