"""What a changed description of a cluster means, in words: for the purse, for the machines, for work under way."""

from __future__ import annotations

from cellfleet.planning.cluster_costs import cluster_costs, costs_in_words
from cellfleet.planning.prices import Prices
from cellfleet.spec.cluster import ClusterSpec
from cellfleet.spec.cluster_file import changes

_ANOTHER = frozenset({"name", "where", "project", "region", "context"})


def consequences(before: ClusterSpec | None, after: ClusterSpec, prices: Prices | None = None) -> tuple[str, ...]:
    """Return one sentence or a few for each thing that follows from a change.

    Args:
        before: As it is; None: there is none yet.
        after: As it is to be.
        prices: None: those of the package.
    """
    costs = cluster_costs(after, prices)
    told = [costs_in_words(after, costs)]
    if before is None:
        return tuple(told)
    changed = changes(before, after)
    if not changed:
        return ("Nothing changes.",)
    old = cluster_costs(before, prices)
    if (
        costs.parts
        and old.parts
        and (round(old.idle, 2), round(old.full, 2)) != (round(costs.idle, 2), round(costs.full, 2))
    ):
        told.append(f"Before, it was ${old.idle:.2f} idle and ${old.full:.2f} with every machine running.")
    told += _of_place(before, after, set(changed))
    told += _of_machines(before, after)
    if "retention_days" in changed and after.retention_days:
        told.append(f"Jobs that ended {after.retention_days} days ago and before are deleted with their results.")
    if "mode" in changed:
        told.append("The workers are started anew; tasks under way are given back and done by others.")
    return tuple(told)


def _of_place(before: ClusterSpec, after: ClusterSpec, changed: set[str]) -> list[str]:
    told = []
    moved = changed & _ANOTHER or before.zones[:1] != after.zones[:1]
    if moved:
        told.append(
            "That is another cluster: the present one stays, and costs, until 'cellfleet cluster down' with its file."
        )
    if "bucket" in changed:
        told.append(f"Jobs, models and results stay in {before.bucket}; the new bucket begins without them.")
    return told


def _of_machines(before: ClusterSpec, after: ClusterSpec) -> list[str]:
    told = []
    for kind in ("gpu", "cpu"):
        old, new = getattr(before, kind), getattr(after, kind)
        name = kind.upper()
        if old is None or old.max == 0:
            continue
        if new is None or new.max == 0:
            told.append(f"The {name} machines go; tasks under way there are given back.")
        elif _kind_of(before, kind) != _kind_of(after, kind):
            told.append(f"The {name} machines become others: new ones are there before the old ones go.")
    return told


def _kind_of(spec: ClusterSpec, kind: str) -> tuple[object, ...]:
    if kind == "cpu":
        return (spec.cpu_machine, spec.cpu.spot)
    return (spec.gpu_machine, spec.gpu.spot, spec.gpu.type) if spec.gpu else ()
