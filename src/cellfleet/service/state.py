"""What all routes share: the store, the ledger, who may do what, and the settings. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field

from cellfleet.jobs.desk import Desk
from cellfleet.jobs.ledger import Ledger
from cellfleet.models.repository import Repository
from cellfleet.service.access import Access
from cellfleet.spec.http import Quota
from cellfleet.stores.place import Place


@dataclass(frozen=True)
class Settings:
    """How the service behaves; read once, at start."""

    login: bool = True
    """Whether a token is needed. Off only where nobody but this machine can connect."""
    public_url: str | None = None
    """How clients reach the service, for links; None: as the request says."""
    allowed_inputs: tuple[str, ...] = ()
    """Addresses and paths below which jobs may read and write with the server's own rights; admins too."""
    kiosk_user: str | None = None
    """Who owns what comes through the kiosk's routes, which know no login; None: they are closed."""
    default_quota: Quota = Quota()
    largest_upload: int = 1 << 40
    """Bytes."""


@dataclass(frozen=True)
class Service:
    """What all routes share. Every attribute may be used from several threads."""

    store: Place
    ledger: Ledger
    desk: Desk
    models: Repository
    access: Access
    settings: Settings = field(default_factory=Settings)
