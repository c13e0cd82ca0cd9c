"""Bad images, a full disk, too little memory, a bug: the run goes on where it can, and says what happened."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from tests.support import discs, results, rows, run_record, segment

from cellfleet.images.source import Source
from cellfleet.run.resources import MemoryPlan
from cellfleet.samples import copy_samples


def test_bad_images_fail_alone_with_what_where_action_and_code(bad: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert segment(bad, "-o", out) == 3
    failures = {row["image"]: row for row in rows(out / "failures.csv")}
    assert set(failures) == {"truncated.tif", "text.tif", "empty.tif", "huge.tif", "pages.tif"}
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for image, row in failures.items():
        assert row["code"][0] == "E" and row["what"] and row["action"]
        assert any(line.startswith(f"{image}: ") and line.endswith(f"[{row['code']}]") for line in said.splitlines())
        assert not (out / image.replace(".tif", "_labels.tif")).exists()
    run = run_record(out)
    assert run.status == "done-with-failures"
    objects = {image.image: image.objects for image in run.images if image.status == "done"}
    assert objects["good.tif"] == objects["last.tif"] == objects["nan.tif"] == objects["rgba.png"] == 4
    assert objects["constant.tif"] == 0
    codes = {image.image: [notice.code for notice in image.notices] for image in run.images}
    assert codes["nan.tif"] == ["W001"] and codes["constant.tif"] == ["W002"]
    assert f"{len(failures)} failed: see {out / 'failures.csv'}" in said


def test_failed_images_are_tried_again_and_leave_no_old_results(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    whole = results(out)
    good = (images / "a.tif").read_bytes()
    (images / "a.tif").write_bytes(good[:100])
    assert segment(images, "-o", out) == 3
    assert not (out / "a_labels.tif").exists() and not (out / "a_cells.csv").exists()
    (images / "a.tif").write_bytes(good)
    assert segment(images, "-o", out) == 0
    assert results(out) == whole and rows(out / "failures.csv") == []


def test_a_pipe_and_a_broken_link_are_refused_without_waiting_for_them(images: Path, tmp_path: Path) -> None:
    os.mkfifo(images / "pipe.tif")
    (images / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    command = [sys.executable, "-m", "cellfleet", "segment", str(images), "-o", str(tmp_path / "out"), "-m", "otsu"]
    assert subprocess.run(command, timeout=60, capture_output=True, check=False).returncode == 3
    codes = {row["image"]: row["code"] for row in rows(tmp_path / "out" / "failures.csv")}
    assert codes == {"gone.tif": "E104", "pipe.tif": "E104"}


def test_wrong_channel_name_fails_with_the_names_there_are(tmp_path: Path) -> None:
    copy_samples(tmp_path / "s")
    assert segment(tmp_path / "s" / "cell_painting.ome.tif", "-o", tmp_path / "out", "--channel", "DAPY") == 3
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert failure["code"].startswith("E2") and "DNA" in failure["what"] + failure["action"]


def test_an_unforeseen_fault_fails_one_image_and_saves_its_traceback(images: Path, tmp_path: Path, monkeypatch) -> None:
    from cellfleet.run import process

    def faulty(source: Source, **options: object) -> object:
        if source.name == "plate/b.png":
            raise ZeroDivisionError("as a test")
        return original(source, **options)

    original = process.open_image
    monkeypatch.setattr(process, "open_image", faulty)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert segment(images, "-o", tmp_path / "out") == 3
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert failure["code"] == "E599" and "bug in cellfleet" in failure["what"]
    (log,) = tmp_path.glob("cellfleet-bug-*.log")
    assert "ZeroDivisionError: as a test" in log.read_text() and str(log) in failure["action"]


def test_full_disk_stops_with_code_6_and_the_run_goes_on_later(
    images: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    out, whole, original, calls = tmp_path / "out", tmp_path / "whole", os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    segment(images, "-o", whole)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert segment(images, "-o", out, "--threads", 1) == 6
    assert "disk is full" in capsys.readouterr().err
    assert len(results(out)) < len(results(whole))
    assert not list(out.rglob("*.part"))
    assert segment(images, "-o", out) == 0
    assert results(out) == results(whole)


def test_unwritable_output_is_said_before_any_work(images: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert segment(images, "-o", tmp_path / "file" / "out") == 6
    said = capsys.readouterr().err
    assert "[E307]" in said and "Traceback" not in said


def test_a_folder_in_the_place_of_a_result_fails_one_image(images: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "a_labels.tif" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    assert segment(images, "-o", tmp_path / "out", "--overwrite") == 3
    assert mine.read_text() == "years of work"
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert (failure["image"], failure["code"]) == ("a.tif", "E306")


def test_image_larger_than_memory_fails_alone(images: Path, tmp_path: Path, monkeypatch) -> None:
    tifffile.imwrite(images / "large.tif", np.tile(discs(), (8, 8)))
    monkeypatch.setattr("cellfleet.run.pools.plan_memory", lambda *given: MemoryPlan(1, 1 << 20, 1 << 20, 5_000_000))
    assert segment(images, "-o", tmp_path / "out") == 3
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert (failure["image"], failure["code"]) == ("large.tif", "E510")
