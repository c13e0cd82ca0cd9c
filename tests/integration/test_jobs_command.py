"""`cellfleet jobs` against a real service: what it shows, what it changes, and what its exit codes mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services import Running, running_service
from tests.support import results, segment
from tests.worked import add_job, add_set, broken_image, small_image, work_off

from cellfleet.cli import main
from cellfleet.jobs.ledger import Ledger


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with running_service(tmp_path) as running:
        monkeypatch.setenv("CELLFLEET_SERVER", running.url)
        monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("COLUMNS", "200")
        yield running


def a_job(running: Running, *names: str, bad: bool = False) -> str:
    images = dict.fromkeys(names or ("plate/a µ.tif", "b.tif"), small_image()) | (
        {"bad.tif": broken_image()} if bad else {}
    )
    return add_job(running.client(), add_set(running, "local", images), name="my plate")


def test_jobs_are_listed_newest_first(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs"]) == 0
    assert capsys.readouterr().err == f"You have no jobs on {running.url}.\n"
    first, second = a_job(running), a_job(running, bad=True)
    work_off(running)
    third = a_job(running)
    capsys.readouterr()
    assert main(["jobs"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "name", "state", "images", "failed", "cells", "left", "submitted"]
    assert [line.split()[0] for line in lines] == [third, second, first]
    assert lines[0].split()[1:6] == ["my", "plate", "queued", "0/2", "0"]
    assert lines[1].split()[1:7] == ["my", "plate", "failed", "2/3", "1", "8"]
    assert main(["jobs", "list", "--state", "done", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [first]
    assert main(["jobs", "list", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and "There are older ones; --limit 20 shows more." in said.err


def test_a_terminal_gets_a_table_with_the_whole_id(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(running)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["jobs", "list"]) == 0
    assert job in capsys.readouterr().out


def test_show_says_what_failed_and_what_helps(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    job = a_job(running, bad=True)
    work_off(running)
    assert main(["jobs", "show", job[:12]]) == 0
    said = capsys.readouterr().out
    assert "2/3 done, 1 failed" in said and "otsu 1.0" in said
    assert said.count("bad.tif") == 1 and "[E106]" in said
    assert f"cellfleet jobs retry {job} --on {running.url}" in said
    assert f"cellfleet jobs fetch {job} -o results --on {running.url}" in said
    assert main(["jobs", "show", job, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == job


@pytest.mark.parametrize(("bad", "code"), [(False, 0), (True, 3)])
def test_watch_follows_to_the_end(running: Running, capsys: pytest.CaptureFixture[str], bad: bool, code: int) -> None:
    job = a_job(running, bad=bad)
    worker = threading.Thread(target=work_off, args=(running,))
    worker.start()
    assert main(["jobs", "watch", job]) == code
    worker.join()
    failed = int(bad)
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        said == f"{job}: {2 + failed}/{2 + failed} images · {'failed' if bad else 'done'} · 8 cells · {failed} failed"
    )
    assert main(["jobs", "watch", job, "--progress", "json"]) == code
    last = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"job"' in line][-1]
    assert (last["event"], last["done"], last["failed"], last["total"]) == ("job", 2, failed, 2 + failed)


def test_fetch_brings_the_folder_of_a_run(running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = a_job(running, bad=True)
    out = tmp_path / "out"
    assert main(["jobs", "fetch", job, "-o", str(out)]) == 0
    assert "The job is queued: 3 images are to come." in capsys.readouterr().err
    work_off(running)
    assert main(["jobs", "fetch", job, "-o", str(out)]) == 3
    assert "2 images with results, 1 failed" in capsys.readouterr().err
    for name in ("run.json", "report.html", "failures.csv"):
        assert (out / name).is_file()
    images = tmp_path / "images"
    for name in ("plate/a µ.tif", "b.tif"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(small_image())
    assert segment(images, "-o", tmp_path / "here") == 0
    assert results(out) == results(tmp_path / "here")


def test_jobs_are_changed_several_at_a_time(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [a_job(running), a_job(running)]
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert main(["jobs", action, *jobs]) == 0
        assert capsys.readouterr().err.splitlines() == [f"{job} is {state}." for job in jobs]
    work_off(running)
    assert main(["jobs", "watch", jobs[0]]) == 130
    assert main(["jobs", "pause", jobs[0]]) == 2
    capsys.readouterr()
    assert main(["jobs", "delete", *jobs, "--uploads"]) == 0
    assert list(running.store.names("sets")) == list(running.store.names("uploads")) == []
    assert main(["jobs", "show", jobs[0]]) == 2
    assert "[E810]" in capsys.readouterr().err


def test_retry_tries_what_failed(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    job = a_job(running, bad=True)
    work_off(running)
    assert main(["jobs", "retry", job]) == 0
    assert f"{job} is queued." in capsys.readouterr().err
    work_off(running)
    assert main(["jobs", "watch", job]) == 3


def test_recover_builds_a_lost_ledger_from_the_store(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    job, done = a_job(running), a_job(running)
    work_off(running)
    waiting = a_job(running)
    ledger: Ledger = running.service.ledger
    ledger._client.flushall()
    store = str(running.store.url)
    assert main(["jobs", "recover", "--store", store, "--ledger", ledger.url]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted([job, done, waiting])
    assert main(["jobs", "list", "--json"]) == 0
    states = {one["id"]: one["state"] for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert states == {job: "done", done: "done", waiting: "queued"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show"], "E971"),
        (["show", "a", "b"], "E971"),
        (["cancel"], "E971"),
        (["fetch", "a"], "E971"),
        (["recover"], "E971"),
        (["list", "a"], "E970"),
        (["show", "a", "-o", "b"], "E970"),
        (["show", "a", "--uploads"], "E970"),
        (["nothing"], "E001"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLFLEET_SERVER", "http://127.0.0.1:9")
    assert main(["jobs", *words]) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_without_a_server_it_is_said_how_to_have_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellfleet.cli.jobs._PATIENCE_SECONDS", 0.1)
    monkeypatch.delenv("CELLFLEET_SERVER", raising=False)
    monkeypatch.setattr("cellfleet.client.servers.HERE", "http://127.0.0.1:9")
    monkeypatch.setattr("cellfleet.client.connection.HERE", "http://127.0.0.1:9")
    assert main(["jobs"]) == 5
    said = capsys.readouterr().err
    assert "connection refused" in said and "Start it with 'cellfleet serve'" in said and "[E960]" in said
