"""How a cluster is, in words: what is there, what runs, what it costs now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellfleet.cluster import plan
from cellfleet.cluster.programs import Run, parsed
from cellfleet.cluster.providers.gke import POOL_KEY
from cellfleet.cluster.steps import Carrier, Found, Step
from cellfleet.planning.cluster_costs import HOURS_PER_MONTH, ClusterCosts
from cellfleet.spec.cluster import PROVIDER_NAMES, ClusterSpec


def status_lines(spec: ClusterSpec, costs: ClusterCosts, run: Run) -> list[str]:
    """Return how a cluster is. Changes nothing.

    Raises:
        ClusterError: E712, a program is missing; E713, it cannot look.
    """
    steps = plan.up_steps(spec, costs, "deploy/chart", plan.Files(Path()))
    looker = Carrier(run, lambda event, step, detail: None)
    found, blocked = dict[str, Found](), ""
    for step in steps:
        found[step.name] = Found("missing") if blocked else looker.look(step)
        # Without the cluster, or a way to it, nothing on it can be asked for.
        if step.name in {"cluster", "access"} and found[step.name].state == "missing":
            blocked = step.name
    lines = [f"{spec.name} at {PROVIDER_NAMES[spec.where]}: {_summary(steps, found)}"]
    if blocked == "cluster":
        return lines
    if not blocked:
        lines += _running(spec, costs, run)
    return lines


def _summary(steps: Sequence[Step], found: Mapping[str, Found]) -> str:
    wanting = [step for step in steps if found[step.name].state != "done"]
    if not wanting:
        return "all is as the description wants it."
    if found.get("cluster", Found("done")).state == "missing":
        return "there is no cluster. 'cellfleet cluster up' makes it."
    told = [f"{step.name} {_word(found[step.name])}" for step in wanting]
    return f"{'; '.join(told)}. 'cellfleet cluster up' goes on there."


def _word(found: Found) -> str:
    word = {"missing": "is missing", "different": "is different", "busy": "is being made", "broken": "is broken"}
    return word[found.state] + (f" ({found.detail})" if found.detail else "")


def _running(spec: ClusterSpec, costs: ClusterCosts, run: Run) -> list[str]:
    at = plan.reached(spec)
    look = at.kubectl("get", "nodes", "--output=json")
    nodes = (parsed(run(look), look) or {}).get("items", [])
    kinds = Counter(node["metadata"].get("labels", {}).get(POOL_KEY, "system") for node in nodes)
    pods_look = at.kubectl("get", "pods", "--output=json", f"--namespace={at.namespace}")
    pods = (parsed(run(pods_look), pods_look) or {}).get("items", [])
    return [_machines(spec, kinds), _pods(pods), *_money(costs, kinds)]


def _machines(spec: ClusterSpec, kinds: Counter[str]) -> str:
    told = [f"{kinds['system']} for the system"] if kinds["system"] else []
    if spec.gpu:
        told.append(f"{kinds['gpu']} of {spec.gpu.max} with GPU")
    if spec.cpu.max:
        told.append(f"{kinds['cpu']} of {spec.cpu.max} without")
    return f"Machines: {', '.join(told)}." if spec.where != "kubeconfig" else f"Machines: {kinds.total()}."


def _pods(pods: Sequence[Mapping[str, Any]]) -> str:
    told: dict[str, list[bool]] = {}
    for pod in pods:
        part = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", "other")
        ready = any(
            entry.get("type") == "Ready" and entry.get("status") == "True"
            for entry in pod.get("status", {}).get("conditions", ())
        )
        told.setdefault(part, []).append(ready)
    if not told:
        return "Pods: none."
    return f"Pods: {', '.join(f'{part} {sum(ready)} of {len(ready)} ready' for part, ready in sorted(told.items()))}."


def _money(costs: ClusterCosts, kinds: Counter[str]) -> list[str]:
    if not costs.parts:
        return []
    now = 0.0
    for part in costs.parts:
        count = {"GPU machine": kinds["gpu"], "CPU machine": kinds["cpu"]}.get(part.name, part.least)
        now += count * (part.usd_per_hour or 0.0)
    return [
        f"Costs now about ${now:.2f} an hour; idle ${costs.idle:.2f} (${costs.idle * HOURS_PER_MONTH:.0f} a month)."
    ]
