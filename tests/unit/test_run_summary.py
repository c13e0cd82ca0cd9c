"""The record of a run: what it needs to be repeated, on any machine."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from cellfleet.models import load_model
from cellfleet.run import summary
from cellfleet.spec.segment import RunOptions, SegmentSpec
from cellfleet.stores.place import FolderPlace

OUT = FolderPlace(Path("out"))


def test_the_gpu_build_of_the_runtime_is_recorded_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "onnxruntime":  # docs/how-to/gpu.md: uninstalled, the other build takes its place
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(summary, "version", version)
    run = summary.begin(["a.tif"], OUT, SegmentSpec(model="otsu"), RunOptions(), load_model("otsu"), 1, None)
    assert run.versions["onnxruntime-gpu"] == "1.0" and "onnxruntime" not in run.versions


def test_numbers_are_repeated_to_the_last_digit() -> None:
    spec = SegmentSpec(microns_per_pixel=0.10833333333333334, diameter_px=1 / 3)
    words = shlex.split(summary.as_command(["a.tif"], "out", spec, RunOptions()))
    assert float(words[words.index("--pixel-size") + 1]) == spec.microns_per_pixel
    assert float(words[words.index("--diameter") + 1]) == spec.diameter_px
    python = summary.as_python(["a.tif"], "out", spec, RunOptions())
    assert f"pixel_size={spec.microns_per_pixel!r}" in python and f"diameter={spec.diameter_px!r}" in python


def test_a_model_is_named_so_that_the_command_works_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "rdf.yaml").touch()
    given = {"otsu": "otsu", "otsu:1.0": "otsu:1.0", "mine:2.0": "mine:2.0", "trained": str(tmp_path / "trained")}
    for model, told in given.items():
        words = shlex.split(summary.as_command(["a.tif"], "out", SegmentSpec(model=model), RunOptions()))
        assert words[words.index("--model") + 1] == told
        assert repr(told) in summary.as_python(["a.tif"], "out", SegmentSpec(model=model), RunOptions())
