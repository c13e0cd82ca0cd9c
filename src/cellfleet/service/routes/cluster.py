"""The description of the cluster, for administrators: read, reviewed, saved; applied by `cellfleet cluster up` alone.

The service runs nothing of the provider's; what that grants stands in the store, where `up` has left it.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header
from pydantic import ValidationError

from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.planning.cluster_changes import consequences
from cellfleet.planning.cluster_costs import cluster_costs
from cellfleet.planning.prices import Prices, load_prices
from cellfleet.service.context import Admin, Shared
from cellfleet.service.state import Service
from cellfleet.spec.cluster import ClusterSpec, GpuPool
from cellfleet.spec.cluster_file import GRANTED, IN_STORE, check_cluster, diff_cluster, parse_cluster, write_cluster
from cellfleet.spec.cluster_http import (
    ClusterMoney,
    ClusterNow,
    ClusterReview,
    ClusterState,
    GpuOffer,
    Granted,
    GrantedFile,
    NewCluster,
)
from cellfleet.spec.machines import GpuType, gpu_types
from cellfleet.stores.url import child

router = APIRouter(prefix="/api/v1/admin/cluster", tags=["admin"])

_NONE: Final = "none"
_saving = threading.Lock()
"""Of two who save at once in this process, one is told that the other was first."""


@dataclass(frozen=True)
class _Kept:
    """The file in the store."""

    text: str
    version: str
    spec: ClusterSpec | None
    problem: str


@router.get("")
def get_cluster(service: Shared, admin: Admin) -> ClusterState:
    """Return the description of the cluster that this service runs on, and what goes on."""
    return _state(service, _kept(service))


@router.post("/diff")
def review_cluster(service: Shared, admin: Admin, new: NewCluster) -> ClusterReview:
    """Tell what a changed description would do, without saving it."""
    before, after = _kept(service).spec, check_cluster(new.fields, "the form")
    table = _prices(service)
    return ClusterReview(
        text=write_cluster(after),
        diff=diff_cluster(before, after),
        sentences=consequences(before, after, table),
        refused=_refused(service, after),
        money=_money(after, table),
        offers=_offers(service, after, table),
    )


@router.put("")
def save_cluster(
    service: Shared, admin: Admin, new: NewCluster, if_match: Annotated[str | None, Header()] = None
) -> ClusterState:
    """Save a description; If-Match says which version was seen. `cellfleet cluster up` makes it so."""
    after = check_cluster(new.fields, "the form")
    refused = _refused(service, after)
    if refused:
        raise ServiceError("E715", refused, status=422, action="Choose fewer, or ask the provider for more")
    with _saving:
        seen = _kept(service).version
        if (if_match or "").strip('"') != seen:
            what = "the description has been changed since it was read" if if_match else "If-Match is not said"
            action = "Read it again, and look at the differences once more"
            raise ServiceError("E719", what, status=412 if if_match else 428, action=action)
        service.store.write(IN_STORE, write_cluster(after).encode())
    return _state(service, _kept(service))


def _kept(service: Service) -> _Kept:
    content = service.store.read(IN_STORE)
    if content is None:
        return _Kept("", _NONE, None, "")
    version = hashlib.sha256(content).hexdigest()[:16]
    text = content.decode("utf-8", "replace")
    try:
        return _Kept(text, version, parse_cluster(content, IN_STORE), "")
    except CellfleetError as error:
        return _Kept(text, version, None, str(error))


def _state(service: Service, kept: _Kept) -> ClusterState:
    table = _prices(service)
    return ClusterState(
        version=kept.version,
        cluster=kept.spec,
        problem=kept.problem,
        text=kept.text,
        address=child(service.store.url, IN_STORE),
        now=_now(service, kept.spec, table),
        money=_money(kept.spec, table) if kept.spec else None,
        offers=_offers(service, kept.spec, table) if kept.spec else (),
    )


def _now(service: Service, spec: ClusterSpec | None, table: Prices) -> ClusterNow:
    depths = service.ledger.depths().values()
    workers = service.ledger.workers_at_work()
    usd = None
    if spec:
        costs = cluster_costs(spec, table)
        part = costs.part("GPU machine" if spec.gpu and spec.gpu.max else "CPU machine")
        most = spec.gpu.max if spec.gpu and spec.gpu.max else spec.cpu.max
        usd = costs.idle + min(workers, most) * ((part.usd_per_hour or 0.0) if part else 0.0)
    return ClusterNow(
        workers=workers,
        queued=sum(queued for queued, _ in depths),
        in_flight=sum(leased for _, leased in depths),
        usd_per_hour=usd,
    )


def _money(spec: ClusterSpec, table: Prices) -> ClusterMoney:
    costs = cluster_costs(spec, table)
    return ClusterMoney(
        idle_usd_per_hour=costs.idle,
        full_usd_per_hour=costs.full,
        unknown=costs.unknown,
        priced=costs.priced.isoformat() if costs.priced else "",
    )


def _offers(service: Service, spec: ClusterSpec, table: Prices) -> tuple[GpuOffer, ...]:
    """Return the GPUs that there are where the description wants its machines, with price and grant."""
    granted = _granted(service, spec)
    return tuple(
        GpuOffer(
            type=gpu,
            machine=_with(spec, gpu, spot=True).gpu_machine,
            usd_per_hour_spot=_price(_with(spec, gpu, spot=True), table),
            usd_per_hour_on_demand=_price(_with(spec, gpu, spot=False), table),
            granted=granted.get(gpu, Granted()),
        )
        for gpu in gpu_types(spec.where)
    )


def _with(spec: ClusterSpec, gpu: GpuType, *, spot: bool) -> ClusterSpec:
    return spec.model_copy(update={"gpu": GpuPool(type=gpu, spot=spot, max=1)})


def _price(spec: ClusterSpec, table: Prices) -> float | None:
    part = cluster_costs(spec, table).part("GPU machine")
    return part.usd_per_hour if part else None


def _granted(service: Service, spec: ClusterSpec) -> dict[GpuType, Granted]:
    content = service.store.read(GRANTED)
    try:
        told = GrantedFile.model_validate_json(content) if content else None
    except ValidationError:
        return {}
    # What one region grants says nothing of another.
    return dict(told.gpus) if told and told.region == spec.region else {}


def _refused(service: Service, spec: ClusterSpec) -> str:
    if spec.gpu is None:
        return ""
    granted = _granted(service, spec).get(spec.gpu.type, Granted())
    most = granted.spot if spec.gpu.spot else granted.on_demand
    if most is None or spec.gpu.max <= most:
        return ""
    kind = "spot" if spec.gpu.spot else "on demand"
    return f"{spec.region} grants {most} {spec.gpu.type.upper()} {kind}, and {spec.gpu.max} are wanted"


def _prices(service: Service) -> Prices:
    return load_prices(service.settings.prices)
