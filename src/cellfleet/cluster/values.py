"""`ClusterSpec` → values of the Helm chart in ``deploy/chart``, whose schema refuses what it does not know.

Says only what differs from the chart's own defaults. Knows no command.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from cellfleet.cluster.providers import gke
from cellfleet.planning.cluster_costs import gpu_machine
from cellfleet.spec import machines
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool

PROMETHEUS: Final = "http://prometheus-kube-prometheus-prometheus.monitoring:9090"
"""Of the release ``prometheus`` of the chart kube-prometheus-stack in the namespace ``monitoring``."""
_PORTS: Final = {"gke": [443, 80, 988], "eks": [443, 80]}
"""What pods may reach besides each other. 988: the identity of pods on GKE; 80: the metadata of nodes."""


def helm_values(spec: ClusterSpec) -> dict[str, Any]:
    """Return the values for a cluster."""
    split = spec.mode == "split"
    platform = "" if spec.where == "kubeconfig" else spec.where
    values: dict[str, Any] = {
        "mode": spec.mode,
        "platform": platform,
        "image": _said(repository=spec.image.repository, tag=spec.image.tag),
        "store": _said(url=spec.bucket, existingSecret=spec.secret, environment=_environment(spec)),
        "billing": _said(region=spec.region, budgetPerMonth=spec.budget_per_month),
        "serviceAccount": _account(spec),
        "workers": {"cpu": _cpu_workers(spec), "gpu": _gpu_workers(spec, enabled=not split)},
        "autoscaling": _said(policy=spec.autoscaling, prometheus=PROMETHEUS if spec.autoscaling == "paper" else None),
    }
    if split and spec.gpu:
        values["triton"] = _triton(spec, spec.gpu)
    values["api"] = _said(retentionDays=spec.retention_days)
    if spec.address:
        values["api"]["ingress"] = {"enabled": True, "host": spec.address, "tlsSecret": f"{spec.name}-tls"}
    if spec.autoscaling == "paper":
        on = dict.fromkeys(("monitors", "rules", "dashboards"), True)
        values["monitoring"] = {**on, "labels": {"release": "prometheus"}}
    if platform in _PORTS:
        values["networkPolicies"] = {"ports": _PORTS[platform]}
    return values


def values_yaml(spec: ClusterSpec) -> str:
    """Return the values as the text of a file."""
    head = f"# Values of the chart cellfleet for the cluster {spec.name}. Made from cluster.yaml: change it there.\n"
    return head + str(yaml.safe_dump(helm_values(spec), sort_keys=False, allow_unicode=True, width=120))


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _environment(spec: ClusterSpec) -> dict[str, str] | None:
    if spec.where == "eks":
        return {"AWS_REGION": str(spec.region)}
    return None


def _account(spec: ClusterSpec) -> dict[str, Any]:
    account: dict[str, Any] = {"create": True, "name": gke.ACCOUNT_OF_PODS}
    if spec.where == "gke" and not spec.secret:
        account["annotations"] = {"iam.gke.io/gcp-service-account": gke.account(spec, "pods")}
    if spec.where == "aks" and not spec.secret:
        account["podLabels"] = {"azure.workload.identity/use": "true"}
    return account


def _cpu_workers(spec: ClusterSpec) -> dict[str, Any]:
    if spec.cpu.max == 0:
        return {"enabled": False}
    return {"enabled": True, **_said(machine=spec.cpu_machine), **_pool(spec, spec.cpu, spec.cpu_machine)}


def _gpu_workers(spec: ClusterSpec, *, enabled: bool) -> dict[str, Any]:
    if spec.gpu is None or spec.gpu.max == 0 or not enabled:
        return {"enabled": False}
    kind = {**_said(machine=gpu_machine(spec)), **_gpu_type(spec, spec.gpu)}
    return {"enabled": True, **kind, **_pool(spec, spec.gpu, spec.gpu_machine)}


def _triton(spec: ClusterSpec, gpu: GpuPool) -> dict[str, Any]:
    models = {"models": list(spec.models)} if spec.models else {}
    return {**models, **_gpu_type(spec, gpu), **_pool(spec, gpu, spec.gpu_machine)}


def _gpu_type(spec: ClusterSpec, gpu: GpuPool) -> dict[str, Any]:
    return {"type": machines.GKE_ACCELERATORS[gpu.type]} if spec.where == "gke" else {}


def _pool(spec: ClusterSpec, pool: GpuPool | CpuPool, machine: str | None) -> dict[str, Any]:
    """Return what pods need to fill machines of a pool, one each."""
    values: dict[str, Any] = {"min": pool.min, "max": pool.max, "spot": pool.spot}
    if spec.where != "kubeconfig":
        kind = "gpu" if isinstance(pool, GpuPool) else "cpu"
        values["nodeSelector"] = {gke.POOL_KEY: kind}
        values["tolerations"] = [{"key": gke.POOL_KEY, "operator": "Exists", "effect": "NoSchedule"}]
    known = machines.known(machine)
    if known:
        # Kubernetes and the provider's agents keep about a core and a tenth to a fifth of the memory.
        asked = {"cpu": str(max(1, known.cores - 1)), "memory": f"{int(known.memory_gib * 0.75)}Gi"}
        limit = {"memory": asked["memory"]}
        values["resources"] = {"requests": asked, "limits": limit if isinstance(pool, GpuPool) else dict(asked)}
    return values
