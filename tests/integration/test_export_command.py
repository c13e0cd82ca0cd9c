"""`cellfleet export`: the files that `segment` would have written, from its results alone."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tifffile
from tests.support import discs, run_record, segment

from cellfleet.cli import main
from cellfleet.errors import OutputError
from cellfleet.images.image import Image
from cellfleet.run.export import export as export_results
from cellfleet.run.segment_image import segment_image
from cellfleet.spec.choices import Format
from cellfleet.stores.place import open_place

ALL = [word for form in get_args(Format) if form != "predicted-tiff" for word in ("--format", form)]
OTHERS = ("imagej-rois", "qupath-geojson", "anndata", "cellpose", "mcmicro")


def export(*words: object) -> int:
    return main(["export", *map(str, words)])


def files(out: Path) -> dict[str, bytes]:
    """Every result file by path: not what a run keeps for itself or sums up."""
    kept = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    summary = {"run.json", "report.html", "failures.csv"}
    return {
        path.as_posix(): (out / path).read_bytes()
        for path in kept
        if path.parts[0] != ".cellfleet" and path.name not in summary
    }


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "plate").mkdir(parents=True)
    tifffile.imwrite(folder / "plate" / "a.tif", discs())
    stack = np.stack([discs(), discs()[::-1], np.full_like(discs(), 7)])
    tifffile.imwrite(folder / "time.tif", stack, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "nothing.tif", np.full((40, 50), 7, np.uint8))
    return folder


@pytest.mark.parametrize("kept", [("labels-tiff", "csv"), ("ome-zarr", "parquet"), ("ome-zarr-0.4", "csv")])
def test_exported_files_are_those_that_segment_writes(images: Path, kept: tuple[str, str], tmp_path: Path) -> None:
    assert segment(images, "-o", tmp_path / "all", *ALL) == 0
    assert segment(images, "-o", tmp_path / "few", *(word for form in kept for word in ("--format", form))) == 0
    shutil.rmtree(images / "plate")
    assert export(tmp_path / "few", *ALL) == 0
    truth, exported = files(tmp_path / "all"), files(tmp_path / "few")
    assert exported.keys() == truth.keys()
    assert [name for name in truth if truth[name] != exported[name]] == []


def test_what_is_there_is_skipped_and_what_is_gone_is_written_again(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    assert export(out, "--format", "imagej-rois", "--format", "cellpose", "--format", "mcmicro") == 0
    truth = files(out)
    assert "Done: imagej-rois, cellpose, mcmicro of 3 images in " in capsys.readouterr().err
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.zip")}
    (out / "plate" / "a_seg.npy").unlink()
    left = out / "plate" / ".cellfleet-0-0-0.part"
    left.write_bytes(b"of an export that was killed two days ago")
    os.utime(left, (time.time() - 2 * 86_400,) * 2)
    shutil.rmtree(out / "time_mcmicro")
    assert export(out, "--format", "imagej-rois", "--format", "cellpose", "--format", "mcmicro") == 0
    assert "of 3 images (1 were there) in " in capsys.readouterr().err
    assert files(out) == truth and {path: path.stat().st_mtime_ns for path in out.rglob("*.zip")} == times
    assert export(out, "--format", "imagej-rois") == 0
    assert "Nothing to do: imagej-rois of all 3 images" in capsys.readouterr().err


def test_a_later_run_keeps_what_was_exported_and_finds_nothing_to_do(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    export(out, *(word for form in OTHERS for word in ("--format", form)))
    recorded = {image.image: image.outputs for image in run_record(out).images}
    assert recorded["plate/a.tif"] == {
        "labels-tiff": "plate/a_labels.tif",
        "csv": "plate/a_cells.csv",
        "imagej-rois": "plate/a_rois.zip",
        "qupath-geojson": "plate/a_cells.geojson.gz",
        "anndata": "plate/a_cells.h5ad",
        "cellpose": "plate/a_cp_masks.tif",
        "mcmicro": "plate/a_mcmicro",
    }
    assert "a_rois.zip" in (out / "report.html").read_text()
    truth = files(out)
    capsys.readouterr()
    assert segment(images, "-o", out, "--format", "imagej-rois", "--format", "csv") == 0
    assert "All images are done" in capsys.readouterr().err
    assert files(out) == truth
    assert {image.image: image.outputs for image in run_record(out).images} == recorded


def test_overwrite_writes_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)
    export(out, "--format", "imagej-rois", "--format", "csv")
    truth = files(out)
    (out / "time_rois.zip").write_bytes(b"changed")
    export(out, "--format", "imagej-rois")
    assert (out / "time_rois.zip").read_bytes() == b"changed"
    assert export(out, "--format", "imagej-rois", "--format", "labels-tiff", "--overwrite") == 0
    assert files(out) == truth


def test_another_folder_becomes_results_of_the_same_run(images: Path, tmp_path: Path, capsys) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    segment(images, "-o", out)
    before = files(out)
    assert export(out, "--format", "csv", "--format", "imagej-rois", "-o", other) == 0
    assert files(out) == before
    assert set(files(other)) == {
        f"{stem}{ending}" for stem in ("plate/a", "time", "nothing") for ending in ("_cells.csv", "_rois.zip")
    }
    assert files(other)["time_cells.csv"] == before["time_cells.csv"]
    run = run_record(other)
    assert run.key == run_record(out).key
    assert run.images[0].outputs == {"csv": "nothing_cells.csv", "imagej-rois": "nothing_rois.zip"}
    assert "data:image/jpeg" in (other / "report.html").read_text()
    capsys.readouterr()
    assert export(out, "--format", "csv", "-o", other) == 0
    assert "Nothing to do" in capsys.readouterr().err


def test_what_is_not_ours_is_not_replaced(images: Path, tmp_path: Path, capsys) -> None:
    out, other, foreign = tmp_path / "out", tmp_path / "other", tmp_path / "foreign"
    segment(images, "-o", out)
    segment(images, "-o", other, "--diameter", "9")
    assert export(out, "--format", "csv", "-o", other) == 2
    assert "[E044]" in capsys.readouterr().err
    foreign.mkdir()
    (foreign / "time_rois.zip").write_text("mine")
    assert export(out, "--format", "imagej-rois", "-o", foreign) == 2
    assert "[E033]" in capsys.readouterr().err and (foreign / "time_rois.zip").read_text() == "mine"
    assert export(out, "--format", "imagej-rois", "-o", foreign, "--overwrite") == 0
    assert export(out, "--format", "imagej-rois", "-o", other, "--overwrite") == 0
    # Tables of the other run would not fit these ROIs.
    assert {Path(name).name for name in files(other)} == {"a_rois.zip", "time_rois.zip", "nothing_rois.zip"}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _other_shape(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((3, 5), np.uint16))


def _damaged_chunk(path: Path) -> None:
    chunk = max(
        (file for file in (path / "0" / "c").rglob("*") if file.is_file()), key=lambda file: file.stat().st_size
    )
    chunk.write_bytes(b"\x00" * chunk.stat().st_size)


def _without_array(path: Path) -> None:
    shutil.rmtree(path / "0")


def _erased(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((64, 80), np.uint16))


def _row_less(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _commented(path: Path) -> None:
    path.write_text(path.read_text() + "checked,by,me\n")


@pytest.mark.parametrize(
    ("name", "spoil", "code"),
    [
        ("a_labels.tif", _cut, "E106"),
        ("a_labels.tif", Path.unlink, "E043"),
        ("a_labels.tif", _other_shape, "E043"),
        ("a_labels.tif", _erased, "E333"),
        ("a_labels.ome.zarr", _damaged_chunk, "E106"),
        ("a_labels.ome.zarr", _without_array, "E043"),
        ("a_labels.ome.zarr", shutil.rmtree, "E043"),
        ("a_cells.csv", Path.unlink, "E043"),
        ("a_cells.csv", _row_less, "E043"),
        ("a_cells.csv", _commented, "E043"),
    ],
)
def test_a_spoilt_result_costs_that_image_only(
    name: str, spoil, code: str, images: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    labels = "ome-zarr" if "zarr" in name else "labels-tiff"
    segment(images, "-o", out, "--format", labels, "--format", "csv")
    spoil(out / "plate" / name)
    capsys.readouterr()
    assert export(out, "--format", "qupath-geojson") == 3
    told = capsys.readouterr().err
    assert f"[{code}]" in told and "plate/a" in told and told.endswith("1 failed\n")
    assert {path.name for path in out.rglob("*.gz")} == {"time_cells.geojson.gz", "nothing_cells.geojson.gz"}
    # The segmentation itself has not failed.
    assert [image.status for image in run_record(out).images] == ["done"] * 3
    assert not list(out.rglob("*.part"))


def test_nothing_to_export_from_is_said(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert export(images, "--format", "csv") == 4
    assert "[E040]" in capsys.readouterr().err
    segment(images, "-o", out, "--format", "labels-tiff")
    capsys.readouterr()
    assert export(out, "--format", "imagej-rois") == 4
    assert "Run the same segment command with --format csv. [E042]" in capsys.readouterr().err
    shutil.rmtree(out / ".cellfleet" / "records")
    assert export(out, "--format", "imagej-rois") == 4
    assert "[E041]" in capsys.readouterr().err


def test_a_stop_keeps_what_is_whole_and_the_same_call_goes_on(images: Path, tmp_path: Path) -> None:
    out, stop = tmp_path / "out", threading.Event()
    segment(images, "-o", out)
    stopped = export_results(out, ["imagej-rois"], tell=lambda event: stop.set(), stop=stop)
    assert (stopped.stopped, stopped.images, stopped.failed) == (True, 3, 0)
    assert [path.name for path in out.rglob("*.zip")] == ["nothing_rois.zip"]
    assert sum("imagej-rois" in image.outputs for image in run_record(out).images) == 1
    done = export_results(out, ["imagej-rois"])
    assert (done.stopped, done.already_done) == (False, 1) and len(list(out.rglob("*.zip"))) == 3


def test_a_full_disk_ends_it(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    out = tmp_path / "out"
    segment(images, "-o", out)

    def full(*arguments: object) -> None:
        raise OutputError("E301", "the disk is full")

    monkeypatch.setattr("cellfleet.results.formats.write_geojson", full)
    capsys.readouterr()
    assert export(out, "--format", "qupath-geojson") == 6
    assert capsys.readouterr().err.count("E301") == 1


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["labels-tiff", "ome-zarr"])
def test_results_in_a_bucket_are_exported_there_and_to_a_folder(
    labels: str, images: Path, bucket: str, tmp_path: Path, capsys
) -> None:
    kept = ("--format", labels, "--format", "parquet", "--format", "csv")
    wanted = [word for form in OTHERS for word in ("--format", form)]
    segment(images, "-o", tmp_path / "out", *kept)
    segment(images, "-o", f"{bucket}/out", *kept)
    assert export(tmp_path / "out", *wanted) == 0
    assert export(f"{bucket}/out", *wanted) == 0
    assert export(f"{bucket}/out", *wanted, "-o", tmp_path / "fetched") == 0
    truth, place = files(tmp_path / "out"), open_place(f"{bucket}/out")
    assert {name: place.read(name) for name in truth} == truth
    assert files(tmp_path / "fetched") == {name: truth[name] for name in files(tmp_path / "fetched")}
    assert len(files(tmp_path / "fetched")) == 3 * 8
    capsys.readouterr()
    assert export(f"{bucket}/out", *wanted) == 0
    assert "Nothing to do" in capsys.readouterr().err
    place.remove("plate/a_rois.zip")
    assert export(f"{bucket}/out", *wanted) == 0 and place.read("plate/a_rois.zip") == truth["plate/a_rois.zip"]


def test_an_image_too_large_for_a_format_is_refused_before_it_is_segmented(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("cellfleet.results.cellpose._MOST_PIXELS", 64 * 80)
    monkeypatch.setattr("cellfleet.run.process.segment_image", _not_for_time_series)
    assert segment(images, "-o", tmp_path / "out", "--format", "cellpose", "--format", "csv") == 3
    assert "time.tif: the image has 15360 pixels; --format cellpose" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").rglob("*.npy")} == {"a_seg.npy", "nothing_seg.npy"}


def _not_for_time_series(image: Image, *arguments: object) -> object:
    assert image.axes == "YX"
    return segment_image(image, *arguments)
