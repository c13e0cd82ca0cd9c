"""`cellfleet segment` on good images: results, resume, and what is never overwritten.

All tests use the model `otsu`, so that they do not depend on trained weights.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from tests.support import discs, results, rows, run_record, segment

import cellfleet
from cellfleet.cli import main
from cellfleet.evaluation.files import read_labels


def test_a_folder_gives_labels_tables_report_and_record(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "results"
    assert segment(images, "-o", out) == 0
    for name in ("a", "plate/a", "plate/b"):
        labels = read_labels(out / f"{name}_labels.tif")
        assert labels.shape == (64, 80) and labels.max() == 4
        assert [int(row["label"]) for row in rows(out / f"{name}_cells.csv")] == [1, 2, 3, 4]
    assert rows(out / "plate" / "b_cells.csv")[0]["image"] == "plate/b.png"
    assert rows(out / "failures.csv") == []
    assert "plate/b.png" in (out / "report.html").read_text()
    run = run_record(out)
    assert (run.status, run.device, len(run.images)) == ("done", "cpu", 3)
    assert set(run.seconds) >= {"read", "preprocess", "predict", "postprocess", "measure", "write"}
    said = capsys.readouterr()
    assert said.out == ""
    assert "Found 3 images. Model otsu 1.0." in said.err and "Done: 3 images, 12 cells" in said.err


def test_real_samples(tmp_path: Path, capsys) -> None:
    assert main(["samples", str(tmp_path / "samples")]) == 0
    assert segment(tmp_path / "samples", "-o", tmp_path / "out") == 0
    found = {image.image: image.objects for image in run_record(tmp_path / "out").images}
    assert set(found) == {"cell_painting.ome.tif", "dense_nuclei.tif", "large_nuclei.tif", "small_nuclei.tif"}
    assert 150 < found["dense_nuclei.tif"] < 200 and 45 < found["small_nuclei.tif"] < 75


def test_repeated_command_skips_what_is_done(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.tif")}
    assert segment(images, "-o", out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.tif")} == before
    assert "All images are done with these settings." in capsys.readouterr().err


def test_only_missing_and_changed_images_are_redone(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    whole = results(out)
    (out / "a_cells.csv").unlink()
    os.utime(images / "plate" / "b.png")
    tifffile.imwrite(images / "plate" / "a.tif", np.zeros((64, 80), np.uint16))
    capsys.readouterr()
    assert segment(images, "-o", out) == 0
    said = capsys.readouterr().err
    assert "1 of 3 images are done with these settings; 2 to go." in said
    assert "plate/a.tif: has changed since it was segmented" in said
    again = results(out)
    assert again["a_cells.csv"] == whole["a_cells.csv"] and again["plate/b_cells.csv"] == whole["plate/b_cells.csv"]
    assert read_labels(out / "plate" / "a_labels.tif").max() == 0


def test_another_format_is_added_for_finished_images(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    whole = results(out)
    assert segment(images, "-o", out, "--format", "parquet") == 0
    again = results(out)
    assert {name: again[name] for name in whole} == whole
    assert {name for name in again if name.endswith(".parquet")} == {
        "a_cells.parquet",
        "plate/a_cells.parquet",
        "plate/b_cells.parquet",
    }


def test_no_result_in_another_format_outlives_what_it_was_made_from(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out, "--format", "csv")
    segment(images, "-o", out, "--format", "parquet")
    capsys.readouterr()
    segment(images, "-o", out, "--format", "csv")
    assert "All images are done" in capsys.readouterr().err
    tifffile.imwrite(images / "a.tif", discs()[::-1])
    segment(images, "-o", out, "--format", "csv")
    assert {path.name for path in out.rglob("*.parquet")} == {"a_cells.parquet", "b_cells.parquet"}
    assert not (out / "a_cells.parquet").exists()
    segment(images, "-o", out, "--format", "csv", "--pixel-size", "0.5", "--overwrite")
    assert not list(out.rglob("*.parquet")) and len(list(out.rglob("*_cells.csv"))) == 3


def test_results_beside_the_images_are_not_segmented_themselves(images: Path, tmp_path: Path) -> None:
    work, link = images / "plate", tmp_path / "link"
    link.symlink_to(work)
    assert segment(work / "a.tif", "-o", link) == 0
    # As the shell expands *.tif, whether the run came to its records or not.
    assert segment(work / "a.tif", work / "a_labels.tif", "-o", link) == 0
    assert [image.image for image in run_record(work).images] == ["a.tif"]
    shutil.rmtree(work / ".cellfleet" / "records")
    assert segment(work / "a.tif", link / "a_labels.tif", "-o", work) == 0
    assert [image.image for image in run_record(work).images] == ["a.tif"]


def test_results_of_other_settings_are_kept_unless_overwritten(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    whole = results(out)
    assert segment(images, "-o", out, "--pixel-size", "0.5") == 2
    assert "made with other settings" in capsys.readouterr().err and results(out) == whole
    assert segment(images, "-o", out, "--pixel-size", "0.5", "--overwrite") == 0
    assert "area_um2" in (out / "a_cells.csv").read_text().splitlines()[0]


def test_a_run_of_which_every_image_failed_stands_in_nobodys_way(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert segment(images, "-o", out, "--channel", "2") == 3 and results(out) == {}
    assert "Done: 0 of 3 images" in (said := capsys.readouterr().err) and "Labels" not in said
    assert segment(images, "-o", out) == 0
    assert [image.status for image in run_record(out).images] == ["done"] * 3
    (images / "a.tif").write_bytes(b"broken")
    assert segment(images, "-o", out) == 3
    assert segment(images, "-o", out, "--pixel-size", "0.5") == 2, "two of three results stand"


def test_results_of_another_version_are_not_mixed_with_ours(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    record = (out / "run.json").read_text()
    (out / "run.json").write_text(record.replace(f'"cellfleet": "{cellfleet.__version__}"', '"cellfleet": "0.0.1"'))
    assert segment(images, "-o", out) == 2
    assert "cellfleet 0.0.1" in capsys.readouterr().err
    assert segment(images, "-o", out, "--overwrite") == 0


def test_images_left_over_from_an_overwrite_that_was_cut_short_are_redone(images: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    segment(images, "-o", out)
    assert segment(images / "a.tif", "-o", out, "--pixel-size", "0.5", "--overwrite") == 0
    assert segment(images, "-o", out, "--pixel-size", "0.5") == 0
    segment(images, "-o", whole, "--pixel-size", "0.5")
    assert results(out) == results(whole)


def test_files_of_others_are_never_overwritten(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_labels.tif").write_text("my truth")
    assert segment(images, "-o", out) == 2
    assert "[E033]" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["a_labels.tif"]
    assert segment(images, "-o", images) == 2
    assert segment(images / "a.tif", "-o", images) == 0
    assert segment(images / "a.tif", images / "a_labels.tif", "-o", images) == 0
    tifffile.imwrite(images / "plate" / "b_labels.tif", discs())
    assert segment(images / "plate" / "b.png", images / "plate" / "b_labels.tif", "-o", images / "plate") == 2
    assert "[E031]" in capsys.readouterr().err


def test_results_of_another_image_of_the_same_name_are_kept(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images / "a.tif", "-o", out)
    whole = results(out)
    assert segment(images / "plate" / "a.tif", "-o", out) == 2
    assert "[E034]" in capsys.readouterr().err and results(out) == whole


def test_moved_images_are_still_done(images: Path, tmp_path: Path, capsys) -> None:
    segment(images, "-o", tmp_path / "out")
    shutil.copytree(images, tmp_path / "moved")
    shutil.rmtree(images)
    capsys.readouterr()
    assert segment(tmp_path / "moved", "-o", tmp_path / "out") == 0
    assert "All images are done" in capsys.readouterr().err


def test_inputs_that_share_a_stem_keep_their_extension(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "in" / "out"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", discs())
    Image.fromarray((discs() >> 2).astype(np.uint8)).save(folder / "a.png")
    tifffile.imwrite(folder / "a_labels.tif", discs())
    for _ in range(2):
        assert segment(folder, "-o", out) == 0
        assert {path.name for path in out.glob("*_labels.tif")} == {
            "a.tif_labels.tif",
            "a.png_labels.tif",
            "a_labels_labels.tif",
        }
    assert len(run_record(out).images) == 3


def test_threads_do_not_change_a_byte(images: Path, tmp_path: Path) -> None:
    formats = ("--format", "labels-tiff", "--format", "csv")
    assert segment(images, "-o", tmp_path / "one", "--threads", 1, *formats) == 0
    assert segment(images, "-o", tmp_path / "two", "--threads", 2, *formats) == 0
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_labels_go_on_over_planes_and_rows_tell_the_plane(tmp_path: Path) -> None:
    stack = np.stack([discs(), np.full((64, 80), 90, np.uint16), discs()[:, ::-1]])
    tifffile.imwrite(tmp_path / "movie.tif", stack, imagej=True, metadata={"axes": "TYX"})
    assert segment(tmp_path / "movie.tif", "-o", tmp_path / "out") == 0
    labels = read_labels(tmp_path / "out" / "movie_labels.tif")
    assert [sorted(set(plane.flat)) for plane in labels] == [[0, 1, 2, 3, 4], [0], [0, 5, 6, 7, 8]]
    table = rows(tmp_path / "out" / "movie_cells.csv")
    assert [(row["label"], row["t"]) for row in table] == [(str(n + 1), "0" if n < 4 else "2") for n in range(8)]
