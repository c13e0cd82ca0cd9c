"""`cellfleet.Client` and a real service: what is cut goes on, what is lost is asked again, the token stays home."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile
from tests.flaky import Flaky, flaky
from tests.servers import web_server
from tests.services import Running, running_service, wait_until
from tests.support import discs
from tests.worked import broken_image, small_image, work_off

import cellfleet
from cellfleet.client import tus
from cellfleet.client.client import Client
from cellfleet.client.connection import StoppedError
from cellfleet.client.download import download
from cellfleet.errors import CellfleetError, JobError, ModelError, ServiceError, UsageError
from cellfleet.spec.http import JobRequest
from cellfleet.spec.segment import SegmentSpec


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


@pytest.fixture
def line(running: Running) -> Iterator[Flaky]:
    """A line to the service that can be cut."""
    with flaky(running.url) as line:
        yield line


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def lab_of(running: Running, url: str = "", user: str = "ann", **more: object) -> Client:
    return Client(url or running.url, running.token(user), **more)


def code_of(call: object, *arguments: object) -> str:
    with pytest.raises(CellfleetError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "plate").mkdir(parents=True)
    for name in ("a.tif", "plate/b µ,🦠 1.tif"):
        (folder / name).write_bytes(small_image())
    return folder


def test_results_are_those_of_a_run_here(running: Running, images: Path, tmp_path: Path) -> None:
    with lab_of(running) as lab:
        job = lab.segment(images, model="otsu", formats=["labels-tiff", "csv", "ome-zarr"])
        work_off(running)
        assert [update.job.state for update in job.watch()][-1] == "done"
        there, here = job.results(), cellfleet.segment(images, model="otsu")
        assert sorted(there) == [cells.name for cells in here] and len(there) == 2
        for cells in here:
            assert np.array_equal(there[cells.name].labels, cells.labels)
            assert there[cells.name].table.equals(cells.table)
        assert there["b µ,🦠 1"].name == there["plate/b µ,🦠 1"].name == "plate/b µ,🦠 1.tif"
        with pytest.raises(KeyError):
            there["c"]
        records = job.save(tmp_path / "out")
        assert [record.image for record in records] == sorted(there)
        (zarr,) = (tmp_path / "out").glob("a_labels.ome.zarr")
        assert (zarr / "0" / "zarr.json").is_file()
        assert (tmp_path / "out" / "run.json").is_file() and (tmp_path / "out" / "report.html").is_file()


def test_a_job_is_paused_resumed_cancelled_retried_and_deleted(running: Running, images: Path) -> None:
    with lab_of(running) as lab:
        job = lab.segment(images, model="otsu")
        assert [job.pause().state, job.resume().state, job.cancel().state] == ["paused", "queued", "cancelled"]
        assert code_of(job.pause) == "E812"
        sets = [given.removeprefix("set:") for given in job.info.inputs]
        job.delete(uploads=True)
        assert code_of(job.refresh) == "E810"
        assert running.store.read(f"sets/{sets[0]}.json") is None
        (images / "bad.tif").write_bytes(broken_image())
        failed = lab.segment(images / "bad.tif", model="otsu")
        work_off(running)
        assert failed.wait().state == "failed"
        assert [task.code for task in failed.dead_tasks().tasks] == ["E106"]
        assert failed.retry().state == "queued"
        work_off(running)


def test_a_job_is_found_by_the_beginning_of_its_id(running: Running, images: Path) -> None:
    with lab_of(running, user="cleo") as lab:
        jobs = [lab.segment(images / "a.tif", model="otsu") for _ in range(2)]
        assert [job.id for job in lab.jobs()] == [job.id for job in jobs[::-1]]
        assert lab.job(jobs[0].id[:12]).id == lab.job(jobs[0].id.removeprefix("key-")[:8]).id == jobs[0].id
        assert code_of(lab.job, "key") == "E967"
        assert code_of(lab.job, "nothing") == code_of(lab.job, "Ä ?/") == "E810"
    with lab_of(running, user="dora") as other:
        assert code_of(other.job, jobs[0].id) == "E810" and list(other.jobs()) == []


def test_what_the_server_refuses_is_the_error_that_it_would_be_here(running: Running, images: Path) -> None:
    with lab_of(running) as lab:
        with pytest.raises(ModelError):
            lab.segment(images, model="nothing")
        assert code_of(lab.upload, images / "nowhere") == "E102"
        assert code_of(lab.submit, JobRequest(inputs=("set:0123",))) == "E921"
    with Client(running.url, "wrong") as stranger:
        with pytest.raises(ServiceError) as caught:
            stranger.about()
        assert (caught.value.code, caught.value.exit_code) == ("E904", 5)


def big(path: Path, size: int = 4 << 20) -> Path:
    path.write_bytes(np.random.default_rng(1).bytes(size))
    return path


def test_an_upload_that_was_cut_goes_on_where_it_was(
    running: Running, line: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tus, "_PIECE", 1 << 20)
    file = big(tmp_path / "big.tif")
    with lab_of(running, line.url) as lab:
        line.budget = 5 << 19  # in the midst of the third of four pieces

        def mend() -> None:
            wait_until(lambda: line.sent >= 2 << 20, "two pieces are sent")
            line.budget = None

        mending = threading.Thread(target=mend)
        mending.start()
        (given,) = lab.upload(file)
        mending.join()
    assert running.store.read(f"uploads/{given.removeprefix('set:')}/big.tif") == file.read_bytes()
    assert line.sent < 6 << 20


def test_another_process_goes_on_with_an_upload(
    running: Running, line: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(tus, "_PIECE", 1 << 20)
    file = big(tmp_path / "big.tif")
    (tmp_path / "small.tif").write_bytes(small_image())
    line.budget = 3 << 20
    with lab_of(running, line.url, patience_seconds=0.5) as lab:
        assert code_of(lab.upload, [tmp_path / "small.tif", file]) == "E960"
    line.budget, line.sent = None, 0
    with lab_of(running, line.url) as lab:
        (given,) = lab.upload([tmp_path / "small.tif", file])
    assert line.sent < 3 << 20, "what was there is not sent again"
    assert running.store.read(f"uploads/{given.removeprefix('set:')}/big.tif") == file.read_bytes()
    assert list((cache / "uploads").iterdir()) == []


def test_a_file_that_changed_since_is_sent_anew(
    running: Running, line: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = big(tmp_path / "big.tif")
    line.budget = 1 << 20
    with lab_of(running, line.url, patience_seconds=0.5) as lab:
        assert code_of(lab.upload, file) == "E960"
    big(file, 2 << 20)
    line.budget = None
    with lab_of(running, line.url) as lab:
        (given,) = lab.upload(file)
    assert running.store.read(f"uploads/{given.removeprefix('set:')}/big.tif") == file.read_bytes()


def test_a_file_that_changes_while_it_is_sent_is_refused(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = big(tmp_path / "big.tif")
    with lab_of(running) as lab:
        create = tus._create

        def changing(*arguments: object) -> str:
            at = create(*arguments)
            file.write_bytes(file.read_bytes()[::-1])
            return at

        monkeypatch.setattr(tus, "_create", changing)
        assert code_of(lab.upload, file) in {"E968", "E928"}


def test_a_job_is_one_job_though_the_answer_was_lost(running: Running, line: Flaky, images: Path) -> None:
    with lab_of(running, line.url, user="erna") as lab:
        inputs = lab.upload(images)
        send = lab.connection._http.send
        lost = []

        def losing(request: Any, **more: Any) -> Any:
            answer = send(request, **more)
            if request.url.path == "/api/v1/jobs" and not lost:
                lost.append(answer)
                raise httpx2.ReadError("the line was cut")
            return answer

        lab.connection._http.send = losing
        job = lab.submit(JobRequest(inputs=inputs, segment=SegmentSpec(model="otsu")))
        assert lost and [one.id for one in lab.jobs()] == [job.id]


def test_watching_goes_on_after_the_server_was_away(running: Running, line: Flaky, images: Path) -> None:
    with lab_of(running, line.url) as lab:
        job = lab.segment(images, model="otsu")
        lost = []

        def away() -> None:
            line.refusing = True
            line.cut()
            wait_until(lambda: lost, "the loss is told")
            work_off(running)
            line.refusing = False

        trouble = threading.Thread(target=away)
        for update in job.watch():
            if not trouble.ident:
                trouble.start()
            if update.lost:
                lost.append(update.lost)
        trouble.join()
        assert job.state == "done" and lost


def test_a_server_that_stays_away_is_named_and_the_job_goes_on(running: Running, line: Flaky, images: Path) -> None:
    with lab_of(running, line.url, patience_seconds=0.5) as lab:
        job = lab.segment(images / "a.tif", model="otsu")
        line.refusing = True
        line.cut()
        with pytest.raises(ServiceError, match="cannot be reached") as caught:
            job.wait()
        assert (caught.value.code, caught.value.exit_code) == ("E960", 5)
        assert line.url in str(caught.value)


def test_a_stop_ends_waiting_at_once(running: Running, images: Path) -> None:
    stop = threading.Event()
    with lab_of(running, stop=stop) as lab:
        job = lab.segment(images / "a.tif", model="otsu")
        updates = job.watch()
        next(updates)
        stop.set()
        with pytest.raises(StoppedError):
            next(updates)


def test_results_that_stand_are_not_fetched_again(running: Running, line: Flaky, images: Path, tmp_path: Path) -> None:
    with lab_of(running, line.url) as lab:
        job = lab.segment(images, model="otsu")
        work_off(running)
        job.wait().save(tmp_path / "out")
        labels = tmp_path / "out" / "a_labels.tif"
        before = labels.stat().st_mtime_ns
        (tmp_path / "out" / "a_cells.csv").unlink()
        (other,) = (tmp_path / "out" / "plate").glob("*_labels.tif")
        other_before = other.stat().st_mtime_ns
        job.save(tmp_path / "out")
        assert (tmp_path / "out" / "a_cells.csv").is_file()
        assert labels.stat().st_mtime_ns != before and other.stat().st_mtime_ns == other_before


def test_the_token_does_not_follow_a_redirect_elsewhere(tmp_path: Path) -> None:
    with web_server() as server, web_server() as elsewhere:
        server.moved["/api/v1/about"] = f"{elsewhere.url}/api/v1/about"
        with Client(server.url, "secret") as lab:
            assert code_of(lab.about) == "E963"
        assert elsewhere.requests == []


def test_what_is_no_cellfleet_server_is_said(tmp_path: Path) -> None:
    with web_server() as server:
        server.files["/api/v1/about"] = b"<html>Log in</html>"
        with Client(server.url) as lab:
            assert code_of(lab.about) == "E962"
            assert code_of(lab.models) == "E962"


def test_nobody_there_is_said_with_what_to_do() -> None:
    with Client("http://127.0.0.1:9", patience_seconds=0.1) as lab, pytest.raises(ServiceError) as caught:
        lab.about()
    assert "connection refused" in str(caught.value) and caught.value.code == "E960"


def test_an_address_without_tls_gets_no_token() -> None:
    with pytest.raises(UsageError) as caught:
        Client("http://lab.example", "secret")
    assert caught.value.code == "E964"


def test_results_at_an_address_are_not_on_the_server(running: Running, images: Path, tmp_path: Path) -> None:
    with lab_of(running) as lab:
        job = lab.segment(images / "a.tif", model="otsu")
        job._job = job.info.model_copy(update={"out": "s3://lab/out"})
        with pytest.raises(JobError, match="E975"):
            job.save(tmp_path / "out")


def test_a_large_image_is_fetched_though_the_line_is_cut(running: Running, tmp_path: Path) -> None:
    """The download goes on from the byte where it was."""
    tifffile.imwrite(tmp_path / "a.tif", discs())
    with lab_of(running) as lab:
        job = lab.segment(tmp_path / "a.tif", model="otsu")
        work_off(running)
        job.wait()
        content = big(tmp_path / "content").read_bytes()
        running.store.write(f"results/{job.id}/a_labels.tif", content)
        asked = []
        stream = lab.connection.stream

        def cutting(path: str, **more: Any) -> Any:
            @contextlib.contextmanager
            def cut() -> Iterator[object]:
                asked.append(more["headers"].get("Range"))
                with stream(path, **more) as said:
                    if len(asked) == 1:
                        pieces = said.iter_bytes

                        def some() -> Iterator[bytes]:
                            yield next(pieces(1 << 20))
                            raise httpx2.ReadError("the line was cut")

                        said.iter_bytes = some
                    yield said

            return cut()

        lab.connection.stream = cutting
        with open(tmp_path / "fetched", "w+b") as file:
            download(lab.connection, f"/api/v1/jobs/{job.id}/files/a_labels.tif", file)
    assert asked == [None, f"bytes={1 << 20}-"]
    assert (tmp_path / "fetched").read_bytes() == content
