"""A cluster of Google's Kubernetes Engine, by gcloud: project, bucket, accounts, cluster, pools of machines.

Every command was checked with ``gcloud meta lint-gcloud-commands`` of gcloud 528 (`scripts/lint_gcloud.py`). A pool's
name says what its machines are, so a changed description leads to a new pool, after which the old one goes. Knows
nothing of what runs on the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from cellfleet.cluster.programs import Answer, Command, parsed
from cellfleet.cluster.steps import Found, State, Step
from cellfleet.planning.cluster_costs import SYSTEM_DISK_GB, ClusterCosts
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool
from cellfleet.spec.machines import GKE_ACCELERATORS

ACCOUNT_OF_PODS: Final = "cellfleet"
"""The Kubernetes account under which the chart's pods run."""
POOL_KEY: Final = "cellfleet-pool"
"""Label and taint of machines for workers: only they run there, so the machines can go when there is no work."""
_SERVICES: Final = (
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "storage.googleapis.com",
)
_NODE_ROLE: Final = "roles/container.defaultNodeServiceAccount"
_BUCKET_ROLE: Final = "roles/storage.objectUser"
_IDENTITY_ROLE: Final = "roles/iam.workloadIdentityUser"
_TRIES: Final = 4
"""A new account is known everywhere only after some seconds."""
_STATES: Mapping[str, State] = MappingProxyType(
    {"RUNNING": "done", "PROVISIONING": "busy", "RECONCILING": "busy", "STOPPING": "busy"}
)
"""Google's word for a cluster or pool → ours; the others are broken (ERROR, DEGRADED, RUNNING_WITH_ERROR)."""
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "quota": "Ask Google for more at https://console.cloud.google.com/iam-admin/quotas, or lower max in the file",
        "billing": "Link a billing account to the project: https://console.cloud.google.com/billing/linkedaccount",
        "stockout": "No such machine is free in that zone now: add other zones to the file, or try later",
        "resource_pool_exhausted": "No such machine is free in that zone now: add other zones, or try later",
        "reauthentication": "Log in again: gcloud auth login",
        "permission": "Your account needs the roles Kubernetes Engine Admin, Compute Admin, Service Account Admin, "
        "Storage Admin and Project IAM Admin, or Owner",
        "gke-gcloud-auth-plugin": "gcloud components install gke-gcloud-auth-plugin, or the package of that name",
        "unreachable": "Look at your network, or wait a minute",
    }
)
"""What gcloud says → what to do."""


def advise(words: str) -> str:
    """Return what can be done about what gcloud said; "": nothing known."""
    low = words.casefold()
    return next((advice for sign, advice in _ADVICE.items() if sign in low), "")


def context(spec: ClusterSpec) -> str:
    """Return the entry of the kubeconfig that gcloud makes."""
    return f"gke_{spec.project}_{spec.zones[0]}_{spec.name}"


def account(spec: ClusterSpec, who: str) -> str:
    """Return the Google account of ``pods`` or ``nodes``."""
    return f"{spec.name}-{who}@{spec.project}.iam.gserviceaccount.com"


def bucket(spec: ClusterSpec) -> str:
    """Return the address of the bucket, without folder."""
    return "gs://" + spec.bucket.removeprefix("gs://").split("/")[0]


def before(spec: ClusterSpec, costs: ClusterCosts) -> list[Step]:
    """Return the steps up to a cluster that kubectl reaches."""
    pools = [_pool_step(spec, name, pool, costs) for name, pool in wanted_pools(spec).items()]
    return [
        _services(spec),
        _bucket(spec),
        _account(spec, "nodes", "the machines"),
        _role_of_nodes(spec),
        _account(spec, "pods", "cellfleet"),
        _role_of_pods(spec),
        _cluster(spec, costs),
        *pools,
        _old_pools(spec),
        credentials(spec),
        _identity(spec),
    ]


def wanted_pools(spec: ClusterSpec) -> dict[str, GpuPool | CpuPool]:
    """Return the pools of machines that the description wants, by name."""
    pools: dict[str, GpuPool | CpuPool] = {}
    if spec.cpu.max:
        pools[_pool_name("cpu", spec.cpu_machine, spec.cpu)] = spec.cpu
    if spec.gpu and spec.gpu.max:
        pools[_pool_name(f"gpu-{spec.gpu.type}", spec.gpu_machine, spec.gpu)] = spec.gpu
    return pools


def gcloud(spec: ClusterSpec, *words: str, zone: bool = False) -> Command:
    """Return a command in the project, and in the cluster's zone where it has one."""
    place = (f"--zone={spec.zones[0]}",) if zone else ()
    return ("gcloud", *words, f"--project={spec.project}", *place, "--format=json", "--quiet")


def describe_cluster(spec: ClusterSpec) -> Command:
    """Return the command that tells of the cluster."""
    return gcloud(spec, "container", "clusters", "describe", spec.name, zone=True)


def credentials(spec: ClusterSpec) -> Step:
    """Return the step after which kubectl and helm reach the cluster."""
    look = ("kubectl", "config", "get-contexts", context(spec), "--output=name")
    return Step(
        "access",
        "Tell kubectl and helm how to reach the cluster",
        gcloud(spec, "container", "clusters", "get-credentials", spec.name, zone=True),
        (look,),
        lambda answers: Found("missing" if answers[0].code else "done"),
    )


# --- steps -----------------------------------------------------------------------------------------------------------


def _services(spec: ClusterSpec) -> Step:
    look = (
        "gcloud",
        "services",
        "list",
        "--enabled",
        f"--project={spec.project}",
        "--format=json(config.name)",
        "--quiet",
    )

    def found(answers: tuple[Answer, ...]) -> Found:
        there = {entry["config"]["name"] for entry in parsed(answers[0], look) or ()}
        return Found("done" if there.issuperset(_SERVICES) else "missing")

    what = "Switch on Google's services for machines, clusters, accounts and buckets"
    return Step("services", what, gcloud(spec, "services", "enable", *_SERVICES), (look,), found, minutes=1)


def _bucket(spec: ClusterSpec) -> Step:
    look = ("gcloud", "storage", "buckets", "describe", bucket(spec), "--format=json", "--quiet")
    command = gcloud(
        spec,
        *("storage", "buckets", "create", bucket(spec), f"--location={spec.region}"),
        *("--uniform-bucket-level-access", "--public-access-prevention"),
    )
    what = f"Make the bucket {bucket(spec)} in {spec.region}, closed to the public"
    return Step("bucket", what, command, (look,), _is_there(look), usd_per_hour=(0.0, 0.0))


def _account(spec: ClusterSpec, who: str, of: str) -> Step:
    look = gcloud(spec, "iam", "service-accounts", "describe", account(spec, who))
    command = gcloud(
        spec, "iam", "service-accounts", "create", f"{spec.name}-{who}", f"--display-name=cellfleet {spec.name} {who}"
    )
    return Step(f"account of {who}", f"Make an account for {of}, with no rights yet", command, (look,), _is_there(look))


def _role_of_nodes(spec: ClusterSpec) -> Step:
    member = f"serviceAccount:{account(spec, 'nodes')}"
    look = ("gcloud", "projects", "get-iam-policy", str(spec.project), "--format=json", "--quiet")
    return Step(
        "rights of nodes",
        "Let machines join clusters and write logs, and nothing else",
        projects(spec, "add-iam-policy-binding", member),
        (look,),
        _is_bound(look, _NODE_ROLE, member),
        tries=_TRIES,
    )


def projects(spec: ClusterSpec, verb: str, member: str) -> Command:
    """Return a command about the machines' right in the project."""
    words = (f"--member={member}", f"--role={_NODE_ROLE}", "--condition=None", "--format=json", "--quiet")
    return ("gcloud", "projects", verb, str(spec.project), *words)


def _role_of_pods(spec: ClusterSpec) -> Step:
    member = f"serviceAccount:{account(spec, 'pods')}"
    look = ("gcloud", "storage", "buckets", "get-iam-policy", bucket(spec), "--format=json", "--quiet")
    return Step(
        "rights of pods",
        "Let cellfleet read and write this bucket, and nothing else",
        buckets(spec, "add-iam-policy-binding", member),
        (look,),
        _is_bound(look, _BUCKET_ROLE, member),
        tries=_TRIES,
    )


def buckets(spec: ClusterSpec, verb: str, member: str) -> Command:
    """Return a command about the pods' right in the bucket."""
    words = (f"--member={member}", f"--role={_BUCKET_ROLE}", "--format=json", "--quiet")
    return ("gcloud", "storage", "buckets", verb, bucket(spec), *words)


def _identity(spec: ClusterSpec) -> Step:
    member = f"serviceAccount:{spec.project}.svc.id.goog[{spec.name}/{ACCOUNT_OF_PODS}]"
    look = gcloud(spec, "iam", "service-accounts", "get-iam-policy", account(spec, "pods"))
    command = gcloud(
        spec,
        *("iam", "service-accounts", "add-iam-policy-binding", account(spec, "pods")),
        *(f"--member={member}", f"--role={_IDENTITY_ROLE}", "--condition=None"),
    )
    what = "Let the pods of cellfleet use their account; no key is made"
    return Step("identity", what, command, (look,), _is_bound(look, _IDENTITY_ROLE, member), tries=_TRIES)


def _cluster(spec: ClusterSpec, costs: ClusterCosts) -> Step:
    look = describe_cluster(spec)
    everywhere = gcloud(spec, "container", "clusters", "list", f"--filter=name={spec.name}")
    command = gcloud(
        spec,
        # In the first zone alone: a second one would have a machine that always runs, too.
        *("container", "clusters", "create", spec.name),
        *("--release-channel=regular", f"--workload-pool={spec.project}.svc.id.goog", "--enable-ip-alias"),
        *("--enable-dataplane-v2", "--enable-shielded-nodes", "--autoscaling-profile=optimize-utilization"),
        *(f"--machine-type={spec.system_machine}", "--num-nodes=1", "--disk-type=pd-standard"),
        *(f"--disk-size={SYSTEM_DISK_GB}", f"--service-account={account(spec, 'nodes')}", "--scopes=cloud-platform"),
        *("--logging=SYSTEM,WORKLOAD", "--monitoring=SYSTEM", f"--labels=cellfleet={spec.name}"),
        zone=True,
    )

    def found(answers: tuple[Answer, ...]) -> Found:
        here = parsed(answers[0], look)
        for other in parsed(answers[1], everywhere) or ():
            if other.get("location") != spec.zones[0]:
                what = f"there is a cluster of this name in {other.get('location')} too, and it costs: delete it first"
                return Found("broken", f"{what} ('cellfleet cluster down' with the zones it was made with)")
        return Found("missing") if here is None else _state(here)

    what = f"Make the cluster {spec.name} in {spec.zones[0]} with one {spec.system_machine} that always runs"
    always = sum(part.usd_per_hour or 0.0 for part in costs.parts if part.least and "machine" not in part.name)
    system = costs.part("system machine")
    usd = always + ((system.usd_per_hour if system else None) or 0.0)
    return Step("cluster", what, command, (look, everywhere), found, usd_per_hour=(usd, usd), minutes=8)


def _pool_name(kind: str, machine: str | None, pool: GpuPool | CpuPool) -> str:
    name = f"{kind}-{machine}{'-spot' if pool.spot else ''}"
    return name.lower().replace(".", "-").replace("_", "-")[:40].rstrip("-")


def _pool_step(spec: ClusterSpec, name: str, pool: GpuPool | CpuPool, costs: ClusterCosts) -> Step:
    kind = "GPU" if isinstance(pool, GpuPool) else "CPU"
    look = gcloud(spec, "container", "node-pools", "describe", name, f"--cluster={spec.name}", zone=True)
    machine = spec.gpu_machine if kind == "GPU" else spec.cpu_machine
    bounds = (f"--total-min-nodes={pool.min}", f"--total-max-nodes={pool.max}")
    command = gcloud(
        spec,
        *("container", "node-pools", "create", name, f"--cluster={spec.name}", f"--machine-type={machine}"),
        *(_accelerator(pool) if isinstance(pool, GpuPool) else ()),
        *(("--spot",) if pool.spot else ()),
        *(f"--node-locations={','.join(spec.zones)}", f"--num-nodes={-(-pool.min // len(spec.zones))}"),
        *("--enable-autoscaling", *bounds, "--location-policy=ANY"),
        *(f"--node-labels={POOL_KEY}={kind.lower()}", f"--node-taints={POOL_KEY}={kind.lower()}:NoSchedule"),
        *("--disk-type=pd-balanced", "--disk-size=100", "--workload-metadata=GKE_METADATA"),
        *(f"--service-account={account(spec, 'nodes')}", "--scopes=cloud-platform"),
        zone=True,
    )

    def found(answers: tuple[Answer, ...]) -> Found:
        here = parsed(answers[0], look)
        return Found("missing") if here is None else _as_wanted(spec, name, pool, here)

    spot = ", spot" if pool.spot else ", on demand"
    gpu = f" with one {pool.type.upper()}" if isinstance(pool, GpuPool) else ""
    what = f"Make a pool of {pool.min}–{pool.max} machines {machine}{gpu}{spot}"
    part = costs.part(f"{kind} machine")
    each = part.usd_per_hour if part else None
    usd = None if each is None else (pool.min * each, pool.max * each)
    return Step(f"{kind} pool", what, command, (look,), found, usd_per_hour=usd, minutes=2)


def _as_wanted(spec: ClusterSpec, name: str, pool: GpuPool | CpuPool, here: Mapping[str, Any]) -> Found:
    """Compare a pool that is there with the description; its name has told of its machines."""
    state, scaling = _state(here), here.get("autoscaling", {})
    # JSON of Google's leaves out zeros.
    least, most = scaling.get("totalMinNodeCount", 0), scaling.get("totalMaxNodeCount", 0)
    if state.state == "done" and (least, most) != (pool.min, pool.max):
        bounds = ("--enable-autoscaling", f"--total-min-nodes={pool.min}", f"--total-max-nodes={pool.max}")
        return Found("different", f"{least}–{most} machines become {pool.min}–{pool.max}", _update(spec, name, *bounds))
    zones = here.get("locations", list(spec.zones))
    if state.state == "done" and set(zones) != set(spec.zones):
        places = f"--node-locations={','.join(spec.zones)}"
        detail = f"zones {', '.join(zones)} become {', '.join(spec.zones)}"
        return Found("different", detail, _update(spec, name, places))
    return state


def _update(spec: ClusterSpec, name: str, *words: str) -> Command:
    return gcloud(spec, "container", "node-pools", "update", name, f"--cluster={spec.name}", *words, zone=True)


def _accelerator(pool: GpuPool) -> tuple[str, ...]:
    name = GKE_ACCELERATORS.get(pool.type, pool.type)
    return (f"--accelerator=type={name},count=1,gpu-driver-version=default",)


def _old_pools(spec: ClusterSpec) -> Step:
    look = gcloud(spec, "container", "node-pools", "list", f"--cluster={spec.name}", zone=True)
    wanted = wanted_pools(spec)

    def delete(name: str) -> Command:
        return gcloud(spec, "container", "node-pools", "delete", name, f"--cluster={spec.name}", zone=True)

    def found(answers: tuple[Answer, ...]) -> Found:
        pools = [pool for pool in parsed(answers[0], look) or () if pool["name"].startswith(("cpu-", "gpu-"))]
        old = [pool for pool in pools if pool["name"] not in wanted]
        if not old:
            return Found("done")
        name = old[0]["name"]
        if old[0].get("status") == "STOPPING":
            return Found("busy", f"the pool {name} is being deleted")
        return Found("different", f"the pool {name} is not in the description any more", delete(name))

    what = "Delete pools that are not in the description any more"
    return Step("old pools", what, delete("none"), (look,), found, minutes=3)


# --- what looks mean -------------------------------------------------------------------------------------------------


def _state(here: Mapping[str, Any]) -> Found:
    status = here.get("status", "")
    state = _STATES.get(status, "broken")
    said = "; ".join(filter(None, (here.get("statusMessage"), *_conditions(here))))
    return Found(state, "" if state == "done" else f"Google says {status}{': ' if said else ''}{said}")


def _conditions(here: Mapping[str, Any]) -> list[str]:
    return [cast(str, condition.get("message", "")) for condition in here.get("conditions", ())]


def _is_there(look: Command) -> Callable[[tuple[Answer, ...]], Found]:
    return lambda answers: Found("missing" if parsed(answers[0], look) is None else "done")


def _is_bound(look: Command, role: str, member: str) -> Callable[[tuple[Answer, ...]], Found]:
    """Say whether a policy gives a role to a member."""

    def found(answers: tuple[Answer, ...]) -> Found:
        bindings = (parsed(answers[0], look) or {}).get("bindings", ())
        there = any(entry.get("role") == role and member in entry.get("members", ()) for entry in bindings)
        return Found("done" if there else "missing")

    return found
