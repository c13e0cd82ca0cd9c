"""A real service for tests: a private redis-server, a folder store, and uvicorn on a loopback port in a thread."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.server import private_server
from cellfleet.service.app import make_app
from cellfleet.service.connections import http_server
from cellfleet.service.limits import Limits
from cellfleet.service.state import Service, Settings, open_service
from cellfleet.spec.access import NewToken, Quota, Role
from cellfleet.stores.place import FolderPlace, Place

START_SECONDS = 30
LEASE_SECONDS = 2.0


@dataclass
class Running:
    """A service that answers at `url`."""

    url: str
    service: Service
    stop_ledger: Callable[[], None]
    """Ends the server of the ledger."""
    _clients: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def store(self) -> Place:
        """What the service keeps."""
        return self.service.store

    def token(self, user: str, role: Role = "user", quota: Quota | None = None) -> str:
        """Return a new token of a user."""
        given = {} if quota is None else {"quota": quota}
        return self.service.access.make_token(NewToken(user=user, role=role, **given)).token

    def client(self, user: str | None = None, role: Role = "user", *, token: str | None = None) -> httpx2.Client:
        """Return a client: of a user with a new token, with this token, or of nobody. It is closed with the service."""
        token = self.token(user, role) if user else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._clients.enter_context(httpx2.Client(base_url=self.url, headers=headers, timeout=START_SECONDS))


@contextlib.contextmanager
def running_service(
    tmp_path: Path,
    *,
    store: Place | None = None,
    login: bool = False,
    settings: Settings | None = None,
    limits: Limits | None = None,
) -> Iterator[Running]:
    """Run a service while the block runs.

    Args:
        tmp_path: For its data: the store is in ``tmp_path / "store"``.
        store: Another store.
        login: Whether tokens are needed.
        settings: All other settings; None: as they are by default.
        limits: What a request may cost; None: as usual.
    """
    # A test's own folder may be too deep for the socket of redis.
    with tempfile.TemporaryDirectory(prefix="cellfleet-test-") as short, private_server(Path(short) / "l") as server:
        ledger = Ledger(server.url, lease_seconds=LEASE_SECONDS)
        store = store or FolderPlace(tmp_path / "store")
        service = open_service(store, ledger, replace(settings or Settings(), login=login), cache=tmp_path / "cache")
        with answering(service, limits or Limits()) as url:
            running = Running(url, service, server.stop)
            with running._clients:
                yield running
        ledger.close()


@contextlib.contextmanager
def answering(service: Service, limits: Limits) -> Iterator[str]:
    """Serve HTTP on a free port of loopback, in a thread, while the block runs; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = http_server(make_app(service, limits), limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "uvicorn answers")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        service.stopping.set()
        server.should_exit = True
        thread.join(START_SECONDS)


def wait_until(true: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until something is true; fail with `what` did not come to pass otherwise."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"it did not come to pass in {seconds:g} s that {what}"
        time.sleep(0.01)
