"""A service in a process of its own, for tests that kill it: python -m tests.upload_server STORE LEDGER PORT."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import uvicorn

from cellfleet.jobs.ledger import Ledger
from cellfleet.service.app import make_app
from cellfleet.service.state import Settings, open_service
from cellfleet.stores.place import open_place


def main() -> None:
    """Serve until killed."""
    store, ledger, port = sys.argv[1:]
    with tempfile.TemporaryDirectory() as cache:
        service = open_service(open_place(store), Ledger(ledger), Settings(login=False), cache=Path(cache))
        uvicorn.run(make_app(service), host="127.0.0.1", port=int(port), log_level="critical")


if __name__ == "__main__":
    main()
