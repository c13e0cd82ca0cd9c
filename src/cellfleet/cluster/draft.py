"""A new description: what is not said is asked, with a default, or found out from the provider.

Knows no terminal: whoever calls brings a way to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cellfleet.cluster.programs import Command, Run, parsed
from cellfleet.errors import ClusterError
from cellfleet.planning.cluster_costs import cluster_costs
from cellfleet.spec.cluster import PROVIDER_NAMES, ClusterSpec, GpuPool
from cellfleet.spec.cluster_file import check_cluster
from cellfleet.spec.machines import GKE_ACCELERATORS, Where, gpu_types


@dataclass(frozen=True)
class Question:
    """One question, and what is taken where there is no answer."""

    field: str
    text: str
    why: str
    default: str
    choices: tuple[str, ...] = ()


Ask = Callable[[Question], str]
_REGIONS: Mapping[Where, str] = {"gke": "us-west1", "eks": "us-west-2", "aks": "westus2", "kubeconfig": ""}


def draft(said: Mapping[str, Any], ask: Ask, run: Run) -> ClusterSpec:
    """Return a description.

    Args:
        said: What is known already, by field (``gpu``: the type, ``max_gpus`` …); None where it is not.
        ask: Asks for the rest.
        run: Calls the provider's programs to find defaults; where they fail there is none.

    Raises:
        UsageError: E711, an answer cannot be.
    """
    known = {name: value for name, value in said.items() if value is not None}
    where = _where(known, ask)
    fields: dict[str, Any] = {"where": where, **{key: known[key] for key in _AS_SAID if key in known}}
    if where == "kubeconfig":
        why = "the entry of the kubeconfig; 'kubectl config get-contexts' lists them"
        fields["context"] = known.get("context") or ask(Question("context", "Which Kubernetes?", why, _context(run)))
    else:
        _ask_place(fields, known, where, ask, run)
    _ask_gpu(fields, known, where, ask, run)
    if not known.get("bucket"):
        why = "for images, models, jobs and results; kept when the cluster goes"
        known["bucket"] = ask(Question("bucket", "Which bucket?", why, _bucket(fields)))
    fields["bucket"] = known["bucket"]
    if "budget_per_month" not in known:
        why = "USD a month after which no work is begun; empty: no limit"
        fields["budget_per_month"] = ask(Question("budget_per_month", "Budget?", why, "")) or None
    return check_cluster({name: value for name, value in fields.items() if value not in ("", None)}, "the answers")


def _where(known: Mapping[str, Any], ask: Ask) -> Where:
    why = "; ".join(f"{key}: {name}" for key, name in PROVIDER_NAMES.items())
    where = known.get("where") or ask(Question("where", "Where shall it run?", why, "gke", tuple(PROVIDER_NAMES)))
    if where not in PROVIDER_NAMES:
        check_cluster({"where": where}, "the answers")
    return cast(Where, where)


_AS_SAID = ("name", "secret", "mode", "autoscaling", "budget_per_month", "retention_days", "address", "image")


def _ask_place(fields: dict[str, Any], known: Mapping[str, Any], where: Where, ask: Ask, run: Run) -> None:
    config = _gcloud_config(run) if where == "gke" else {}
    if where in {"gke", "aks"}:
        text = "Which project pays?" if where == "gke" else "Which resource group?"
        default = config.get("core", {}).get("project", "") or ("" if where == "gke" else "cellfleet")
        fields["project"] = known.get("project") or ask(Question("project", text, "it is made there", default))
    default = config.get("compute", {}).get("region", "") or _REGIONS[where]
    why = "near you, and where the bucket is: bytes between regions cost"
    fields["region"] = known.get("region") or ask(Question("region", "Which region?", why, default))


def _ask_gpu(fields: dict[str, Any], known: Mapping[str, Any], where: Where, ask: Ask, run: Run) -> None:
    types = (*gpu_types(where), "none")
    why = _prices(fields, where) or "none: processors do all the work"
    gpu = known.get("gpu") or ask(Question("gpu", "Which GPU?", why, "t4" if "t4" in types else types[0], types))
    gpu, _, suffix = gpu.partition("-")
    if where == "gke":
        fields["zones"] = known.get("zones") or _zones(fields, gpu, ask, run)
    elif known.get("zones"):
        fields["zones"] = known["zones"]
    if gpu == "none":
        fields["cpu"] = {"max": known.get("max_cpus", 4)}
        return
    spot = known.get("spot", where != "kubeconfig") if suffix != "spot" else True
    most = known.get("max_gpus") or ask(Question("gpu.max", "How many GPUs at most?", "the bound of cost", "4"))
    fields["gpu"] = {"type": gpu, "spot": spot, "min": known.get("min_gpus", 0), "max": most}
    if where == "kubeconfig":
        fields["cpu"] = {"max": known.get("max_cpus", 4), "spot": False}
    else:
        # Beside GPUs, processors are worth their money only in split mode.
        fields["cpu"] = {"max": known.get("max_cpus", 4 if known.get("mode") == "split" else 0)}


def _prices(fields: Mapping[str, Any], where: Where) -> str:
    """Return what machines with each GPU cost there."""
    if where == "kubeconfig":
        return ""
    bucket = {"gke": "gs://x1", "eks": "s3://x1", "aks": "az://x@x.blob.core.windows.net"}[where]
    told = []
    for gpu in gpu_types(where):
        spec = ClusterSpec(
            where=where, project=None if where == "eks" else "x1", region=fields["region"], bucket=bucket,
            zones=(f"{fields['region']}-a",) if where == "gke" else (), gpu=GpuPool(type=gpu, max=1),
        )  # fmt: skip
        part = cluster_costs(spec).part("GPU machine")
        if part and part.usd_per_hour is not None:
            told.append(f"{gpu} ${part.usd_per_hour:.2f} an hour{' (' + part.note + ')' if part.note else ' as spot'}")
    return "; ".join(told)


def _zones(fields: Mapping[str, Any], gpu: str, ask: Ask, run: Run) -> Sequence[str]:
    region, there = str(fields["region"]), list[str]()
    if gpu in GKE_ACCELERATORS:
        kind = next(name for key, name in GKE_ACCELERATORS.items() if key == gpu)
        look: Command = (
            *("gcloud", "compute", "accelerator-types", "list", f"--filter=name={kind}"),
            *(f"--project={fields['project']}", "--format=json", "--quiet"),
        )
        entries = _told(run, look) or ()
        names = (str(entry.get("zone", "")).rsplit("/", maxsplit=1)[-1] for entry in entries)
        there = sorted(name for name in names if name.startswith(f"{region}-"))
    why = (
        f"this GPU is in {', '.join(there)}"
        if there
        else "of the region; more than one finds spare machines more often"
    )
    answer = ask(Question("zones", "Which zones?", why, ", ".join(there[:3]) or f"{region}-b"))
    return [zone.strip() for zone in answer.split(",") if zone.strip()]


def _bucket(fields: Mapping[str, Any]) -> str:
    owner = fields.get("project") or fields.get("name") or "lab"
    return {
        "gke": f"gs://{owner}-cellfleet",
        "eks": "s3://",
        "aks": f"az://cellfleet@{str(owner).replace('-', '')}cells.blob.core.windows.net",
        "kubeconfig": "s3://",
    }[str(fields["where"])]


def _gcloud_config(run: Run) -> dict[str, Any]:
    return _told(run, ("gcloud", "config", "list", "--format=json", "--quiet")) or {}


def _context(run: Run) -> str:
    try:
        return run(("kubectl", "config", "current-context")).out.strip()
    except ClusterError:
        return ""


def _told(run: Run, look: Command) -> Any:
    """Return what a program tells; None where it cannot: then there is no default."""
    try:
        return parsed(run(look), look)
    except ClusterError:
        return None
