"""Getting rid of a cluster of Google's: what was made is deleted, then looked for by everything that could cost money.

The bucket stays: it holds the images and results. Machines, disks and load balancers are made by the cluster in its own
name, and some outlive it; they are known by Google's label of the cluster, or by what its controllers write into their
description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cellfleet.cluster.leftovers import Leftover, Looked
from cellfleet.cluster.programs import Answer, Command, Run, parsed
from cellfleet.cluster.providers import gke
from cellfleet.cluster.steps import Found, Step
from cellfleet.spec.cluster import ClusterSpec


def deleting(spec: ClusterSpec) -> list[Step]:
    """Return the steps that delete the cluster and its accounts; each is done when the thing is not there."""
    nodes, pods = (f"serviceAccount:{gke.account(spec, who)}" for who in ("nodes", "pods"))
    return [
        _delete_cluster(spec),
        _unbind(
            "rights of nodes",
            gke.projects(spec, "remove-iam-policy-binding", nodes),
            ("gcloud", "projects", "get-iam-policy", str(spec.project), "--format=json", "--quiet"),
            nodes,
        ),
        _unbind(
            "rights of pods",
            gke.buckets(spec, "remove-iam-policy-binding", pods),
            ("gcloud", "storage", "buckets", "get-iam-policy", gke.bucket(spec), "--format=json", "--quiet"),
            pods,
        ),
        _delete_account(spec, "nodes"),
        _delete_account(spec, "pods"),
    ]


def cluster_is_gone(spec: ClusterSpec) -> tuple[Command, Callable[[Answer], bool]]:
    """Return a look at the cluster, and what its answer means: what ran on it went with it."""
    look = gke.describe_cluster(spec)
    return look, lambda answer: parsed(answer, look) is None


def look_for_leftovers(spec: ClusterSpec, run: Run) -> list[Looked]:
    """Look for everything that could still cost money."""
    return [
        _looked(run, spec, "clusters", ("container", "clusters", "list"), lambda it: it.get("name") == spec.name),
        _looked(run, spec, "machines", ("compute", "instances", "list"), lambda it: _is_of(spec, it)),
        _looked(run, spec, "disks", ("compute", "disks", "list"), lambda it: _is_of(spec, it)),
        _looked(run, spec, "addresses", ("compute", "addresses", "list"), lambda it: _is_of(spec, it)),
        _looked(run, spec, "load balancers", ("compute", "forwarding-rules", "list"), lambda it: _is_of(spec, it)),
    ]


def bucket_bytes(spec: ClusterSpec, run: Run) -> int | None:
    """Return how much lies in the bucket; None: it is not there, or does not say."""
    look = ("gcloud", "storage", "du", gke.bucket(spec), "--summarize", "--quiet")
    answer = run(look)
    words = answer.out.split()
    return int(words[0]) if answer.code == 0 and words and words[0].isdecimal() else None


def _delete_cluster(spec: ClusterSpec) -> Step:
    look = gke.describe_cluster(spec)

    def found(answers: tuple[Answer, ...]) -> Found:
        here = parsed(answers[0], look)
        if here is None:
            return Found("done")
        # What Google is at, be it making the cluster, comes to an end before it can be deleted.
        busy = here.get("status") in {"STOPPING", "PROVISIONING", "RECONCILING"}
        return Found("busy" if busy else "missing", f"Google says {here.get('status')}" if busy else "")

    command = gke.gcloud(spec, "container", "clusters", "delete", spec.name, zone=True)
    what = f"Delete the cluster {spec.name} with all its machines"
    return Step("cluster", what, command, (look,), found, minutes=6)


def _unbind(name: str, command: Command, look: Command, member: str) -> Step:
    def found(answers: tuple[Answer, ...]) -> Found:
        bindings = (parsed(answers[0], look) or {}).get("bindings", ())
        return Found("missing" if any(member in entry.get("members", ()) for entry in bindings) else "done")

    return Step(name, f"Take the {name} back", command, (look,), found)


def _delete_account(spec: ClusterSpec, who: str) -> Step:
    look = gke.gcloud(spec, "iam", "service-accounts", "describe", gke.account(spec, who))
    command = gke.gcloud(spec, "iam", "service-accounts", "delete", gke.account(spec, who))

    def found(answers: tuple[Answer, ...]) -> Found:
        return Found("done" if parsed(answers[0], look) is None else "missing")

    return Step(f"account of {who}", f"Delete the account of the {who}", command, (look,), found)


def _looked(
    run: Run, spec: ClusterSpec, kind: str, words: tuple[str, ...], is_ours: Callable[[Mapping[str, Any]], bool]
) -> Looked:
    look = gke.gcloud(spec, *words)
    items = parsed(run(look), look) or ()
    return Looked(kind, look, tuple(_leftover(spec, words[1], item) for item in items if is_ours(item)))


def _is_of(spec: ClusterSpec, item: Mapping[str, Any]) -> bool:
    """Say whether a machine, disk, address or load balancer was made by our cluster."""
    name, told = str(item.get("name", "")), str(item.get("description", ""))
    of_service = f'service-name":"{spec.name}/' in told.replace(" ", "") or f'ingress-name":"{spec.name}/' in told
    of_volume = f'created-for/pvc/namespace":"{spec.name}"' in told.replace(" ", "")
    label = item.get("labels", {}).get("goog-k8s-cluster-name") == spec.name
    return label or of_service or of_volume or name.startswith(f"gke-{spec.name}-")


def _leftover(spec: ClusterSpec, kind: str, item: Mapping[str, Any]) -> Leftover:
    name = str(item.get("name", "?"))
    # Places are addresses of Google's API, of which the last part is the name.
    scope = next((key for key in ("zone", "region", "location") if item.get(key)), None)
    place = str(item[scope]).rsplit("/", maxsplit=1)[-1] if scope else ""
    if kind == "clusters":
        return Leftover(name, place, gke.gcloud(spec, "container", "clusters", "delete", name, f"--location={place}"))
    flag = f"--{scope}={place}" if scope else "--global"
    size = float(item.get("sizeGb", 0)) if kind == "disks" else None
    return Leftover(name, place, gke.gcloud(spec, "compute", kind, "delete", name, flag), size)
