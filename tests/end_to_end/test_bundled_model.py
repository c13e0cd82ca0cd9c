"""The model that comes with the package, through the installed command and through Python: equal to the byte."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support import results

import cellfleet
from cellfleet.evaluation.files import read_labels
from cellfleet.samples import copy_samples

pytestmark = pytest.mark.slow


def test_threads_command_and_python_give_the_same_labels(tmp_path: Path) -> None:
    images = tmp_path / "images"
    copy_samples(images)
    tifffile.imwrite(images / "many_tiles.tif", np.tile(tifffile.imread(images / "dense_nuclei.tif"), (3, 2)))
    for threads in ("1", "3"):
        command = [sys.executable, "-m", "cellfleet", "segment", str(images), "-o", str(tmp_path / threads)]
        subprocess.run([*command, "--threads", threads, "--progress", "none"], check=True, capture_output=True)
    # The large image alone: its tiles are computed at the same time.
    alone = [str(images / "many_tiles.tif"), "-o", str(tmp_path / "alone"), "--threads", "3"]
    subprocess.run([sys.executable, "-m", "cellfleet", "segment", *alone], check=True, capture_output=True)
    assert results(tmp_path / "1") == results(tmp_path / "3")
    together = results(tmp_path / "1")
    assert results(tmp_path / "alone") == {name: together[name] for name in together if "many_tiles" in name}
    for cells in cellfleet.segment(images, threads=2):
        assert (read_labels(tmp_path / "1" / f"{Path(cells.name).stem}_labels.tif") == cells.labels).all()
    run = json.loads((tmp_path / "1" / "run.json").read_text())
    assert run["model"]["name"] == "nuclei" and len(run["model"]["sha256"]) == 64
    counts = {image["image"]: image["objects"] for image in run["images"]}
    assert 165 < counts["dense_nuclei.tif"] < 195 and 50 < counts["small_nuclei.tif"] < 70
