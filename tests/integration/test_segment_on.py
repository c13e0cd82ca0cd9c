"""`cellfleet segment --on`: the folder of a run here, computed on a real service, whatever happens on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from tests.flaky import flaky
from tests.services import Running, running_service, wait_until
from tests.support import discs, results, run_record, segment
from tests.worked import broken_image, small_image, work_off, working

from cellfleet.cli import main
from cellfleet.client import arrivals
from cellfleet.client.client import Client
from cellfleet.client.follow import Update
from cellfleet.spec.record import ImageRecord


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is called `lab`."""
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLFLEET_TOKEN", raising=False)
    (tmp_path / "cellfleet.toml").write_text(f'[servers.lab]\nurl = "{running.url}"\n')
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "plate").mkdir(parents=True)
    for name in ("a.tif", "plate/a.tif", "plate/b µ,🦠 1.tif"):
        (folder / name).write_bytes(small_image())
    return folder


@pytest.fixture
def worker(running: Running) -> Iterator[None]:
    """Somebody works off what is handed in, until the test ends."""
    with working(running):
        yield


def on_lab(*words: object) -> int:
    return main(["segment", *map(str, words), "--model", "otsu", "--on", "lab"])


def job_ids(running: Running) -> list[str]:
    with Client(running.url) as lab:
        return [job.id for job in lab.jobs()]


def files_of(out: Path) -> list[str]:
    names = (path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return sorted(name for name in names if name != ".cellfleet/server.jsonl")


def records_of(out: Path) -> dict[str, ImageRecord]:
    found = [ImageRecord.model_validate_json(path.read_bytes()) for path in (out / ".cellfleet/records").iterdir()]
    timeless = {"seconds": {}, "cpu_seconds": {}, "waiting_seconds": {}}
    return {record.image: record.model_copy(update=timeless) for record in found}


def require_equal(there: Path, here: Path) -> None:
    """Compare two folders of results: files, labels, tables, records."""
    assert files_of(there) == files_of(here)
    assert results(there) == results(here) != {}
    assert records_of(there) == records_of(here)
    mine, other = run_record(there), run_record(here)
    assert (mine.status, mine.key, mine.model, mine.manifest) == (other.status, other.key, other.model, other.manifest)
    assert [image.image for image in mine.images] == [image.image for image in other.images]


def made_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("A/1.tif", "B/1.tif", "x.png.tif"):
            archive.writestr(name, small_image())
    return path


def made_zarr(path: Path) -> Path:
    group = zarr.create_group(path)
    group.create_array("0", data=discs()[np.newaxis], chunks=(1, 32, 32))
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("model", ["otsu", "nuclei"])
def test_the_folder_is_that_of_a_run_here(images: Path, tmp_path: Path, model: str) -> None:
    (images / "a.png").write_bytes(broken_image())
    common = [
        "segment",
        str(images),
        "--model",
        model,
        "--format",
        "labels-tiff",
        "--format",
        "csv",
        "--progress",
        "none",
    ]
    assert main([*common, "-o", str(tmp_path / "here")]) == 3
    assert main([*common, "-o", str(tmp_path / "there"), "--on", "lab"]) == 3
    require_equal(tmp_path / "there", tmp_path / "here")


@pytest.mark.usefixtures("worker")
def test_zips_and_zarrs_are_found_as_here(tmp_path: Path) -> None:
    made_zip(tmp_path / "plate.zip")
    made_zarr(tmp_path / "image.ome.zarr")
    for given in (["plate.zip"], ["image.ome.zarr"], ["plate.zip", "image.ome.zarr"]):
        here, there = tmp_path / f"here{len(given)}{given[0]}", tmp_path / f"there{len(given)}{given[0]}"
        assert segment(*given, "-o", here) == on_lab(*given, "-o", there) == 0
        require_equal(there, here)


@pytest.mark.usefixtures("worker")
def test_folders_among_the_results_come_whole(images: Path, tmp_path: Path) -> None:
    words = [images, "--format", "ome-zarr", "--format", "mcmicro", "--format", "cellpose"]
    assert segment(*words, "-o", tmp_path / "here") == on_lab(*words, "-o", tmp_path / "there") == 0
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    for name in files_of(tmp_path / "here"):
        if name.endswith(("/c/0/0", "zarr.json", "_cp_masks.tif")):
            assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.usefixtures("worker")
def test_what_is_done_is_not_sent_again_and_a_run_here_goes_on(
    running: Running, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(job_ids(running))
    assert on_lab(images / "plate", "-o", tmp_path / "out") == 0
    assert on_lab(images / "plate", "-o", tmp_path / "out") == 0
    assert "All images are done with these settings." in capsys.readouterr().err
    assert len(job_ids(running)) == before + 1
    (images / "plate" / "c.tif").write_bytes(small_image())
    assert on_lab(images / "plate", "-o", tmp_path / "out") == 0
    assert "2 of 3 images are done with these settings; 1 to go." in capsys.readouterr().err
    with Client(running.url) as lab:
        assert next(lab.jobs()).progress.images == 1
    (images / "plate" / "d.tif").write_bytes(small_image())
    assert segment(images / "plate", "-o", tmp_path / "out") == 0
    assert "3 of 4 images are done with these settings; 1 to go." in capsys.readouterr().err


@pytest.mark.usefixtures("worker")
def test_an_image_that_failed_is_tried_again_in_the_same_job(running: Running, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "bad.tif").write_bytes(broken_image())
    assert on_lab(folder, "-o", tmp_path / "out") == 3
    first = job_ids(running)
    assert on_lab(folder, "-o", tmp_path / "out") == 3
    assert job_ids(running) == first
    (folder / "bad.tif").write_bytes(small_image())
    assert on_lab(folder, "-o", tmp_path / "out") == 0
    assert len(job_ids(running)) == len(first) + 1


def test_detach_leaves_and_the_same_command_brings_the_results(
    running: Running, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = job_ids(running)
    assert on_lab(images, "-o", tmp_path / "there", "--detach") == 0
    said = capsys.readouterr()
    assert said.out.split() == [job for job in job_ids(running) if job not in before]
    assert f"cellfleet jobs watch {said.out.strip()} --on lab" in said.err
    work_off(running)
    assert on_lab(images, "-o", tmp_path / "there") == 0
    assert f"Going on with job {said.out.strip()} on lab." in capsys.readouterr().err
    assert segment(images, "-o", tmp_path / "here") == 0
    require_equal(tmp_path / "there", tmp_path / "here")
    assert len(job_ids(running)) == len(before) + 1


def test_ctrl_c_leaves_the_job_and_the_same_command_comes_back(running: Running, images: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "cellfleet", "segment", "images", "-o", "there", "--model", "otsu", "--on", "lab"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        job = next(line for line in run.stderr if line.startswith("Job ")).split()[1]
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130
    assert f"Job {job} goes on at lab. To look: cellfleet jobs watch {job} --on lab" in rest
    assert "Stopped. 0 finished. Run the same command again to go on." in rest
    work_off(running)
    assert on_lab(images, "-o", tmp_path / "there") == 0
    assert job_ids(running)[0] == job
    assert segment(images, "-o", tmp_path / "here") == 0
    require_equal(tmp_path / "there", tmp_path / "here")


def test_a_killed_client_sends_nothing_twice(running: Running, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 900, (1024, 1024), np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", pixels)
    with flaky(running.url) as line:
        words = [sys.executable, "-m", "cellfleet", "segment", "images", "-o", "there", "--on", line.url, "-m", "otsu"]
        line.budget = 5 << 20
        with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
            wait_until(lambda: line.sent >= 4 << 20, "most is sent")
            run.kill()
        line.budget, line.sent = None, 0
        assert main([*words[3:], "--detach"]) == 0
        assert line.sent < 3 << 20
    assert len(list((tmp_path / "there").rglob("server.jsonl"))) == 1


def test_the_service_may_be_away_for_a_while(
    running: Running,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cellfleet.client.connection._LONGEST_PAUSE", 0.3)
    watching, follow = threading.Event(), arrivals.follow

    def followed(*arguments: Any) -> Iterator[Update]:
        for update in follow(*arguments):
            watching.set()
            yield update

    monkeypatch.setattr(arrivals, "follow", followed)
    with flaky(running.url) as line:

        def away() -> None:
            watching.wait(30)
            line.refusing = True
            line.cut()
            work_off(running)
            wait_until(lambda: line.refused, "the client notices")
            line.refusing = False

        trouble = threading.Thread(target=away)
        trouble.start()
        assert main(["segment", str(images), "-o", "there", "-m", "otsu", "--on", line.url]) == 0
        trouble.join()
    said = capsys.readouterr().err
    assert "Connection lost; the job goes on there." in said and "again." in said
    assert segment(images, "-o", tmp_path / "here") == 0
    require_equal(tmp_path / "there", tmp_path / "here")


def test_a_cancelled_job_is_said_and_begun_anew(
    running: Running, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(job_ids(running))

    def cancel() -> None:
        wait_until(lambda: len(job_ids(running)) > before, "the job is there")
        with Client(running.url) as lab:
            next(lab.jobs()).cancel()
        work_off(running)

    thread = threading.Thread(target=cancel)
    thread.start()
    assert on_lab(images, "-o", tmp_path / "out") == 130
    thread.join()
    job = job_ids(running)[0]
    assert f"Job {job} was cancelled on lab." in capsys.readouterr().err
    assert on_lab(images, "-o", tmp_path / "out", "--detach") == 0
    assert capsys.readouterr().out.strip() == job_ids(running)[0] != job


@pytest.mark.usefixtures("worker")
def test_progress_as_json_tells_uploads_images_and_the_end(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_lab(images, "-o", tmp_path / "out", "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert (kinds[0], kinds[-1]) == ("start", "done") and lines[0]["server"] == "lab"
    assert [line["done"] for line in lines if line["event"] == "image"] == [1, 2, 3]
    sent = [line for line in lines if line["event"] == "upload"][-1]
    assert (sent["done"], sent["total"]) == (3, 3) and sent["bytes"] == sent["of_bytes"] == 3 * len(small_image())


@pytest.mark.usefixtures("worker")
def test_a_file_that_cannot_be_read_costs_that_image(images: Path, tmp_path: Path) -> None:
    (images / "gone.tif").symlink_to(tmp_path / "nowhere")
    assert on_lab(images, "-o", tmp_path / "out") == 3
    record = run_record(tmp_path / "out")
    failed = {image.image: image.error.code for image in record.images if image.error}
    assert failed == {"gone.tif": "E973"} and len(record.images) == 4


@pytest.mark.usefixtures("worker")
def test_addresses_are_read_by_the_server(images: Path, tmp_path: Path) -> None:
    assert on_lab(images.as_uri(), "-o", tmp_path / "out") == 0
    assert len(results(tmp_path / "out")) == 6


@pytest.mark.parametrize("words", [["--device", "cpu"], ["--threads", "2"], ["--memory", "4GB"], ["--shard", "1/2"]])
def test_options_that_cannot_hold_elsewhere_are_refused(
    images: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_lab(images, "-o", tmp_path / "out", *words) == 2
    assert words[0] in (said := capsys.readouterr().err) and "[E970]" in said
    assert not (tmp_path / "out").exists()


def test_detach_needs_a_server(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment(images, "-o", tmp_path / "out", "--detach") == 2
    assert "[E970]" in capsys.readouterr().err


def test_what_would_be_refused_here_is_refused_before_anything_is_sent(
    running: Running, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = job_ids(running)
    assert on_lab(images, "-o", images) == 2
    assert "[E035]" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_labels.tif").write_bytes(b"mine")
    assert on_lab(images, "-o", tmp_path / "out") == 2
    assert "[E033]" in capsys.readouterr().err
    assert main(["segment", str(images), "-o", "new", "--on", "lab", "--model", "nothing"]) == 4
    (tmp_path / "model").mkdir()
    assert main(["segment", str(images), "-o", "new", "--on", "lab", "--model", "model"]) == 2
    assert "[E977]" in capsys.readouterr().err
    assert on_lab(tmp_path / "nowhere", "-o", "new") == 4
    assert job_ids(running) == before and not (tmp_path / "new").exists()


def test_another_version_is_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cellfleet.service.routes.about.cellfleet.__version__", "9.9.9")
    monkeypatch.setattr("cellfleet.client.order.cellfleet", SimpleNamespace(__version__="0.1.0"))
    assert on_lab(images, "-o", tmp_path / "out") == 5
    assert "has cellfleet 9.9.9, here is 0.1.0" in capsys.readouterr().err
