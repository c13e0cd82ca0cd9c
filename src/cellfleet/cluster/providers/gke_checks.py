"""What Google can tell before a cluster is made: login, project, bucket, where there are GPUs, and what is granted.

A quota of spare ("preemptible") GPUs counts where there is one; where it is 0, spare GPUs count against the quota of
others (Google's page "GPU quotas"). Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cellfleet.cluster.checks import Check, programs
from cellfleet.cluster.programs import Run, parsed
from cellfleet.cluster.providers import gke
from cellfleet.errors import ClusterError
from cellfleet.spec.cluster import ClusterSpec, GpuPool
from cellfleet.spec.cluster_http import Granted, GrantedFile
from cellfleet.spec.machines import GKE_ACCELERATORS, gpu_types

_PROGRAMS: Final = ("gcloud", "gke-gcloud-auth-plugin", "kubectl", "helm")
_QUOTAS: Final = "https://console.cloud.google.com/iam-admin/quotas"


def check(spec: ClusterSpec, run: Run) -> list[Check]:
    """Look at everything that can be looked at; stops early where the rest could not be asked."""
    checks = programs(_PROGRAMS)
    if any(check.name == "gcloud" and check.state == "wrong" for check in checks):
        return checks
    for look in (_login, _project):
        checks.append(look(spec, run))
        if checks[-1].state == "wrong":
            return checks
    for look in (_bucket, _gpu_there, _quota, _addresses):
        try:
            checks.append(look(spec, run))
        except ClusterError as error:
            name = look.__name__.strip("_").replace("_", " ")
            checks.append(Check(name, "note", f"could not be looked at: {error.what}"))
    return checks


def _login(spec: ClusterSpec, run: Run) -> Check:
    look = ("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=json", "--quiet")
    accounts = parsed(run(look), look) or ()
    if not accounts:
        return Check("login", "wrong", "nobody is logged in", "gcloud auth login")
    return Check("login", "ok", str(accounts[0].get("account", "ok")))


def _project(spec: ClusterSpec, run: Run) -> Check:
    look = ("gcloud", "projects", "describe", str(spec.project), "--format=json", "--quiet")
    answer = run(look)
    if answer.code:
        action = "'gcloud projects list' shows yours; 'gcloud projects create' makes one"
        return Check("project", "wrong", f"{spec.project} cannot be used: {answer.words}", action)
    return Check("project", "ok", str(spec.project))


def _bucket(spec: ClusterSpec, run: Run) -> Check:
    look = ("gcloud", "storage", "buckets", "describe", gke.bucket(spec), "--format=json", "--quiet")
    here = parsed(run(look), look)
    if here is None:
        return Check("bucket", "ok", f"{gke.bucket(spec)} will be made")
    place = str(here.get("location", "")).lower()
    if place != spec.region:
        text = f"{gke.bucket(spec)} lies in {place}, the machines in {spec.region}: every byte between them costs"
        return Check("bucket", "note", text, "Choose that region, or another bucket")
    return Check("bucket", "ok", f"{gke.bucket(spec)} is there, in {place}")


def _gpu_there(spec: ClusterSpec, run: Run) -> Check:
    if spec.gpu is None:
        return Check("GPU", "ok", "none wanted")
    kind = GKE_ACCELERATORS.get(spec.gpu.type, spec.gpu.type)
    look = gke.gcloud(spec, "compute", "accelerator-types", "list", f"--filter=name={kind}")
    zones = {str(entry.get("zone", "")).rsplit("/", maxsplit=1)[-1] for entry in parsed(run(look), look) or ()}
    there = sorted(zone for zone in zones if zone.startswith(str(spec.region)))
    lacking = [zone for zone in spec.zones if zone not in zones]
    if lacking:
        action = f"Zones of {spec.region} that have it: {', '.join(there)}" if there else "Choose another region"
        return Check("GPU", "wrong", f"there is no {kind} in {', '.join(lacking)}", action)
    return Check("GPU", "ok", f"{kind} in {', '.join(spec.zones)}")


def _quota(spec: ClusterSpec, run: Run) -> Check:
    if spec.gpu is None or spec.gpu.max == 0:
        return Check("quota", "ok", "no GPU wanted")
    granted, metric = gpu_quota(_region(spec, run), spec.gpu)
    look = gke.gcloud(spec, "compute", "project-info", "describe")
    everywhere = _limit((parsed(run(look), look) or {}).get("quotas", ()), "GPUS_ALL_REGIONS")
    place = str(spec.region)
    if everywhere is not None and (granted is None or everywhere < granted):
        granted, metric, place = everywhere, "GPUS_ALL_REGIONS", "all regions"
    if granted is None:
        return Check("quota", "note", f"Google tells none for {spec.gpu.type.upper()} in {place}")
    if granted < spec.gpu.max:
        text = f"{metric} in {place} is {granted:g}, but the file wants {spec.gpu.max} GPUs"
        fewer = f", or set gpu.max to {granted:g}" if granted >= 1 else ", or do without a GPU (gpu: null)"
        return Check("quota", "wrong", text, f"Ask Google for {spec.gpu.max} at {_QUOTAS}{fewer}", "E715")
    return Check("quota", "ok", f"{metric} {granted:g} ≥ {spec.gpu.max}")


def _addresses(spec: ClusterSpec, run: Run) -> Check:
    wanted = 1 + spec.cpu.max + (spec.gpu.max if spec.gpu else 0)
    granted = _limit(_region(spec, run), "IN_USE_ADDRESSES")
    if granted is not None and granted < wanted:
        text = f"IN_USE_ADDRESSES in {spec.region} is {granted:g}: so many of {wanted} machines can run at a time"
        return Check("addresses", "note", text, f"Ask Google for {wanted} at {_QUOTAS}")
    return Check("addresses", "ok", f"for {wanted} machines")


def gpu_quota(quotas: Any, gpu: GpuPool) -> tuple[float | None, str]:
    """Return how many such GPUs a region grants, and the name of the quota that says so."""
    metric = f"NVIDIA_{gpu.type.upper()}_GPUS"
    spare = f"PREEMPTIBLE_{metric}"
    limit = _limit(quotas, spare) if gpu.spot else None
    return (limit, spare) if limit else (_limit(quotas, metric), metric)


def granted(spec: ClusterSpec, run: Run) -> GrantedFile:
    """Return what the region grants of each GPU, for those who cannot ask Google; what it does not tell is left out."""
    try:
        quotas = _region(spec, run)
    except ClusterError:
        quotas = ()
    told = {}
    for gpu in gpu_types("gke"):
        spot, _ = gpu_quota(quotas, GpuPool(type=gpu, spot=True))
        on_demand, _ = gpu_quota(quotas, GpuPool(type=gpu, spot=False))
        if on_demand is not None or spot is not None:
            told[gpu] = Granted(spot=_whole(spot), on_demand=_whole(on_demand))
    return GrantedFile(region=str(spec.region), gpus=told)


def _whole(limit: float | None) -> int | None:
    # Google tells -1 where there is no limit.
    return None if limit is None or limit < 0 else int(limit)


def _region(spec: ClusterSpec, run: Run) -> Any:
    look = gke.gcloud(spec, "compute", "regions", "describe", str(spec.region))
    return (parsed(run(look), look) or {}).get("quotas", ())


def _limit(quotas: Any, metric: str) -> float | None:
    found: Mapping[str, Any] = next((entry for entry in quotas if entry.get("metric") == metric), {})
    return float(found["limit"]) if "limit" in found else None
