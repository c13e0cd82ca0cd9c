"""Who answers, and who asks."""

from __future__ import annotations

from fastapi import APIRouter

import cellfleet
from cellfleet.service import direct_uploads
from cellfleet.service.context import Asking, Shared
from cellfleet.spec.http import About

router = APIRouter(tags=["about"])


@router.get("/api/v1/about")
def about(service: Shared, user: Asking) -> About:
    """Tell the version, who asks, and what they may use and do use."""
    return About(
        cellfleet=cellfleet.__version__,
        user=user.name,
        role=user.role,
        login=service.settings.login,
        quota=user.quota,
        used_bytes=service.ledger.used(user.name),
        running_jobs=service.ledger.running(user.name),
        direct_uploads=direct_uploads.offered(service.store),
    )
