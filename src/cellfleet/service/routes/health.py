"""Whether the process lives, and whether it can serve: for supervisors and load balancers. Needs no login."""

from __future__ import annotations

import threading
import time
from typing import Final

from fastapi import APIRouter, Request

from cellfleet.errors import CellfleetError, LedgerError, OutputError, ServiceError
from cellfleet.service.context import Shared
from cellfleet.service.state import Service
from cellfleet.spec.http import Health

_BELIEVED_SECONDS: Final = 1.0

router = APIRouter(prefix="/health", tags=["health"])


class Readiness:
    """Asks ledger and store at most once per second, however often it is asked: nobody needs a token for that."""

    def __init__(self, service: Service) -> None:
        """Take the service; nothing is asked yet."""
        self._service = service
        self._lock = threading.Lock()
        self._until = 0.0
        self._fault: CellfleetError | None = None

    def fault(self) -> CellfleetError | None:
        """Return why the service cannot serve; None: it can."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._fault = self._look()
                self._until = time.monotonic() + _BELIEVED_SECONDS
            return self._fault

    def _look(self) -> CellfleetError | None:
        try:
            self._service.ledger.ping()
            self._service.store.write("access/ready", str(time.time_ns()).encode())
        except (LedgerError, OutputError) as error:
            return error
        return None


@router.get("/live")
async def live() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get("/ready")
def ready(request: Request, service: Shared) -> Health:
    """Say whether the ledger answers and the store can be written; 503 if not, or if the service is about to stop."""
    if service.stopping.is_set():
        raise ServiceError("E906", "the service is about to stop", status=503)
    fault = request.app.state.readiness.fault()
    if fault is not None:
        raise ServiceError(fault.code, fault.what, status=503, where=fault.where, action=fault.action)
    return Health(status="ok")
