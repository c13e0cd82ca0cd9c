"""Whether the process lives, and whether it can serve: for supervisors and load balancers. Needs no login."""

from __future__ import annotations

import time

from fastapi import APIRouter

from cellfleet.errors import CellfleetError, LedgerError, OutputError, ServiceError
from cellfleet.service.context import Shared
from cellfleet.spec.http import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get("/ready")
def ready(service: Shared) -> Health:
    """Say whether the ledger answers and the store can be written; 503 if not, or if the service is about to stop."""
    if service.stopping.is_set():
        raise ServiceError("E906", "the service is about to stop", status=503)
    try:
        service.ledger.ping()
        service.store.write("access/ready", str(time.time_ns()).encode())
    except (LedgerError, OutputError) as error:
        raise _not_ready(error) from error
    return Health(status="ok")


def _not_ready(error: CellfleetError) -> ServiceError:
    return ServiceError(error.code, error.what, status=503, where=error.where, action=error.action)
