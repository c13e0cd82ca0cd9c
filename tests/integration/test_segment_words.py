"""What `cellfleet segment` says, where and with which exit code; settings, locks and the record of a run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support import discs, results, run_record, segment

from cellfleet import models
from cellfleet.cli import main


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--formt", "csv"], 2, "Did you mean --format?"),
        (["--format", "cvs"], 2, '"csv"'),
        (["--pixel-size", "-1"], 2, "[E011]"),
        (["--threads", "0"], 2, "--threads"),
        (["--axes", "ZZYX"], 2, "[E012]"),
        (["--channel", "=DAPI"], 2, "[E010]"),
        (["--model", "no-such-model"], 4, "[E401]"),
    ],
)
def test_wrong_use_is_a_sentence(words: list[str], code: int, said: str, images: Path, tmp_path: Path, capsys) -> None:
    assert main(["segment", str(images), "-o", str(tmp_path / "out"), *words]) == code
    captured = capsys.readouterr()
    assert said in captured.err and captured.out == "" and "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_4(tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert segment(tmp_path, "-o", tmp_path / "out") == 4
    assert segment(tmp_path / "missing", "-o", tmp_path / "out") == 4
    assert not (tmp_path / "out").exists()


def test_progress_json_is_one_object_per_line_on_stdout(bad: Path, tmp_path: Path, capsys) -> None:
    assert segment(bad, "-o", tmp_path / "out", "--progress", "json") == 3
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert captured.err == ""
    assert [line["event"] for line in (lines[0], lines[-1])] == ["start", "done"]
    images = lines[1:-1]
    assert [line["done"] for line in images] == list(range(1, len(images) + 1))
    assert all({"event", "image", "done", "total", "rate", "eta", "cells"} <= set(line) for line in images)
    assert sum(line["event"] == "failed" for line in images) == 5


@pytest.mark.parametrize("progress", ["bar", "plain", "none"])
def test_stdout_carries_data_only(progress: str, images: Path, tmp_path: Path, capsys) -> None:
    assert segment(images, "-o", tmp_path / "out", "--progress", progress) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and ("Done: 3 images" in captured.err) == (progress != "none")


def test_a_notice_of_every_image_is_told_for_the_first_few(tmp_path: Path, capsys) -> None:
    for index in range(9):
        tifffile.imwrite(tmp_path / f"{index}.tif", np.full((8, 8), index, np.uint8))
    assert segment(tmp_path, "-o", tmp_path / "out", "--threads", 1) == 0
    said = capsys.readouterr().err.splitlines()
    assert sum("no cells.  [W002]" in line for line in said) == 5
    assert "4 more notices of this kind stand in the report.  [W002]" in said
    assert len([image for image in run_record(tmp_path / "out").images if image.notices]) == 9


def test_settings_from_the_environment_and_a_file(images: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cellfleet.toml").write_text('[segment]\nmodel = "otsu"\nformat = ["parquet"]\n')
    assert main(["segment", str(images), "-o", "out"]) == 0
    assert (tmp_path / "out" / "a_cells.parquet").exists()
    monkeypatch.setenv("CELLFLEET_SEGMENT_FORMAT", "csv")
    assert main(["segment", str(images), "-o", "out2"]) == 0
    assert (tmp_path / "out2" / "a_cells.csv").exists() and not (tmp_path / "out2" / "a_cells.parquet").exists()


def test_a_record_repeats_the_run_as_a_command_and_as_python(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--channel", "nuclear=1", "--pixel-size", 0.5, "--diameter", 12, "--axes", "YX", "--threads", 1]
    assert segment(images, "-o", out, *words, "--device", "cpu", "--format", "csv", "--format", "labels-tiff") == 0
    whole, run = results(out), run_record(out)
    shutil.rmtree(out)
    assert main(shlex.split(run.command)[1:]) == 0
    again = run_record(out)
    assert (again.spec, again.key, again.formats, again.threads) == (run.spec, run.key, run.formats, 1)
    assert again.command == run.command and results(out) == whole
    shutil.rmtree(out)
    exec(compile(run.python, "run.json", "exec"), {})
    assert results(out) == whole


def test_a_record_repeats_a_run_with_a_model_of_ones_own_from_any_folder(
    images: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    shutil.copytree(Path(models.__file__).parent / "bundled" / "otsu", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(images), "-o", "out", "--model", "mine"]) == 0
    run = run_record(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert main(shlex.split(run.command)[1:]) == 0
    assert "All images are done with these settings." in capsys.readouterr().err
    exec(compile(run.python, "run.json", "exec"), {})


def test_a_terminal_without_the_letters_is_no_error() -> None:
    command = [sys.executable, "-m", "cellfleet", "models"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "otsu" in done.stdout


def test_no_home_and_a_working_folder_that_may_not_be_written(images: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in {"HOME", "XDG_CACHE_HOME"}}
    command = [sys.executable, "-m", "cellfleet", "segment", str(images), "-o", str(tmp_path / "out"), "-m", "otsu"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_two_commands_into_one_folder(images: Path, tmp_path: Path, capsys) -> None:
    from cellfleet.stores.lock import locked

    with locked(tmp_path / "out"):
        assert segment(images, "-o", tmp_path / "out") == 2
    assert "[E030]" in capsys.readouterr().err
    assert segment(images, "-o", tmp_path / "out") == 0


def test_debug_shows_the_traceback_and_keeps_message_and_exit_code(tmp_path: Path, capsys) -> None:
    assert segment(tmp_path / "missing", "-o", tmp_path / "out", "--debug") == 4
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.strip().splitlines()[-1].startswith("Error: ")


def test_first_result_comes_within_three_seconds(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.tile(discs(), (8, 6)))
    # Processor time of the child, not the clock: other programs run on the machine, too.
    before = os.times()
    command = [sys.executable, "-m", "cellfleet", "segment", str(tmp_path / "a.tif"), "-o", str(tmp_path / "out")]
    subprocess.run([*command, "--model", "otsu", "--threads", "1", "--progress", "none"], check=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3
