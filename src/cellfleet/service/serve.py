"""`cellfleet serve` as a whole: the HTTP server in a thread, its ledger and its workers as children, one supervisor.

    this process    HTTP (thread), keeper (thread), supervisor (main thread)
    ├── redis       unless another ledger is given
    ├── workers
    └── trainers

Children end with this process, however it ends: they watch a pipe. Stopping goes from the outside to the inside: no
more requests, workers finish or give back, the keeper ends, the ledger writes its file. Knows no command line.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cellfleet.errors import ServiceError, UsageError
from cellfleet.inference.threads import usable_threads
from cellfleet.jobs.keeper import Keeper
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import LedgerServer, start_server
from cellfleet.run.resources import fair_share
from cellfleet.service.app import make_app
from cellfleet.service.browsers import is_loopback
from cellfleet.service.connections import http_server
from cellfleet.service.limits import Limits
from cellfleet.service.state import Service, Settings, open_service
from cellfleet.service.supervisor import Kept, WorkerProcess, refuse_hopeless, stop_workers
from cellfleet.service.upkeep import Upkeep
from cellfleet.spec.access import NewToken
from cellfleet.spec.choices import Device
from cellfleet.spec.usage import Machine
from cellfleet.stores.place import open_place

if sys.platform != "win32":
    import resource

_LOOK_SECONDS = 0.1
"""Between two looks at the children."""
_GRACE_SECONDS = 30.0
"""For workers to finish what they have begun, when the service stops."""
_KILL_SECONDS = 5.0
"""Longer than that, for them to give the rest back."""
_OPEN_FILES = 65_536
_HOPELESS = frozenset({2, 4, 6})
"""Exit codes of the first workers that more attempts would not change: wrong words, no model, no such device."""

_log = logging.getLogger(__name__)

_Children = list[Kept[WorkerProcess]]
Say = Callable[[str], None]
"""Tells something to whoever started the service; never a log."""


@dataclass(frozen=True)
class ServeOptions:
    """What is served where."""

    data: Path
    """Folder for the store, the ledger and fetched models, as far as these are not elsewhere."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    ledger: str | None = None
    """Address of a Redis or Valkey server; None: a private one is started."""
    store: str | None = None
    """Folder or address; None: in `data`."""
    workers: int = 1
    """How many are started."""
    trainers: int | None = None
    """How many are started; None: one, where PyTorch is installed."""
    device: Device = "auto"
    memory_bytes: int | None = None
    """Of each worker; None: an equal share of what is free."""
    machine: Machine = field(default_factory=Machine)
    """What this runs on, for the bills."""
    log: Literal["text", "json"] | None = None
    """Of the workers, too."""

    @property
    def trainers_here(self) -> int:
        """How many trainers are started."""
        return int(importlib.util.find_spec("torch") is not None) if self.trainers is None else self.trainers

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.store or str((self.data / "store").resolve())


def serve(options: ServeOptions, settings: Settings, stop: threading.Event, say: Say) -> None:
    """Serve until `stop` is set.

    Args:
        options: What is served where.
        settings: How the service behaves; `login` and `public_url` are settled here.
        stop: Set by a handler of signals, say.
        say: Is told the first token, if one is made, and the address when the service is ready.

    Raises:
        UsageError: E911, the port is not to be had.
        LedgerError: E801–E809; E806 when another serves from the same folder.
        ServiceError: E912, the workers cannot start.
    """
    _allow_open_files()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(options.host, options.port))
        redis = None if options.ledger else stack.enter_context(_private_redis(options.data / "ledger"))
        url = redis.process.url if redis is not None else str(options.ledger)
        ledger = stack.enter_context(contextlib.closing(Ledger(url)))
        service = _open(options, settings, ledger, say)
        upkeep = Upkeep(service)
        keeper = Keeper(service.desk, cashier=service.cashier, also=upkeep.tasks)
        keeper.start()
        stack.callback(keeper.stop)
        if redis is not None:
            redis.started_again = partial(_rebuild, keeper, upkeep)
        workers, trainers = stack.enter_context(_workers(options, url))
        http = stack.enter_context(_answering(service, listener))
        say(f"Serving at {_address(options, service.settings, listener)} (Ctrl-C stops)")
        children: list[Kept[Any]] = [*([redis] if redis else []), *workers, *trainers]
        first = [worker.process for worker in workers]
        while not stop.wait(_LOOK_SECONDS):
            refuse_hopeless(first, _HOPELESS)
            for child in children:
                child.look()
            if not http.is_alive():
                raise ServiceError("E912", "the HTTP server has ended", status=500, action="The log tells why")


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens. Raises `UsageError` E911 when it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what, action = "another program listens there", "Stop it, or choose another port with --port"
        else:
            what, action = f"cannot listen there ({error.strerror})", "Choose another --host or --port"
        raise UsageError("E911", what, where=f"{host}:{port}", action=action) from error
    with listener:
        yield listener


def _allow_open_files() -> None:
    """Raise the number of files that this process may open as far as it may; each connection is one."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _rebuild(keeper: Keeper, upkeep: Upkeep) -> None:
    """Have the ledger rebuilt, whose server was started again: at least its last second may be lost."""
    keeper.recover()
    upkeep.ledger_was_lost()


@contextlib.contextmanager
def _private_redis(folder: Path) -> Iterator[Kept[LedgerServer]]:
    def start() -> LedgerServer:
        server = start_server(folder)
        for notice in server.notices:
            _log.warning("%s", notice)
        return server

    redis = Kept("the ledger's server", start)
    redis.begin()
    try:
        yield redis
    finally:
        redis.process.stop()


def _open(options: ServeOptions, settings: Settings, ledger: Ledger, say: Say) -> Service:
    """Put the service together; make the first token where one is needed and there is none."""
    store = open_place(options.store_url)
    service = open_service(store, ledger, settings, cache=options.data / "cache")
    tokens = bool(service.access.tokens())
    public = not is_loopback(options.host)
    if public and not tokens:
        made = service.access.make_token(NewToken(user="admin", role="admin", note="made at the first start"))
        say(f"The first token, for the administrator (it is not shown again): {made.token}")
    login = public or tokens or settings.user_header is not None or settings.public_url is not None
    return replace(service, settings=replace(settings, login=login, trains=options.trainers_here > 0))


def _worker_command(options: ServeOptions, ledger: str) -> list[str]:
    words = ["worker", "--ledger", ledger, "--store", options.store_url, "--device", options.device]
    return [*words, "--grace", f"{_GRACE_SECONDS:g}", *_shares(options), *_billed(options.machine)]


def _trainer_command(options: ServeOptions) -> list[str]:
    return ["trainer", "--store", options.store_url, "--device", options.device]


@contextlib.contextmanager
def _workers(options: ServeOptions, ledger: str) -> Iterator[tuple[_Children, _Children]]:
    """Keep workers and trainers alive while the block runs."""
    environment = {**os.environ, "CELLFLEET_CACHE": str((options.data / "cache").resolve())}
    if options.log is not None:
        environment["CELLFLEET_LOG"] = options.log

    def kept(name: str, words: Sequence[str]) -> Kept[WorkerProcess]:
        command = [sys.executable, "-m", "cellfleet", *words, "--with-parent"]
        return Kept(name, lambda: WorkerProcess(command, environment, stop_seconds=_GRACE_SECONDS + _KILL_SECONDS))

    workers = [kept(f"worker {number + 1}", _worker_command(options, ledger)) for number in range(options.workers)]
    trainers = [kept(f"trainer {number + 1}", _trainer_command(options)) for number in range(options.trainers_here)]
    begun: list[Kept[WorkerProcess]] = []
    try:
        for child in (*workers, *trainers):
            child.begin()
            begun.append(child)
        yield workers, trainers
    finally:
        stop_workers([child.process for child in begun])


def _billed(machine: Machine) -> list[str]:
    words = {"--machine": machine.name, "--region": machine.region}
    given = [word for option, value in words.items() if value for word in (option, value)]
    return [*given, "--spot"] if machine.spot else given


def _shares(options: ServeOptions) -> list[str]:
    """Return the options that divide this machine among several workers."""
    memory, words = options.memory_bytes, []
    if options.workers > 1:
        words = ["--threads", str(max(1, usable_threads() // options.workers))]
        free = fair_share()
        memory = memory or (None if free is None else free // options.workers)
    return words if memory is None else [*words, "--memory", str(memory)]


@contextlib.contextmanager
def _answering(service: Service, listener: socket.socket) -> Iterator[threading.Thread]:
    """Answer HTTP in a thread while the block runs."""
    limits = Limits()
    server = http_server(make_app(service, limits), limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(_LOOK_SECONDS)
        yield thread
    finally:
        service.stopping.set()
        server.should_exit = True
        thread.join(limits.stop_seconds + _KILL_SECONDS)


def _address(options: ServeOptions, settings: Settings, listener: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return settings.public_url or f"http://{host}:{listener.getsockname()[1]}"
