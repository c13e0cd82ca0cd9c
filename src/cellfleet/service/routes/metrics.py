"""The page for Prometheus. Where the service asks for tokens, Prometheus needs one, too."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response

from cellfleet.observe import metrics
from cellfleet.service.context import Asking
from cellfleet.service.levels import Gauge

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response)
def metrics_page(request: Request, user: Asking) -> Response:
    """Tell what the service and its workers did, and how much waits; docs/reference/metrics.md explains it."""
    gauge = cast(Gauge, request.app.state.levels)
    content, kind = metrics.page(gauge.read(), ledger=True)
    return Response(content, headers={"Content-Type": kind})
