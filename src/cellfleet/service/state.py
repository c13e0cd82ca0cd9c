"""What all routes share: the store, the ledger, who may do what, and the settings. Knows no HTTP."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from cellfleet.jobs.cashier import Cashier
from cellfleet.jobs.desk import Desk
from cellfleet.jobs.ledger import Ledger
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.planning.bill import Tariff
from cellfleet.planning.prices import load_prices
from cellfleet.service.access import UNLIMITED, Access
from cellfleet.spec.access import Quota
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
    default_quota: Quota = UNLIMITED
    largest_upload: int = 1 << 40
    """Bytes."""
    user_header: str | None = None
    """Name of the header in which an authenticating proxy says who asks; None: nobody is believed."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses from which that header is believed."""
    budget_usd: float | None = None
    """For the jobs of a month: when it is reached all are paused."""
    retention_days: int | None = None
    """How long jobs and uploads are kept after their end; None: for ever."""
    prices: str | None = None
    """Price table: a name, or the path of a file; None: the newest of the package."""
    trains: bool = False
    """Whether a trainer is kept beside the service, so that training runs can be taken."""


@dataclass(frozen=True)
class Service:
    """What all routes share. Every attribute may be used from several threads."""

    store: Place
    ledger: Ledger
    desk: Desk
    models: Repository
    warm: WarmModels
    """Models that this process predicts with itself: for previews, and by the Open Inference Protocol."""
    access: Access
    cashier: Cashier
    settings: Settings = field(default_factory=Settings)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the process is about to end: whoever streams without end (events) ends then."""


def open_service(store: Place, ledger: Ledger, settings: Settings, *, cache: Path) -> Service:
    """Put a service together; nothing is started and nothing read.

    Args:
        store: Uploads, jobs, results, models, tokens.
        ledger: Who works on what.
        settings: How it behaves.
        cache: Local folder for models that were fetched from the store.

    Raises:
        UsageError: E743, E744, the price table cannot be used.
    """
    models = Repository(store, cache)
    access = Access(store, settings.default_quota)
    desk = Desk(store, ledger, models)
    cashier = Cashier(desk, Tariff(load_prices(settings.prices)), settings.budget_usd)
    return Service(store, ledger, desk, models, WarmModels(models), access, cashier, settings)
