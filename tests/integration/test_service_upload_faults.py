"""A server that is killed, or whose disk is full, while it takes an upload: it keeps what it says, and goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.services import running_service, wait_until
from tests.tus import Tus, sha256

from cellfleet.jobs.server import private_server
from cellfleet.stores.place import Place, open_place

ROOT = Path(__file__).parents[2]
DATA = os.urandom(1 << 20) * 24


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    return f"{request.getfixturevalue('bucket')}/store" if request.param == "s3" else str(tmp_path / "store")


@contextlib.contextmanager
def server(store: str, ledger: str) -> Iterator[tuple[subprocess.Popen[bytes], Tus]]:
    """Run a service in a process of its own; it is killed at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = [sys.executable, "-m", "tests.upload_server", store, ledger, str(port)]
    with subprocess.Popen(words, cwd=ROOT) as process, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            wait_until(lambda: process.poll() is not None or _answers(port), "the service answers")
            yield process, Tus(client)
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _arrived(place: Place) -> int:
    names = [name for name in place.names("incoming") if not name.endswith(".json")]
    return sum(place.size(name) or 0 for name in names)


@pytest.mark.slow
def test_a_killed_server_has_kept_what_it_says_and_the_file_becomes_whole(store: str, tmp_path: Path) -> None:
    place = open_place(store)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(private_server(tmp_path / "ledger")).url
        with server(store, ledger) as (process, tus):
            into = tus.new_set()
            address = tus.announced(into, "a.tif", len(DATA), sha256=sha256(DATA))
            killed = threading.Event()

            def slowly() -> Iterator[bytes]:
                yield DATA[: 17 << 20]
                killed.wait(30)

            def send() -> None:
                with contextlib.suppress(httpx2.TransportError):
                    tus.append(address, 0, slowly())  # type: ignore[arg-type]

            thread = threading.Thread(target=send)
            thread.start()
            wait_until(lambda: _arrived(place) >= 16 << 20, "something has arrived")
            process.kill()
            process.wait()
            killed.set()
            thread.join()
        arrived = _arrived(place)
        with server(store, ledger) as (_, tus):
            assert tus.offset(address) == arrived
            assert tus.append(address, arrived, DATA[arrived:]).status_code == 204
            assert tus.files(into) == {"a.tif": len(DATA)}
    assert place.read(f"uploads/{into}/a.tif") == DATA


def test_a_full_disk_is_told_and_the_upload_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(tmp_path) as running:
        tus = Tus(running.client())
        into = tus.new_set()
        address = tus.announced(into, "a", len(DATA))
        with monkeypatch.context() as patch:
            real = os.fsync

            def full(descriptor: int) -> None:
                if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/data"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                real(descriptor)

            patch.setattr(os, "fsync", full)
            answer = tus.append(address, 0, DATA)
        assert (answer.status_code, answer.json()["code"]) == (507, "E301")
        assert tus.files(into) == {}
        start = tus.offset(address)
        assert tus.append(address, start, DATA[start:]).status_code == 204
        assert running.store.read(f"uploads/{into}/a") == DATA
